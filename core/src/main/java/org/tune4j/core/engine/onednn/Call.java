package org.tune4j.core.engine.onednn;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;

/** Builds a primitive operand by operand and runs it. */
final class Call {
  private final Kind kind;
  private final float a;
  private final List<Md> mds = new ArrayList<>();
  private final List<PostOp> postOps = new ArrayList<>();
  private final LongStream.Builder operands = LongStream.builder();
  private final LongStream.Builder postOpOperands = LongStream.builder();

  Call(Kind kind, float a) {
    this.kind = kind;
    this.a = a;
  }

  /** Adds an operand, in the order of {@link Kind}. */
  Call with(Md md, long address) {
    mds.add(md);
    operands.add(address);
    return this;
  }

  /** Adds a binary post-op with another operand. */
  Call then(int algorithm, Md md, long address) {
    postOps.add(PostOp.binary(algorithm, md));
    postOpOperands.add(address);
    return this;
  }

  void run(Dnnl dnnl) {
    dnnl.run(
        new Spec(kind, 0, a, mds, postOps),
        LongStream.concat(operands.build(), postOpOperands.build()).toArray());
  }
}
