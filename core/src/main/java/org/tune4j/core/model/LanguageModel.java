package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;
import static com.google.common.base.Preconditions.checkState;

import com.google.common.collect.ImmutableList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MemoryUsage;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;

/**
 * A decoder-only language model with frozen weights on an {@link Engine}, shared by any number of
 * {@link Adapter}s, which are chosen per call.
 *
 * <p><b>Threads.</b> Any thread may call any method. The engine runs one step at a time: each call
 * without a {@link Tape} takes the engine's lock for a step, and generation takes it for one token
 * at a time, so that several generations, with different adapters, advance in turns. Calls with a
 * tape are parts of a step of the caller's, who holds {@link Engine#lock()} from the first
 * operation to {@link Engine#resetArena()}. An adapter must not be trained, merged or closed while
 * another thread uses it.
 *
 * <p><b>Closing</b> frees the weights, and the engine unless it is the caller's.
 */
public final class LanguageModel implements AutoCloseable {
  private final ModelConfig config;
  private final Engine engine;
  private final boolean ownsEngine;
  private final WeightLoader weights;
  private final Decoder decoder;
  private final ImmutableList<Projection> projections;
  private boolean closed;

  private LanguageModel(
      ModelConfig config,
      Engine engine,
      boolean ownsEngine,
      WeightLoader weights,
      Decoder decoder) {
    this.config = config;
    this.engine = engine;
    this.ownsEngine = ownsEngine;
    this.weights = weights;
    this.decoder = decoder;
    this.projections =
        decoder.groups().stream()
            .flatMap(g -> g.members().stream())
            .collect(ImmutableList.toImmutableList());
  }

  /**
   * Returns an untrained model: normal weights of standard deviation {@link
   * ModelConfig#initializerRange()}, no files, no tokenizer. For benchmarks and tests.
   *
   * @param engine the caller's, who closes it after the model
   */
  public static LanguageModel random(ModelConfig config, Engine engine, long seed) {
    LoadOptions options = LoadOptions.builder().engine(engine).build();
    return build(
        config, new RandomWeights(config.initializerRange(), seed), options, engine, false);
  }

  private static LanguageModel build(
      ModelConfig config, Weights weights, LoadOptions options, Engine engine, boolean ownsEngine) {
    MemoryEstimate.of(config, engine.precision(), 1, 1, 0)
        .require("loading the model", Math.min(options.maxMemory(), MemoryEstimate.available()));
    int storedBytes = List.of("float16", "bfloat16").contains(config.dtype()) ? 2 : 4;
    WeightLoader loader =
        new WeightLoader(engine, weights, options.progress(), config.parameters(), storedBytes);
    engine.lock().lock();
    try {
      Decoder decoder =
          config.architecture() == Architecture.GPT2
              ? new Gpt2(config, loader)
              : new Llama(config, loader);
      return new LanguageModel(config, engine, ownsEngine, loader, decoder);
    } catch (RuntimeException | Error e) {
      loader.close();
      throw e;
    } finally {
      engine.resetArena();
      engine.lock().unlock();
    }
  }

  /** Returns its shape. */
  public ModelConfig config() {
    return config;
  }

  /** Returns what it runs on. */
  public Engine engine() {
    return engine;
  }

  /**
   * Returns all linear layers that adapters can be attached to, in the order of PyTorch's modules;
   * the output head is not among them.
   */
  public ImmutableList<Projection> projections() {
    return projections;
  }

  /** Returns {@link #projections()} as they are run: those with a common input together. */
  public ImmutableList<ProjectionGroup> groups() {
    return decoder.groups();
  }

  // ---- parts of a step; the caller holds the engine's lock

  /**
   * Returns the residual stream after the last layer, before the final norm: F32 {@code
   * [batch.rows(), hidden]}.
   */
  public Tensor forward(Tape tape, Batch batch, Routing routing) {
    checkState(!closed, "the model is closed");
    check(batch);
    return decoder.residual(tape, batch.ids(), batch.positions(), within(batch), routing);
  }

  /**
   * Returns the cross-entropy of each row that has a target; the output head runs on those rows
   * only.
   *
   * @param rowWeights factor of each such row's loss in what {@link Tape#backward()}
   *     differentiates, in the order of {@link Batch#lossRows()}; null for the mean
   */
  public LossResult loss(Tape tape, Batch batch, Routing routing, float[] rowWeights) {
    int[] rows = batch.lossRows();
    checkArgument(
        rowWeights == null || rowWeights.length == rows.length,
        "%s weights for %s rows with a target",
        rowWeights == null ? 0 : rowWeights.length,
        rows.length);
    Tensor x = forward(tape, batch, routing); // F32 [n, hidden]
    if (rows.length == 0) {
      return new LossResult(rows, new float[0]);
    }
    float[] factors = rowWeights;
    if (factors == null) {
      factors = new float[rows.length];
      Arrays.fill(factors, 1f / rows.length);
    }
    int[] targets = new int[rows.length];
    for (int i = 0; i < rows.length; i++) {
      targets[i] = batch.targets()[rows[i]];
    }
    Tensor selected =
        rows.length == batch.rows() ? x : tape.selectRows(x, rows); // F32 [rows, hidden]
    Tensor h = decoder.finalNorm(tape, selected); // [rows, hidden]
    return new LossResult(rows, tape.headLoss(h, decoder.head(), targets, factors));
  }

