package org.tune4j.core.engine;

import java.util.List;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * Runs the operations of a language model, forward and backward, on one device in one {@link
 * Precision}. Model code does not call it directly but through {@link Tape}; adapters and the
 * optimizer do.
 *
 * <p><b>Storage.</b> Results live in the step arena until {@link #resetArena()}, or until {@link
 * #release} hands their storage back earlier; {@link #persistent} tensors live until {@link #free}.
 * "compute type" below is {@code precision().computeType()}; everything else is {@link DType#F32}.
 *
 * <p><b>Threads.</b> An engine is a single stream of work: callers serialise a whole step, from its
 * first operation to {@link #resetArena()}, with {@link #lock()}. Between two operations a long
 * step may {@linkplain #giveWay let others in}. Operations use the machine's cores inside.
 *
 * <p><b>Determinism.</b> The same calls with the same number of threads give the same bits.
 *
 * <p>A new engine implements this interface, registers an {@link EngineProvider} and passes {@code
 * EngineContract}.
 */
public interface Engine extends AutoCloseable {
  /** Returns the name by which it is chosen, such as {@code nd4j}. */
  String name();

  /** Returns what it computes in. */
  Precision precision();

  /**
   * Says which roundings results have: its name, precision and what else was decided, so that runs
   * of which it says the same can be compared.
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

  /** Frees a {@link #persistent} tensor and with it all of its views. */
  void free(Tensor persistent);

  /**
   * Hands back the storage of an arena tensor before the step ends; views and persistent tensors
   * are ignored.
   */
  void release(Tensor tensor);

  /** Ends a step: all arena tensors die, their storage is reused by the next step. */
  void resetArena();

  /**
   * Between two operations of a step: lets those that wait for the lock run steps of their own, and
   * comes back when each of them has had a turn. They use another arena; all of this step is as it
   * was, so that its results are the same bits. What belongs to no step, such as adapters or the
   * model, may have been closed meanwhile. Does nothing if nobody waits, or if the caller holds the
   * lock more than once, as somebody further up then counts on it.
   */
  void giveWay();

  /**
   * Gives the arena's storage back, between steps, and forgets its peak: the next step takes what
   * it needs anew. For programs that train now and then, and for measuring what one run needs.
   */
  void freeArena();

  /** Returns what is held now. */
  MemoryUsage memory();

  /** Returns the bytes that its device has free for this process. */
  long freeMemory();

  /** Returns the bytes that {@link #freeze} takes for a matrix without a bias. */
  long weightBytes(int out, int in);

  /**
   * Returns the bytes of the arena that {@link #attention} keeps for its backward.
   *
   * @param rows of queries, packed
   * @param sequence rows of the longest span
   */
  long attentionBytes(int rows, int sequence, int heads);

  /** Returns the bytes of the arena that {@link #headLoss} takes for its logits at a time. */
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

  /** Copies an array {@code [rows, cols]} (or as many elements in 'c' order) into a tensor. */
  void write(Tensor t, INDArray values);

  /** Sets every element. */
  void fill(Tensor t, float value);

  /** Copies {@code from} to {@code to}, converting the type; same rows and columns. */
  void copy(Tensor from, Tensor to);

  /**
   * Returns {@code t} itself if it has that type and is contiguous, else a converted arena copy.
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
   * Returns the gradient of {@link #linear} by its input, {@code dy W}.
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
   * Returns {@code x} with elements dropped with probability {@code p} and the others divided by
   * {@code 1 - p}. Which ones depends only on {@code seed} and the element's place, so that
   * applying it to a gradient is its backward.
   */
  Tensor dropout(Tensor x, float p, long seed);

  /** {@code x[:, j] *= scale[j]} in place; {@code scale} F32 {@code [1, cols]}. */
  void scaleColumns(Tensor x, Tensor scale);

  /** {@code x[:, j] += bias[j]} in place; {@code bias} F32 {@code [1, cols]}. */
  void addColumns(Tensor x, Tensor bias);

  /** Returns F32 {@code [1, cols]}: the sum over rows of {@code a * b}. */
  Tensor columnDots(Tensor a, Tensor b);

  /** {@code to += from} in place, each of either type. */
  void add(Tensor from, Tensor to);

  /** {@code t *= factor} in place. */
  void scale(Tensor t, float factor);

  // ---- norms

  /**
   * A normalised tensor and what its backward needs.
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
   * Adds to (or, if {@code !accumulate}, sets) {@code dx}, F32, the gradient by the input; {@code
   * dy} of any type.
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

  /** Turns the gradient by the output into that by the input, in place. */
  void headNormBackward(Tensor saved, Tensor weight, float eps, Tensor dxy);

  // ---- attention

  /**
   * Rotates the heads of {@code x} by their positions, in place; by minus the angle if {@code
   * inverse}, which is the backward.
   *
   * @param x compute type {@code [n, heads * 2 * table.half()]}, commonly a view of columns
   * @param positions one per row
   */
  void rope(Tensor x, RopeTable table, int[] positions, boolean inverse);

  /**
   * The result of attention and what its backward needs.
   *
   * @param out compute type {@code [queries, heads * headDim]}
   * @param saved opaque arena tensors; empty if not asked for
   */
  record Attended(Tensor out, List<Tensor> saved) {}

  /**
   * Softmax attention over spans. Queries, keys and values may be views of one packed tensor, or
   * keys and values of a cache. A row of {@code q} that is in no span gets zeros; rows of {@code k}
   * and {@code v} that no query sees may be read, with a weight of zero, and have to be finite.
   * {@code spans.branch()} is not combined with a window.
   *
   * @param q compute type {@code [queries, heads * headDim]}
   * @param k compute type {@code [keys, kvHeads * headDim]}
   * @param v like {@code k}
   * @param forBackward whether {@link #attentionBackward} will follow
   */
  Attended attention(
      Tensor q, Tensor k, Tensor v, Spans spans, AttentionShape shape, boolean forBackward);

  /**
   * Sets {@code dq}, {@code dk}, {@code dv}, each shaped like its input (rows in no span get
   * zeros), from the gradient {@code dOut}.
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
   * Returns GELU (Hendrycks and Gimpel 2016), by the error function or its tanh approximation.
   * Compute type in and out.
   */
  Tensor gelu(Tensor x, boolean tanh);

  /** Returns the gradient by the input of {@link #gelu}. */
  Tensor geluBackward(Tensor x, boolean tanh, Tensor dy);

  /**
   * Returns {@code silu(gate) * up} (Shazeer 2020) of {@code [n, 2f]} = gate, then up: compute type
   * {@code [n, f]}.
   */
  Tensor swiglu(Tensor gateUp);

  /** Returns the gradient {@code [n, 2f]} by the input of {@link #swiglu}. */
  Tensor swigluBackward(Tensor gateUp, Tensor dy);

  // ---- rows, head, loss

  /** Returns rows {@code index} of {@code x}. */
  Tensor gatherRows(Tensor x, int[] index);

  /** {@code to[index[i]] += from[i]}; {@code index} has no row twice. */
  void scatterAddRows(Tensor from, int[] index, Tensor to);

  /** {@code to[index[i]] = from[i]}; same type; {@code index} has no row twice. */
  void scatterRows(Tensor from, int[] index, Tensor to);

  /**
   * Returns {@code h W^T}: F32 {@code [n, vocabulary]}; for few rows, as generation and parity
   * checks need.
   */
  Tensor logits(Tensor h, FrozenMatrix head);

  /**
   * Losses of the output head.
   *
   * @param losses cross-entropy of each row in nats, unweighted
   * @param dHidden compute type {@code [n, in]}: the gradient of {@code sum(weight * loss)}; null
   *     if not asked for
   */
  record HeadLoss(float[] losses, Tensor dHidden) {}

  /**
   * Cross-entropy of {@code softmax(h W^T)} with the targets, and its gradient in the same pass, in
   * chunks: full logits are never held.
   *
   * @param h compute type {@code [n, in]}
   * @param targets vocabulary index of each row
   * @param weights factor of each row's loss in the gradient; null: no gradient is formed
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
   *     not asked for
   */
  record LogitsLoss(float[] losses, Tensor dLogits) {}

  /**
   * Cross-entropy of {@code softmax(logits)} with the targets, and its gradient: for a chunk of
   * rows whose logits are not the head's alone.
   *
   * @param logits F32 {@code [n, vocabulary]}; left as they are
   * @param targets vocabulary index of each row
   * @param weights factor of each row's loss in the gradient; null: no gradient is formed
   */
  LogitsLoss crossEntropy(Tensor logits, int[] targets, float[] weights);

  /**
   * Returns the gradient of {@link #logits} by {@code h}: compute type {@code [n, in]}.
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
