package org.tune4j.core.engine.onednn;

import java.util.List;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;

/**
 * A product of a single row by transposed weights that is added to its destination. On x86-64,
 * oneDNN before 3.13 allocates too small a buffer for it (function {@code init_aux_values}): with
 * an inner dimension over 1,024 it writes past the end, and the sum is wrong. The equivalent
 * product of the weights by a column, on the same memory, is not affected.
 */
final class SummedRow {
  private SummedRow() {}

  /** Returns whether a spec is such a product. */
  static boolean in(Spec spec) {
    if (spec.kind() != Kind.MATMUL || spec.mds().size() != 3 || spec.postOps().isEmpty()) {
      return false;
    }
    Md weights = spec.mds().get(1);
    Md result = spec.mds().get(2);
    int rank = result.rank();
    return result.dim(rank - 2) == 1
        && result.dim(rank - 1) > 1
        && weights.stride(rank - 2) == 1
        && spec.postOps().stream().anyMatch(PostOp::isSum);
  }

  /**
   * Returns the equivalent product of the weights by a column, with the first two operands swapped.
   */
  static Spec asColumn(Spec spec) {
    List<Md> mds = spec.mds();
    List<PostOp> postOps =
        spec.postOps().stream()
            .map(p -> p.md() == null ? p : new PostOp(p.algorithm(), p.a(), p.md().transposed()))
            .toList();
    return new Spec(
        spec.kind(),
        spec.algorithm(),
        spec.a(),
        List.of(mds.get(1).transposed(), mds.get(0).transposed(), mds.get(2).transposed()),
        postOps);
  }
}
