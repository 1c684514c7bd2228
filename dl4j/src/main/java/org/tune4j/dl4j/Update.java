package org.tune4j.dl4j;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.nd4j.linalg.api.ndarray.INDArray;

/** What a stack of adapters adds to a network's weights; each equals itself only. */
final class Update {
  static final Update NONE = new Update(List.of());

  /**
   * What one adapter adds to a matrix: {@code scale B A}.
   *
   * @param a {@code [r, in]}, of the network's type
   * @param b {@code [out, r]}, likewise
   */
  record Factors(Dl4jAdapter adapter, INDArray a, INDArray b, double scale) {}

  private final Map<AdaptedMatrix, List<Factors>> factors = new LinkedHashMap<>();
  private final Map<AdaptedMatrix, INDArray> sums = new LinkedHashMap<>();

  /** Reads the adapters' values as they are now. */
  Update(List<Dl4jAdapter> stack) {
    for (Dl4jAdapter adapter : stack) {
      for (AdaptedMatrix m : adapter.matrices()) {
        factors.computeIfAbsent(m, k -> new ArrayList<>()).add(adapter.factors(m));
      }
    }
  }

  /** Returns what each adapter adds to a matrix; none if nothing is added. */
  List<Factors> factors(AdaptedMatrix m) {
    return factors.getOrDefault(m, List.of());
  }

  /** Returns the matrices to which something is added. */
  Iterable<AdaptedMatrix> matrices() {
    return factors.keySet();
  }

  /** Returns all that is added to a matrix, which must be something, in DL4J's shape. */
  INDArray sum(AdaptedMatrix m) {
    return sums.computeIfAbsent(
        m,
        k -> {
          INDArray sum = null;
          for (Factors f : factors.get(m)) {
            INDArray own = m.update(f.a(), f.b(), f.scale());
            sum = sum == null ? own : sum.addi(own);
          }
          return sum;
        });
  }
}