  // ---- whole steps

  /** Returns the cross-entropy of each row that has a target, without recording. */
  public LossResult loss(Batch batch, Routing routing) {
    return step(() -> loss(Tape.inference(engine), batch, routing, null));
  }

  /**
   * Returns the logits of every row: F32 {@code [rows, vocabulary]}. For small batches: nothing is
   * done in chunks.
   */
  public INDArray logits(Batch batch, Routing routing) {
    return step(
        () -> {
          Tape tape = Tape.inference(engine);
          Tensor h = decoder.finalNorm(tape, forward(tape, batch, routing));
          return engine.toArray(engine.logits(h, decoder.head()));
        });
  }

  /**
   * Returns the hidden states after the final norm, as transformers' {@code last_hidden_state}: F32
   * {@code [rows, hidden]}.
   */
  public INDArray hiddenStates(Batch batch, Routing routing) {
    return step(
        () -> {
          Tape tape = Tape.inference(engine);
          return engine.toArray(decoder.finalNorm(tape, forward(tape, batch, routing)));
        });
  }

  /** Returns what the model is and what it holds, in a few lines. */
  public String describe() {
    MemoryUsage memory = engine.memory();
    return String.format(
        Locale.ROOT,
        "%s, %.1f million parameters, %d layers, hidden %d, vocabulary %d, context %d%n"
            + "engine %s in %s: weights %s, adapters and caches %s, arena %s (peak %s)",
        config.architecture().className(),
        config.parameters() / 1e6,
        config.layers(),
        config.hiddenSize(),
        config.vocabularySize(),
        config.maxPositions(),
        engine.name(),
        engine.precision(),
        MemoryEstimate.format(memory.weights()),
        MemoryEstimate.format(memory.persistent()),
        MemoryEstimate.format(memory.arenaReserved()),
        MemoryEstimate.format(memory.arenaPeak()));
  }

  /**
   * Reckons the memory of working with a model before it is loaded.
   *
   * @param rows tokens of a batch
   * @param sequence tokens of its longest sequence
   * @param trainable trained parameters; 0 for inference
   */
  public static MemoryEstimate estimateMemory(
      ModelConfig config, Precision precision, int rows, int sequence, long trainable) {
    return MemoryEstimate.of(config, precision, rows, sequence, trainable);
  }

  /** Runs a step under the engine's lock; inside a step of the caller's it joins that. */
  <T> T step(Supplier<T> work) {
    engine.lock().lock();
    try {
      checkState(!closed, "the model is closed");
      return work.get();
    } finally {
      if (engine.lock().getHoldCount() == 1) {
        engine.resetArena();
      }
      engine.lock().unlock();
    }
  }

  Decoder decoder() {
    return decoder;
  }

  private Decoder.Attention within(Batch batch) {
    Spans spans = batch.spans();
    if (batch.branch() == null) {
      return (tape, layer, qkv, shape) -> tape.attention(qkv, spans, shape);
    }
    int longest = Arrays.stream(batch.positions()).max().orElse(0) + 1;
    int window = config.smallestWindow();
    checkArgument(
        window == 0 || longest <= window,
        "branches of %s tokens do not fit the sliding window of %s tokens: run them as separate segments",
        longest,
        window);
    return (tape, layer, qkv, s) ->
        tape.attention(
            qkv, spans, new AttentionShape(s.heads(), s.kvHeads(), s.headDim(), s.scale(), 0));
  }

  private void check(Batch batch) {
    for (int i = 0; i < batch.rows(); i++) {
      checkToken(batch.ids()[i]);
      checkPosition(batch.positions()[i]);
      if (batch.targets()[i] >= 0) {
        checkToken(batch.targets()[i]);
      }
    }
  }

  void checkToken(int id) {
    if (id < 0 || id >= config.vocabularySize()) {
      throw new IllegalArgumentException(
          "token %d is outside the model's vocabulary of %d"
              .formatted(id, config.vocabularySize()));
    }
  }

  void checkPosition(int position) {
    if (position < 0 || position >= config.maxPositions()) {
      throw new IllegalArgumentException(
          "position %d is outside the model's context of %d tokens"
              .formatted(position, config.maxPositions()));
    }
  }

  @Override
  public void close() {
    engine.lock().lock();
    try {
      if (!closed) {
        closed = true;
        weights.close();
        if (ownsEngine) {
          engine.close();
        }
      }
    } finally {
      engine.lock().unlock();
    }
  }
}
