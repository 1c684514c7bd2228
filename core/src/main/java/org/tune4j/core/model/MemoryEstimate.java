package org.tune4j.core.model;

import java.util.Locale;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Tape;

/**
 * Estimated off-heap bytes for working with a model, computed from its shape and its engine's
 * storage before anything is loaded. Intended as an upper bound: savings by fused operations are
 * not subtracted.
 *
 * @param weights the frozen base model
 * @param activations the arena of one step
 * @param adapters weights, gradients, both moments of AdamW, and state of gradient hooks
 */
public record MemoryEstimate(long weights, long activations, long adapters) {

  /**
   * Estimates one step with a recording tape.
   *
   * @param rows tokens of a batch
   * @param sequence tokens of its longest sequence
   * @param trainable number of trained parameters; 0 for inference
   */
  public static MemoryEstimate of(
      ModelConfig config, Engine engine, int rows, int sequence, long trainable) {
    return of(config, engine, rows, sequence, trainable, Tape.Mode.RECORDING);
  }

  /** Estimates one step; {@code mode} matters only if parameters are trained. */
  public static MemoryEstimate of(
      ModelConfig config, Engine engine, int rows, int sequence, long trainable, Tape.Mode mode) {
    int vocabulary = config.vocabularySize();
    int hidden = config.hiddenSize();
    int tables = config.tiedHead() ? 1 : 2;
    long vectors =
        config.parameters()
            - config.layers() * config.projectionWeights()
            - (long) tables * vocabulary * hidden;
    long weights =
        config.layers() * projectionBytes(config, engine)
            + tables * engine.weightBytes(vocabulary, hidden)
            + Float.BYTES * vectors;
    long compute = engine.computeType().bytes();
    long query = (long) config.heads() * config.headDim();
    long inner = config.feedForwardMatrices() * config.intermediateSize();
    // per row, a layer keeps two residuals (F32), two norms, qkv, attention's output, and the inner
    // values of the feed-forward network
    long layer =
        2L * Float.BYTES * hidden
            + compute * (2L * hidden + query + 2L * config.kvCols() + query + inner);
    long scores = engine.attentionBytes(rows, Math.min(sequence, rows), config.heads());
    boolean training = trainable > 0 && mode != Tape.Mode.INFERENCE;
    long kept =
        training && mode == Tape.Mode.RECORDING
            ? config.layers() * (rows * layer + scores)
            : 2 * (rows * layer + scores)
                + (training ? (long) Float.BYTES * hidden * rows * config.layers() : 0);
    long gradients = training ? 2L * rows * layer : 0;
    long head = engine.headLossBytes(rows, vocabulary);
    // a quarter more for fragmentation of the arena
    return new MemoryEstimate(weights, (kept + gradients + head) * 5 / 4, 16 * trainable);
  }

  /** Returns the bytes of the projections of one layer, without biases. */
  private static long projectionBytes(ModelConfig config, Engine engine) {
    int hidden = config.hiddenSize();
    int query = config.heads() * config.headDim();
    int inner = config.intermediateSize();
    int intoInner = (int) config.feedForwardMatrices() - 1;
    return engine.weightBytes(query + 2 * config.kvCols(), hidden)
        + engine.weightBytes(hidden, query)
        + engine.weightBytes(intoInner * inner, hidden)
        + engine.weightBytes(hidden, inner);
  }

  /** Returns the estimate without the weights, for a model that is already loaded. */
  public MemoryEstimate beyondWeights() {
    return new MemoryEstimate(0, activations, adapters);
  }

  /** Returns the estimate with additional copies of a model's projections, as needed by merging. */
  public MemoryEstimate withProjections(ModelConfig config, Engine engine, int copies) {
    return new MemoryEstimate(
        weights + (long) copies * config.layers() * projectionBytes(config, engine),
        activations,
        adapters);
  }

  /**
   * Returns the estimate with additional F32 copies of adapter parameters, as kept by gradient
   * hooks.
   */
  public MemoryEstimate withAdapterCopies(long parameters) {
    return new MemoryEstimate(weights, activations, adapters + Float.BYTES * parameters);
  }

  /** Returns the sum of all parts in bytes. */
  public long total() {
    return weights + activations + adapters;
  }

  /**
   * Checks that this much is available.
   *
   * @param purpose what needs the memory; the message begins with it
   * @param available bytes, usually from {@link Engine#freeMemory}
   * @throws NotEnoughMemoryException if it is not
   */
  public void require(String purpose, long available) {
    if (total() > available) {
      throw new NotEnoughMemoryException(purpose, this, available);
    }
  }

  /** Formats bytes in MiB or GiB. */
  static String format(long bytes) {
    double mib = bytes / (1024.0 * 1024);
    return mib < 1024
        ? String.format(Locale.ROOT, "%.1f MiB", mib)
        : String.format(Locale.ROOT, "%.2f GiB", mib / 1024);
  }

  @Override
  public String toString() {
    return "%s (weights %s, activations %s, adapters %s)"
        .formatted(format(total()), format(weights), format(activations), format(adapters));
  }
}
