package org.tune4j.lora;

import java.util.LinkedHashMap;
import java.util.Map;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Tensor;

/** Accumulates gradients of table rows that may have been looked up several times. */
final class RowSums {
  private RowSums() {}

  /**
   * {@code to[ids[i]] += rows[i]}.
   *
   * @param rows F32 {@code [ids.length, cols]}
   * @param untrained an id to skip; -1 for none
   * @param to F32 {@code [entries, cols]}
   */
  static void add(Engine e, int[] ids, int untrained, Tensor rows, Tensor to) {
    Map<Integer, Integer> positions = new LinkedHashMap<>();
    for (int id : ids) {
      if (id != untrained) {
        positions.putIfAbsent(id, positions.size());
      }
    }
    if (positions.isEmpty()) {
      return;
    }
    int cols = rows.cols();
    float[] values = e.read(rows);
    double[] sums = new double[positions.size() * cols];
    for (int i = 0; i < ids.length; i++) {
      Integer position = positions.get(ids[i]);
      if (position != null) {
        for (int c = 0; c < cols; c++) {
          sums[position * cols + c] += values[i * cols + c];
        }
      }
    }
    float[] rounded = new float[sums.length];
    for (int i = 0; i < sums.length; i++) {
      rounded[i] = (float) sums[i];
    }
    Tensor distinct = e.allocate(positions.size(), cols, DType.F32);
    e.write(distinct, rounded);
    int[] index = positions.keySet().stream().mapToInt(Integer::intValue).toArray();
    e.scatterAddRows(distinct, index, to);
    e.release(distinct);
  }
}
