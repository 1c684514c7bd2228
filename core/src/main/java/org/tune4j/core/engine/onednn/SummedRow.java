package org.tune4j.core.engine.onednn;

import java.util.List;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;

/**
 * A product of a single row by transposed weights that is added to its result. On x86-64 oneDNN
 * before 3.13 makes the buffer for it as large as a row of one (function {@code init_aux_values}):
 * with an inner dimension over 1,024 it writes past it, and the sum is wrong. As the product of the
 * weights by a column, which is the same numbers in the same places, it has buffer enough.
 */
final class SummedRow {
  private SummedRow() {}

  /** Returns whether a primitive is such a product. */
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

  /** Returns the same product as that of the weights by a column: its first operands swapped. */
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
