package org.tune4j.core.engine.onednn;

import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;

/**
 * Batched products that oneDNN 3.11 addresses wrongly on x86-64, divided into such as it addresses
 * rightly.
 *
 * <p>Its {@code brgemm} products take the matrices of a batch of several dimensions to lie one
 * after the other at the distance of the innermost of them if the largest distance is as many times
 * the smallest as there are matrices (function {@code is_batch_layout_trivial}; exact from 3.13
 * on). A batch of 32 tiles of 32 rows is one, whatever the number of heads: then most matrices of
 * the result are never written, and others are written with the product of the wrong ones, in every
 * type. Half of such a batch has the same distances and half as many matrices.
 *
 * <p>With an inner dimension of one the matrices of such a batch are confused whatever their
 * distances: one by one they are not.
 */
final class MisreadBatches {
  private MisreadBatches() {}

  /** Returns whether a product would be addressed wrongly. */
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
    long least = md.stride(innermost);
    long most = least;
    long next = least; // the distance that a dimension has if the matrices lie regularly
    boolean regular = true;
    for (int d = innermost; d >= 0; d--) {
      least = Math.min(least, md.stride(d));
      most = Math.max(most, md.stride(d));
      if (md.dim(d) > 1) {
        regular &= md.stride(d) == next;
        next *= md.dim(d);
      }
    }
    return !regular && least > 0 && most / least == batch;
  }

  /** Runs the two halves of a product on operands at addresses. */
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

  /** Returns the description of an argument of a run: operands, then those of post-ops. */
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
    return md.dim(d) == 1 ? md : md.withDim(d, size); // a batch dimension of one is shared
  }
}
