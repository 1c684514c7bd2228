package org.tune4j.core.engine.onednn;

import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;

/**
 * Batched products whose matrices oneDNN 3.11 addresses wrongly on x86-64, and their division into
 * products that it addresses correctly.
 *
 * <p>Its {@code brgemm} products assume that a batch of several dimensions is laid out regularly,
 * with the stride of the innermost one, if the ratio of the largest to the smallest stride equals
 * the number of matrices (function {@code is_batch_layout_trivial}; exact from 3.13 on). A batch of
 * 32 tiles of 32 rows is such a case, whatever the number of heads: most matrices of the result are
 * never written, others get the product of the wrong operands, in every type. Half of such a batch
 * has the same strides and half as many matrices.
 *
 * <p>With an inner dimension of one, the matrices of a batch are confused whatever their strides;
 * single matrices are not.
 */
final class MisreadBatches {
  private MisreadBatches() {}

  /** Returns whether oneDNN would address a product wrongly. */
  static boolean in(Spec spec) {
    if (spec.kind() != Kind.MATMUL || spec.mds().get(0).rank() <= 3) {
      return false;
    }
    long batch = 1;
    Md result = spec.mds().get(spec.mds().size() - 1);
    for (int d = 0; d < result.rank() - 2; d++) {
      batch *= result.dim(d);
    }
    if (batch > 1 && spec.mds().get(0).dim(result.rank() - 1) == 1) {
      return true;
    }
    for (Md md : spec.mds()) {
      if (misread(md, batch)) {
        return true;
      }
    }
    return false;
  }

  private static boolean misread(Md md, long batch) {
    int innermost = md.rank() - 3;
    long smallest = md.stride(innermost);
    long largest = smallest;
    long expected = smallest; // the stride of a dimension in a regular layout
    boolean regular = true;
    for (int d = innermost; d >= 0; d--) {
      smallest = Math.min(smallest, md.stride(d));
      largest = Math.max(largest, md.stride(d));
      if (md.dim(d) > 1) {
        regular &= md.stride(d) == expected;
        expected *= md.dim(d);
      }
    }
    return !regular && smallest > 0 && largest / smallest == batch;
  }

  /** Runs a product in two halves. */
  static void runHalves(Dnnl dnnl, Spec spec, long... addresses) {
    Md result = spec.mds().get(spec.mds().size() - 1);
    int d = 0;
    while (result.dim(d) == 1) {
      d++;
    }
    long first = result.dim(d) / 2;
    dnnl.run(part(spec, d, first), addresses);
    long[] rest = addresses.clone();
    for (int i = 0; i < rest.length; i++) {
      Md md = operand(spec, i);
      rest[i] += md.dim(d) == 1 ? 0 : first * md.stride(d) * md.elementBytes();
    }
    dnnl.run(part(spec, d, result.dim(d) - first), rest);
  }

  /** Returns the descriptor of an argument: operands first, then those of post-ops. */
  private static Md operand(Spec spec, int i) {
    if (i < spec.mds().size()) {
      return spec.mds().get(i);
    }
    return spec.postOps().stream()
        .map(PostOp::md)
        .filter(md -> md != null)
        .skip(i - spec.mds().size())
        .findFirst()
        .orElseThrow();
  }

  private static Spec part(Spec spec, int d, long size) {
    List<Md> mds = spec.mds().stream().map(md -> narrowed(md, d, size)).toList();
    List<PostOp> postOps = new ArrayList<>();
    for (PostOp p : spec.postOps()) {
      postOps.add(p.md() == null ? p : new PostOp(p.algorithm(), p.a(), narrowed(p.md(), d, size)));
    }
    return new Spec(spec.kind(), spec.algorithm(), spec.a(), mds, postOps);
  }

  private static Md narrowed(Md md, int d, long size) {
    return md.dim(d) == 1 ? md : md.withDim(d, size); // a batch dimension of one is broadcast
  }
}
