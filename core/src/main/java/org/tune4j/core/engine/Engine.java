package org.tune4j.core.engine;

import java.util.List;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * Runs the operations of a language model, forward and backward, on one device in one {@link
 * Precision}. Model code uses it through {@link Tape}; adapters and the optimizer call it directly.
 *
 * <p><b>Storage.</b> Results live in the step arena until {@link #resetArena()}, or until {@link
 * #release} returns their storage earlier; {@link #persistent} tensors live until {@link #free}.
 * "compute type" below is {@code precision().computeType()}; everything else is {@link DType#F32}.
 *
 * <p><b>Threads.</b> An engine is a single stream of work: callers serialise a whole step, from its
 * first operation to {@link #resetArena()}, with {@link #lock()}. A long step may {@linkplain
 * #giveWay let other steps run} between two operations. Operations themselves are multi-threaded.
 *
 * <p><b>Determinism.</b> The same calls with the same number of threads give the same bits.
 *
 * <p>A new engine implements this interface, registers an {@link EngineProvider} and passes {@code
 * EngineContract}.
 */
public interface Engine extends AutoCloseable {
  /** Returns the name to choose it by, such as {@code nd4j}. */
  String name();

  /** Returns the precision that it computes in. */
  Precision precision();

  /**
   * Describes everything that affects the rounding of results: name, precision and
   * processor-dependent choices. Runs with the same description are comparable.
   */
  default String describe() {
    return name() + " in " + precision();
  }

  /** Returns the lock that serialises steps. */
  java.util.concurrent.locks.ReentrantLock lock();

  /** Returns the type of activations that enter matrix products. */
  default DType computeType() {
    return precision().computeType();
  }

  // ---- storage

  /** Returns an arena tensor with unspecified contents. */
  Tensor allocate(int rows, int cols, DType dtype);

  /** Returns a zeroed tensor outside the arena. */
  Tensor persistent(int rows, int cols, DType dtype);

  /** Frees a {@link #persistent} tensor, including its views. */
  void free(Tensor persistent);

  /**
   * Returns the storage of an arena tensor before the step ends; ignores views and persistent
   * tensors.
   */
  void release(Tensor tensor);

  /** Ends a step: all arena tensors become invalid, and the next step reuses their storage. */
  void resetArena();

  /**
   * Lets threads that wait for the lock run a step each, and returns when they have; called between
   * two operations of a step. They use another arena, so this step's tensors and results are
   * unaffected. Anything outside the step, such as adapters or the model, may have been closed
   * meanwhile. Does nothing if no thread waits, or if the caller holds the lock more than once, as
   * an outer caller then relies on it.
   */
  void giveWay();

  /**
   * Frees the arena's storage between steps and resets its peak; the next step allocates anew. For
   * programs that train only now and then, and for measuring a single run.
   */
  void freeArena();

  /** Returns the memory held now. */
  MemoryUsage memory();

  /** Returns the bytes of device memory that are free for this process. */
  long freeMemory();

  /** Returns the bytes that {@link #freeze} takes for a matrix without a bias. */
  long weightBytes(int out, int in);

  /**
   * Returns the arena bytes that {@link #attention} keeps for its backward pass.
   *
   * @param rows of queries, packed
   * @param sequence rows of the longest span
   */
  long attentionBytes(int rows, int sequence, int heads);

  /** Returns the arena bytes that {@link #headLoss} uses for one chunk of logits. */
  long headLossBytes(int rows, int vocabulary);

  /** Returns rows {@code [from, from + count)} of a tensor, sharing storage. */
  Tensor rows(Tensor t, int from, int count);

  /** Returns columns {@code [from, from + count)} of a tensor, sharing storage. */
  Tensor columns(Tensor t, int from, int count);

  /**
   * Returns {@code rows x cols} elements of a contiguous tensor from element {@code offset},
   * sharing storage.
   */
  Tensor view(Tensor t, long offset, int rows, int cols);

  /** Copies values in, row-major, converting to the tensor's type. */
  void write(Tensor t, float[] values);

  /** Copies values out, row-major, converting to F32. */
  float[] read(Tensor t);

  /** Returns a copy of a tensor as an F32 array {@code [rows, cols]}. */
  INDArray toArray(Tensor t);

  /** Copies an array {@code [rows, cols]} (or with as many elements in 'c' order) into a tensor. */
  void write(Tensor t, INDArray values);

  /** Sets every element. */
  void fill(Tensor t, float value);

  /** Copies {@code from} to {@code to}, converting the type; same rows and columns. */
  void copy(Tensor from, Tensor to);

  /**
   * Returns {@code t} itself if it is contiguous and has that type, else a converted arena copy.
   */
  Tensor cast(Tensor t, DType dtype);

  // ---- frozen weights

  /**
   * Converts a weight into the engine's layout.
   *
   * @param source values, {@code [out, in]}
   * @param bias {@code [out]}, or null
   */
  FrozenMatrix freeze(MatrixSource source, float[] bias);

  /** Returns rows {@code ids} of an embedding: F32 {@code [ids.length, in]}. */
  Tensor embed(FrozenMatrix table, int[] ids);

  /**
   * Returns {@code x W^T + bias (+ residual)}.
   *
   * @param x compute type {@code [n, in]}
   * @param residual F32 {@code [n, out]}, or null
   * @return {@code [n, out]}: F32 with a residual, else compute type
   */
  Tensor linear(Tensor x, FrozenMatrix w, Tensor residual);

  /**
   * Returns the gradient of {@link #linear} with respect to its input, {@code dy W}.
   *
   * @param dy compute type {@code [n, out]}
   * @return compute type {@code [n, in]}
   */
  Tensor linearBackward(Tensor dy, FrozenMatrix w);

  // ---- dense products and small helpers, for adapters

  /**
   * {@code c = alpha op(a) op(b) + beta c}, where {@code op} transposes if asked. {@code a} and
   * {@code b} have the same type; any of the three may be a view with a stride. {@code beta} is 0
   * (then {@code c} is not read) or 1.
   */
  void gemm(
      float alpha,
      Tensor a,
      boolean transposeA,
      Tensor b,
      boolean transposeB,
      float beta,
      Tensor c);

  /**
   * Returns {@code x} with each element dropped with probability {@code p} and the others divided
   * by {@code 1 - p}. The mask depends only on {@code seed} and the element's index, so that
   * applying this to a gradient is the backward pass.
   */
  Tensor dropout(Tensor x, float p, long seed);

  /** {@code x[:, j] *= scale[j]} in place; {@code scale} F32 {@code [1, cols]}. */
  void scaleColumns(Tensor x, Tensor scale);

  /** {@code x[:, j] += bias[j]} in place; {@code bias} F32 {@code [1, cols]}. */
  void addColumns(Tensor x, Tensor bias);

  /** Returns F32 {@code [1, cols]}: the sum over rows of {@code a * b}. */
  Tensor columnDots(Tensor a, Tensor b);

  /** {@code to += from} in place, for any combination of types. */
  void add(Tensor from, Tensor to);

  /** {@code t *= factor} in place. */
  void scale(Tensor t, float factor);

  // ---- norms

  /**
   * A normalised tensor and what the backward pass needs.
   *
   * @param y compute type, shaped like the input
   * @param stats opaque to callers; an arena tensor, or null
   */
  record Normed(Tensor y, Tensor stats) {}

  /**
   * RMSNorm (Zhang and Sennrich 2019): {@code x / sqrt(mean(x^2) + eps) * weight}.
   *
   * @param x F32 {@code [n, d]}
   * @param weight F32 {@code [1, d]}
   */
  Normed rmsNorm(Tensor x, Tensor weight, float eps);

  /**
   * Adds the gradient with respect to the input to {@code dx}, F32, or sets it if {@code
   * !accumulate}; {@code dy} has any type.
   */
  void rmsNormBackward(
      Tensor x, Tensor weight, float eps, Tensor stats, Tensor dy, Tensor dx, boolean accumulate);

  /** LayerNorm (Ba et al. 2016) over rows; {@code weight} and {@code bias} F32 {@code [1, d]}. */
  Normed layerNorm(Tensor x, Tensor weight, Tensor bias, float eps);

  /** Like {@link #rmsNormBackward}. */
  void layerNormBackward(
      Tensor x, Tensor weight, float eps, Tensor stats, Tensor dy, Tensor dx, boolean accumulate);

  /**
   * RMSNorm of each head on its own (Qwen3's QK norm), in place: columns {@code [h * d, (h + 1) *
   * d)} for each head {@code h}, {@code d = weight.cols()}.
   *
   * @param x compute type {@code [n, heads * d]}, commonly a view of columns
   * @return what {@link #headNormBackward} needs: an arena tensor
   */
  Tensor headNorm(Tensor x, Tensor weight, float eps);

  /** Replaces the gradient with respect to the output by that with respect to the input. */
  void headNormBackward(Tensor saved, Tensor weight, float eps, Tensor dxy);

  // ---- attention

  /**
   * Rotates the heads of {@code x} according to their positions, in place; by the negative angle if
   * {@code inverse}, which is the backward pass.
   *
   * @param x compute type {@code [n, heads * 2 * table.half()]}, commonly a view of columns
   * @param positions one per row
   */
  void rope(Tensor x, RopeTable table, int[] positions, boolean inverse);

  /**
   * The result of attention and what the backward pass needs.
   *
   * @param out compute type {@code [queries, heads * headDim]}
   * @param saved opaque arena tensors; empty if not requested
   */
  record Attended(Tensor out, List<Tensor> saved) {}

  /**
   * Softmax attention over spans. Queries, keys and values may be views of one packed tensor, or
   * keys and values of a cache. Rows of {@code q} in no span become zero. Rows of {@code k} and
   * {@code v} that no query sees may be read with weight zero, so they must be finite. {@code
   * spans.branch()} cannot be combined with a window.
   *
   * @param q compute type {@code [queries, heads * headDim]}
   * @param k compute type {@code [keys, kvHeads * headDim]}
   * @param v like {@code k}
   * @param forBackward whether {@link #attentionBackward} will follow
   */
  Attended attention(
      Tensor q, Tensor k, Tensor v, Spans spans, AttentionShape shape, boolean forBackward);

  /**
   * Sets {@code dq}, {@code dk}, {@code dv}, each shaped like its input, from the gradient {@code
   * dOut}; rows in no span become zero.
   */
  void attentionBackward(
      Tensor q,
      Tensor k,
      Tensor v,
      Spans spans,
      AttentionShape shape,
      Attended attended,
      Tensor dOut,
      Tensor dq,
      Tensor dk,
      Tensor dv);

  // ---- activations

  /**
   * Returns GELU (Hendrycks and Gimpel 2016), exact or in its tanh approximation. Compute type in
   * and out.
   */
  Tensor gelu(Tensor x, boolean tanh);

  /** Returns the gradient with respect to the input of {@link #gelu}. */
  Tensor geluBackward(Tensor x, boolean tanh, Tensor dy);

  /**
   * Returns {@code silu(gate) * up} (Shazeer 2020) of {@code [n, 2f]} = gate, then up: compute type
   * {@code [n, f]}.
   */
  Tensor swiglu(Tensor gateUp);

  /** Returns the gradient with respect to the input of {@link #swiglu}: {@code [n, 2f]}. */
  Tensor swigluBackward(Tensor gateUp, Tensor dy);

  // ---- rows, head, loss

  /** Returns rows {@code index} of {@code x}. */
  Tensor gatherRows(Tensor x, int[] index);

  /** {@code to[index[i]] += from[i]}; the indices are distinct. */
  void scatterAddRows(Tensor from, int[] index, Tensor to);

  /** {@code to[index[i]] = from[i]}; same type; the indices are distinct. */
  void scatterRows(Tensor from, int[] index, Tensor to);

  /**
   * Returns {@code h W^T}: F32 {@code [n, vocabulary]}; for few rows, as in generation and parity
   * checks.
   */
  Tensor logits(Tensor h, FrozenMatrix head);

  /**
   * Losses of the output head.
   *
   * @param losses cross-entropy of each row in nats, unweighted
   * @param dHidden compute type {@code [n, in]}: the gradient of {@code sum(weight * loss)}; null
   *     if not requested
   */
  record HeadLoss(float[] losses, Tensor dHidden) {}

  /**
   * Cross-entropy of {@code softmax(h W^T)} with the targets, and its gradient in the same pass, in
   * chunks: the full logits are never held.
   *
   * @param h compute type {@code [n, in]}
   * @param targets vocabulary index of each row
   * @param weights factor of each row's loss in the gradient; null to compute no gradient
   */
  default HeadLoss headLoss(Tensor h, FrozenMatrix head, int[] targets, float[] weights) {
    return headLoss(h, head, targets, weights, () -> {});
  }

  /**
   * Like {@link #headLoss(Tensor, FrozenMatrix, int[], float[])}.
   *
   * @param between run before each chunk; it may {@link #giveWay}
   */
  HeadLoss headLoss(Tensor h, FrozenMatrix head, int[] targets, float[] weights, Runnable between);

  /**
   * Losses of logits.
   *
   * @param losses cross-entropy of each row in nats, unweighted
   * @param dLogits F32 {@code [n, vocabulary]}: the gradient of {@code sum(weight * loss)}; null if
   *     not requested
   */
  record LogitsLoss(float[] losses, Tensor dLogits) {}

  /**
   * Cross-entropy of {@code softmax(logits)} with the targets, and its gradient; for a chunk of
   * rows whose logits were changed by adapters.
   *
   * @param logits F32 {@code [n, vocabulary]}; not modified
   * @param targets vocabulary index of each row
   * @param weights factor of each row's loss in the gradient; null to compute no gradient
   */
  LogitsLoss crossEntropy(Tensor logits, int[] targets, float[] weights);

  /**
   * Returns the gradient of {@link #logits} with respect to {@code h}: compute type {@code [n,
   * in]}.
   *
   * @param dLogits F32 {@code [n, vocabulary]}
   */
  default Tensor logitsBackward(Tensor dLogits, FrozenMatrix head) {
    return linearBackward(cast(dLogits, computeType()), head);
  }

  // ---- optimizer

  /** Returns the sum of squares of a contiguous F32 tensor. */
  double sumOfSquares(Tensor t);

  /**
   * One step of AdamW (Loshchilov and Hutter 2019) as {@code torch.optim.AdamW} computes it, in
   * place.
   *
   * @param w parameters, F32, contiguous; {@code g}, {@code m}, {@code v} alike
   * @param gradScale factor of the gradient, for clipping
   * @param lr learning rate
   * @param step number of this step, from 1
   */
  void adamW(
      Tensor w,
      Tensor g,
      Tensor m,
      Tensor v,
      float gradScale,
      float lr,
      float beta1,
      float beta2,
      float eps,
      float weightDecay,
      int step);

  /** Frees everything. */
  @Override
  void close();
}
