package org.tune4j.core.engine.onednn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.bytedeco.dnnl.global.dnnl.dnnl_f32;

import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.lifecycle.AfterContainer;
import org.bytedeco.javacpp.FloatPointer;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;

class MisreadBatchesTest {
  private static final Dnnl DNNL = new Dnnl();

  @AfterContainer
  static void close() {
    DNNL.close();
  }

  /** Matrices of a batch {@code [tiles, heads, group]}, the heads beside one another or apart. */
  private record Operand(int rows, int cols, long[] dims, long[] strides, float[] values) {
    static Operand draw(Random random, int[] batch, boolean shared, int rows, int cols) {
      int heads = batch[1];
      int group = shared ? 1 : batch[2];
      long matrices = (long) heads * group;
      boolean beside = random.nextBoolean();
      long row = beside ? matrices * cols + random.nextInt(3) : cols + random.nextInt(3);
      long one = beside ? cols : rows * row;
      long tile = beside ? rows * row : matrices * one;
      // the distances of which some look regular without being so
      long misread = one * batch[0] * batch[1] * batch[2];
      if (random.nextBoolean() && misread > tile) {
        tile = misread;
      } else {
        tile += random.nextInt(2) * one;
      }
      long[] dims = {batch[0], heads, group, rows, cols};
      long[] strides = {tile, group * one, one, row, 1};
      int size = 1;
      for (int d = 0; d < 5; d++) {
        size += (int) ((dims[d] - 1) * strides[d]);
      }
      float[] values = new float[size];
      for (int i = 0; i < size; i++) {
        values[i] = (float) random.nextGaussian();
      }
      return new Operand(rows, cols, dims, strides, values);
    }

    Md md() {
      return Md.of(dnnl_f32, dims, strides);
    }

    int at(int t, int h, int g, int r, int c) {
      return (int)
          (t * strides[0]
              + h * strides[1]
              + (dims[2] == 1 ? 0 : g) * strides[2]
              + r * strides[3]
              + c);
    }
  }

  @Property(tries = 300)
  void multipliesBatchesAtAnyDistances(
      @ForAll @IntRange(min = 1, max = 12) int tiles,
      @ForAll @IntRange(min = 1, max = 3) int heads,
      @ForAll @IntRange(min = 1, max = 3) int group,
      @ForAll boolean add,
      @ForAll long seed) {
    Random random = new Random(seed);
    int m = 1 + random.nextInt(12);
    int k = 1 + random.nextInt(12);
    int n = 1 + random.nextInt(12);
    int[] batch = {tiles, heads, group};
    Operand a = Operand.draw(random, batch, false, m, k);
    Operand b = Operand.draw(random, batch, true, k, n);
    Operand c = Operand.draw(random, batch, false, m, n);
    Spec spec = Spec.of(Kind.MATMUL, a.md(), b.md(), c.md());
    float[] result = c.values.clone();
    try (FloatPointer left = new FloatPointer(a.values);
        FloatPointer right = new FloatPointer(b.values);
        FloatPointer to = new FloatPointer(c.values)) {
      DNNL.run(add ? spec.then(PostOp.sum()) : spec, left.address(), right.address(), to.address());
      to.get(result);
    }
    for (int t = 0; t < tiles; t++) {
      for (int h = 0; h < heads; h++) {
        for (int g = 0; g < group; g++) {
          for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
              int place = c.at(t, h, g, i, j);
              double sum = add ? c.values[place] : 0;
              double terms = Math.abs(sum);
              for (int x = 0; x < k; x++) {
                double term =
                    (double) a.values[a.at(t, h, g, i, x)] * b.values[b.at(t, h, g, x, j)];
                sum += term;
                terms += Math.abs(term);
              }
              assertThat((double) result[place])
                  .as("[%s, %s, %s, %s, %s] of %s", t, h, g, i, j, spec)
                  .isCloseTo(sum, org.assertj.core.api.Assertions.within(1e-6 * terms + 1e-30));
            }
          }
        }
      }
    }
  }
}
