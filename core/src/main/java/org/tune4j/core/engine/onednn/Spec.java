package org.tune4j.core.engine.onednn;

import static org.bytedeco.dnnl.global.dnnl.*;

import java.util.Arrays;
import java.util.List;

/**
 * The specification of a primitive.
 *
 * @param algorithm of element-wise and binary functions and softmax, else 0
 * @param a parameter of the function, or epsilon of a norm
 * @param mds operands, in the order given by {@link Kind}
 * @param postOps applied to the result
 */
record Spec(Kind kind, int algorithm, float a, List<Md> mds, List<PostOp> postOps) {
  static Spec of(Kind kind, int algorithm, float a, Md... mds) {
    return new Spec(kind, algorithm, a, Arrays.asList(mds), List.of());
  }

  static Spec of(Kind kind, Md... mds) {
    return of(kind, 0, 0, mds);
  }

  Spec then(PostOp... more) {
    return new Spec(kind, algorithm, a, mds, Arrays.asList(more));
  }

  /** The operation; its operands are listed in the order of the arguments of a run. */
  enum Kind {
    /**
     * {@code dst = src weights (+ bias)}: src, weights, dst; with a bias: src, weights, bias, dst.
     */
    MATMUL,
    /** src, dst. */
    ELTWISE,
    /** src, gradient of dst, gradient of src. */
    ELTWISE_BACKWARD,
    /** src0, src1, dst. */
    BINARY,
    /** Over the last dimension: src, dst. */
    SOFTMAX,
    /** dst of forward, gradient of dst, gradient of src. */
    SOFTMAX_BACKWARD,
    /** src, mean, variance, scale, shift, dst. */
    LAYER_NORM,
    /** src, mean, variance, scale, gradient of dst, gradient of src, gradient of scale. */
    LAYER_NORM_BACKWARD,
    /** src, variance, scale, dst. */
    RMS_NORM,
    /** src, variance, scale, gradient of dst, gradient of src, gradient of scale. */
    RMS_NORM_BACKWARD,
    /** src, dst. */
    REORDER,
    /** Maximum over the last of four dimensions: src, dst. */
    MAX_POOL
  }

  /**
   * A post-op, applied to the result before it is stored.
   *
   * @param algorithm element-wise or binary function, or 0 for {@code + a * dst}
   * @param a parameter of an element-wise function
   * @param md the other operand of a binary function, which a run passes after the primitive's own
   */
  record PostOp(int algorithm, float a, Md md) {
    static PostOp sum() {
      return new PostOp(0, 1, null);
    }

    boolean isSum() {
      return algorithm == 0;
    }

    static PostOp scale(float factor) {
      return new PostOp(dnnl_eltwise_linear, factor, null);
    }

    static PostOp eltwise(int algorithm, float a) {
      return new PostOp(algorithm, a, null);
    }

    static PostOp binary(int algorithm, Md md) {
      return new PostOp(algorithm, 0, md);
    }
  }

  /** Returns oneDNN's argument indices of the operands, in order. */
  int[] arguments() {
    return switch (kind) {
      case MATMUL ->
          mds.size() == 3
              ? new int[] {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}
              : new int[] {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST};
      case ELTWISE, SOFTMAX, REORDER, MAX_POOL -> new int[] {DNNL_ARG_SRC, DNNL_ARG_DST};
      case ELTWISE_BACKWARD -> new int[] {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC};
      case BINARY -> new int[] {DNNL_ARG_SRC_0, DNNL_ARG_SRC_1, DNNL_ARG_DST};
      case SOFTMAX_BACKWARD -> new int[] {DNNL_ARG_DST, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC};
      case LAYER_NORM ->
          new int[] {
            DNNL_ARG_SRC,
            DNNL_ARG_MEAN,
            DNNL_ARG_VARIANCE,
            DNNL_ARG_SCALE,
            DNNL_ARG_SHIFT,
            DNNL_ARG_DST
          };
      case LAYER_NORM_BACKWARD ->
          new int[] {
            DNNL_ARG_SRC,
            DNNL_ARG_MEAN,
            DNNL_ARG_VARIANCE,
            DNNL_ARG_SCALE,
            DNNL_ARG_DIFF_DST,
            DNNL_ARG_DIFF_SRC,
            DNNL_ARG_DIFF_SCALE
          };
      case RMS_NORM -> new int[] {DNNL_ARG_SRC, DNNL_ARG_VARIANCE, DNNL_ARG_SCALE, DNNL_ARG_DST};
      case RMS_NORM_BACKWARD ->
          new int[] {
            DNNL_ARG_SRC,
            DNNL_ARG_VARIANCE,
            DNNL_ARG_SCALE,
            DNNL_ARG_DIFF_DST,
            DNNL_ARG_DIFF_SRC,
            DNNL_ARG_DIFF_SCALE
          };
    };
  }
}
