package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;
import static com.google.common.base.Preconditions.checkState;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.LearnedTurns;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.MemoryUsage;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.text.ChatEncoder;
import org.tune4j.core.text.ChatTemplate;
import org.tune4j.core.text.Tokenizer;

/**
 * A decoder-only language model with frozen weights on an {@link Engine}, shared by any number of
 * {@link Adapter}s, which are chosen per call.
 *
 * <p><b>Threads.</b> Any thread may call any method. The engine runs one step at a time: each call
 * without a {@link Tape} takes the engine's lock for a step, and generation takes it for one token
 * at a time, so that several generations, with different adapters, advance in turns. Calls with a
 * tape are parts of the caller's step; the caller holds {@link Engine#lock()} from the first
 * operation to {@link Engine#resetArena()}. An adapter must not be trained, merged or closed while
 * another thread uses it.
 *
 * <p><b>Adapters</b> belong to the model that they were created for or loaded on. An adapter of
 * another model, even of the same files loaded again, is refused with an {@link
 * IllegalArgumentException}, a closed one with an {@link IllegalStateException}; both name it.
 * Adapters of a model derived from this one by {@link #withMerged} may be used here as well: they
 * run on that model's weights.
 *
 * <p><b>Closing</b> frees the weights, and the engine unless it is the caller's; later calls throw
 * "the model is closed".
 *
 * <p>This file is the public interface, most of it documentation; the work is done in {@link
 * ModelLoader}, {@link ModelFiles}, {@link ModelTensors}, {@link Forward}, {@link Packer}, {@link
 * Scorer} and {@link Generator}.
 */
public final class LanguageModel implements AdaptableModel, TextGenerator {
  private final ModelConfig config;
  private final Engine engine;
  private final boolean ownsEngine;
  private final WeightLoader weights;
  private final Decoder decoder;
  private final ImmutableList<Projection> projections;
  private final ModelFiles files;
  private final LanguageModel root; // this, or the model whose weights and files it shares
  private final ModelTensors tensors;
  private final Forward forward;
  private final ImmutableList<String> merged; // names of adapters merged into the root's weights
  private volatile Optional<Path> saved = Optional.empty();
  private boolean closed;

  LanguageModel(
      ModelConfig config,
      Engine engine,
      boolean ownsEngine,
      WeightLoader weights,
      Decoder decoder,
      ModelFiles files) {
    this.files = files;
    this.config = config;
    this.engine = engine;
    this.ownsEngine = ownsEngine;
    this.weights = weights;
    this.decoder = decoder;
    this.projections = projections(decoder);
    this.tensors = new ModelTensors(config, weights, decoder);
    this.forward = new Forward(config, files);
    this.root = this;
    this.merged = ImmutableList.of();
  }

  private LanguageModel(LanguageModel parent, Decoder decoder, ImmutableList<String> merged) {
    this.files = parent.files;
    this.config = parent.config;
    this.engine = parent.engine;
    this.ownsEngine = false;
    this.weights = parent.weights;
    this.decoder = decoder;
    this.projections = projections(decoder);
    this.tensors = new ModelTensors(config, weights, decoder);
    this.forward = new Forward(config, files);
    this.root = parent.root;
    this.merged = merged;
  }

  private static ImmutableList<Projection> projections(Decoder decoder) {
    return decoder.groups().stream()
        .filter(g -> g.use() == ProjectionGroup.Use.PROJECTION)
        .flatMap(g -> g.members().stream())
        .collect(ImmutableList.toImmutableList());
  }

  /**
   * Returns an untrained model: normal weights of standard deviation {@link
   * ModelConfig#initializerRange()}, no files, no tokenizer. For benchmarks and tests.
   *
   * @param engine closed by the caller, after the model
   */
  public static LanguageModel random(ModelConfig config, Engine engine, long seed) {
    return ModelLoader.random(config, engine, seed);
  }

  /**
   * Loads a model in {@link Precision#F32} on the fastest engine present; see {@link #load(Path,
   * LoadOptions)}.
   */
  public static LanguageModel load(Path directory) throws IOException {
    return load(directory, LoadOptions.defaults());
  }

  /**
   * Loads a model as saved by Hugging Face transformers: {@code config.json}, {@code
   * model.safetensors} or shards with an index in f32, f16 or bf16, and {@code tokenizer.json},
   * which is optional if only token ids are used. Weights are converted once; merging and saving
   * read them again, so the files must not be modified until the model is closed. They may be
   * replaced by new files of the same name.
   *
   * @throws java.nio.file.NoSuchFileException if a needed file is missing
   * @throws MalformedFileException if a file is damaged, describes an unsupported model, or does
   *     not fit the others
   * @throws NotEnoughMemoryException if the weights would not fit
   * @throws IllegalArgumentException if no engine has the requested name
   * @throws IllegalStateException if the engine cannot run here
   */
  public static LanguageModel load(Path directory, LoadOptions options) throws IOException {
    return ModelLoader.load(directory, options);
  }

  /**
   * Casts a model.
   *
   * @throws IllegalArgumentException if it is of another kind
   */
  public static LanguageModel of(AdaptableModel model) {
    checkArgument(
        model instanceof LanguageModel,
        "this is for language models, and %s is not one",
        model.name());
    return (LanguageModel) model;
  }

  /** Returns the configuration of the network, without adapters. */
  public ModelConfig config() {
    return config;
  }

  @Override
  public Engine engine() {
    return engine;
  }

  /**
   * Returns all linear layers of the decoder, in the order of PyTorch's modules, without the output
   * head: PEFT's {@code all-linear}.
   */
  public ImmutableList<Projection> projections() {
    return projections;
  }

  /**
   * Returns everything that adapters can be attached to, in the order of execution: the embeddings,
   * the {@link #projections()} grouped by common input, the output head.
   */
  @Override
  public ImmutableList<ProjectionGroup> groups() {
    return decoder.groups();
  }

  /** Returns the names of all modules that have weights, and of the modules that contain them. */
  public ImmutableSet<String> moduleNames() {
    TreeSet<String> names = new TreeSet<>();
    groups().forEach(g -> g.members().forEach(p -> names.add(p.name())));
    for (WeightLoader.StoredTensor t : weights.stored()) {
      String name = t.name();
      for (int dot = name.lastIndexOf('.'); dot > 0; dot = name.lastIndexOf('.', dot - 1)) {
        names.add(name.substring(0, dot));
      }
    }
    return ImmutableSet.copyOf(names);
  }

  /**
   * Returns the tokenizer.
   *
   * @throws IllegalStateException if the model has none
   */
  @Override
  public Tokenizer tokenizer() {
    return files.requireTokenizer();
  }

  /** Returns the tokenizer, if the model has one. */
  public Optional<Tokenizer> tokenizerIfPresent() {
    return Optional.ofNullable(files.tokenizer());
  }

  /**
   * Returns the chat templates, if the model has any; they are read on the first call and compiled
   * when used.
   *
   * @throws UncheckedIOException if they cannot be read
   */
  public Optional<ChatTemplate> chatTemplate() {
    return files.template().get();
  }

  /**
   * Returns the encoder of conversations, if the model has a tokenizer and a chat template.
   *
   * @throws UncheckedIOException if the template cannot be read
   * @throws IllegalArgumentException if it has constructs that cannot be rendered
   */
  @Override
  public Optional<ChatEncoder> chatEncoder() {
    return files.chat().get();
  }

  /** Returns the directory that it was loaded from; empty for a random model. */
  public Optional<Path> directory() {
    return Optional.ofNullable(files.directory());
  }

  /**
   * Returns the directory of its weights: the one that it was loaded from, or, {@linkplain
   * #withMerged with merged adapters}, the one that it was last saved to; empty if there is none.
   */
  @Override
  public Optional<Path> source() {
    return merged.isEmpty() ? directory() : saved;
  }

  /** Returns the name for messages: its directory and the merged adapters. */
  @Override
  public String name() {
    String name =
        files.directory() == null
            ? "a random " + config.family().className()
            : files.directory().toString();
    return merged.isEmpty() ? name : name + " with " + String.join(", ", merged) + " merged";
  }

  // ---- models that share weights

  /**
   * Returns a model with adapters merged into its projections, in order, on top of what is merged
   * here. This model and its users are not affected: the two share everything except the
   * projections that the adapters change, which are held a second time. Each becomes {@code W +
   * scale B A}, computed in F32. Later merges into this model do not affect the new one.
   *
   * <p>Adapters can be created for it or loaded on it as on any other model. Closing it frees only
   * what it does not share; close it before this one.
   *
   * @param adapters that belong to this model
   * @throws UnsupportedOperationException if an adapter is of a kind that cannot be merged
   */
  public LanguageModel withMerged(List<? extends Adapter> adapters) {
    return withMerged(adapters, null);
  }

  /**
   * Like {@link #withMerged(List)}.
   *
   * @param directory where the model is or will be saved, which its adapters will name as their
   *     base
   */
  @Override
  public LanguageModel withMerged(List<? extends Adapter> adapters, Path directory) {
    List<ProjectionGroup> created = new ArrayList<>();
    try {
      Decoder changed =
          decoder.withGroups(
              group -> {
                // locks for one group at a time, so that other steps can run in between
                ProjectionGroup own = step(() -> withMerged(group, adapters));
                created.add(own);
                return own;
              });
      ImmutableList.Builder<String> names = ImmutableList.builder();
      names.addAll(merged);
      adapters.forEach(a -> names.add(a.name()));
      LanguageModel model = new LanguageModel(this, changed, names.build());
      model.saved = Optional.ofNullable(directory);
      return model;
    } catch (RuntimeException | Error e) {
      release(created);
      throw e;
    }
  }

  private ProjectionGroup withMerged(ProjectionGroup group, List<? extends Adapter> adapters) {
    List<MatrixSource> sources = group.sources();
    for (Adapter a : adapters) {
      checkArgument(a.model() == this, wrongModel(a));
      requireOpen(a);
      sources = a.merged(group, sources);
    }
    return sources.equals(group.sources()) ? group.share() : group.withSources(sources);
  }

  private void release(List<ProjectionGroup> groups) {
    engine.lock().lock();
    try {
      groups.forEach(ProjectionGroup::close);
    } finally {
      engine.lock().unlock();
    }
  }

  /**
   * Returns the model that adapters run on: this one, or a model derived from it by merging to
   * which all of them belong.
   */
  LanguageModel on(Iterable<? extends Adapter> adapters) {
    requireOpen();
    Adapter first = null;
    for (Adapter a : adapters) {
      requireOpen(a);
      checkArgument(
          a.model() == this || (a.model() instanceof LanguageModel owner && owner.root == this),
          wrongModel(a));
      if (first != null && a.model() != first.model()) {
        throw new IllegalArgumentException(
            "adapters '%s' and '%s' do not run together: they belong to %s and to %s"
                .formatted(first.name(), a.name(), first.model().name(), a.model().name()));
      }
      first = a;
    }
    LanguageModel found = first == null ? this : (LanguageModel) first.model();
    found.requireOpen();
    return found;
  }

  private String wrongModel(Adapter adapter) {
    AdaptableModel owner = adapter.model();
    return "adapter '%s' belongs to %s, this is %s%s"
        .formatted(
            adapter.name(),
            owner.name(),
            name(),
            owner.name().equals(name())
                ? ", loaded another time: load the adapter on this model as well"
                : "");
  }

  private static void requireOpen(Adapter adapter) {
    checkState(!adapter.parameters().closed(), "adapter '%s' is closed", adapter.name());
  }

  /**
   * Checks that the model can be used; holding the engine's lock keeps it so.
   *
   * @throws IllegalStateException if it, or the model that it shares weights with, is closed
   */
  @Override
  public void requireOpen() {
    checkState(!closed && !root.closed, "the model is closed");
  }

  /**
   * Returns a hash of all weights, merges included. It depends on the values only, not on the
   * files, and identifies the base of an adapter. The first call reads every weight.
   */
  public String weightsHash() {
    return tensors.hash();
  }

  /**
   * Returns the end tokens of {@code generation_config.json}, {@code config.json} and the
   * tokenizer.
   */
  public ImmutableSet<Integer> endTokens() {
    return files.endTokens();
  }

  // ---- parts of a step; the caller holds the engine's lock

  /**
   * Returns the residual stream after the last layer, before the final norm: F32 {@code
   * [batch.rows(), hidden]}.
   */
  public Tensor forward(Tape tape, Batch batch, Routing routing) {
    LanguageModel on = on(routing.adapters());
    forward.check(batch);
    return forward.residual(on.decoder, tape, batch, routing);
  }

  /**
   * Returns the cross-entropy of each row that has a target; the output head runs on those rows
   * only. With a recording tape, gradients of the head's adapters are accumulated here already.
   *
   * @param rowWeights factor of each row's loss in the sum that {@link Tape#backward()}
   *     differentiates, in the order of {@link Batch#lossRows()}; null for the mean
   */
  public LossResult loss(Tape tape, Batch batch, Routing routing, float[] rowWeights) {
    return Forward.headLoss(
        on(routing.adapters()).decoder,
        tape,
        forward(tape, batch, routing),
        batch,
        routing,
        rowWeights);
  }

  // ---- training

  @Override
  public String fingerprint() {
    return "%s %s %s"
        .formatted(
            config.family().modelType().toUpperCase(Locale.ROOT),
            config.parameters(),
            weightsHash());
  }

  /**
   * {@inheritDoc}
   *
   * <p>Examples are limited to the model's context, and a token without an embedding is an error.
   *
   * @throws IllegalStateException if the model has no tokenizer
   */
  @Override
  public ExampleEncoder encoder(int maxLength, LengthPolicy policy, LearnedTurns turns) {
    return new ExampleEncoder(
        tokenizer(),
        chatEncoder(),
        Math.min(maxLength, config.maxPositions()),
        policy,
        turns,
        config.vocabularySize());
  }

  @Override
  public PassLosses addGradients(
      Pass pass, float[] weights, Tape.Mode mode, long seed, Runnable pause) {
    Tape tape = Tape.training(engine, mode, seed).pausing(pause);
    Packer.Packed packed = pack(pass);
    float[] factors = new float[packed.lossItems().length];
    for (int i = 0; i < factors.length; i++) {
      factors[i] = weights[pass.items().get(packed.lossItems()[i]).lane()];
    }
    LossResult loss = loss(tape, packed.batch(), packed.routing(), factors);
    tape.backward();
    return new PassLosses(packed.lossItems(), loss.losses());
  }

  @Override
  public PassLosses losses(Pass pass, Runnable pause) {
    Packer.Packed packed = pack(pass);
    Tape tape = Tape.inference(engine).pausing(pause);
    return new PassLosses(
        packed.lossItems(), loss(tape, packed.batch(), packed.routing(), null).losses());
  }

  /** Packs a pass as in training, with an end token in filler rows. */
  public Packer.Packed pack(Pass pass) {
    return Packer.pack(
        pass, tokenizerIfPresent().flatMap(t -> t.eos().stream().findFirst()).orElse(0));
  }

  @Override
  public Optional<MemoryEstimate> trainingMemory(
      int rows, int longest, long trainable, Tape.Mode mode, int merges) {
    return Optional.of(
        MemoryEstimate.of(config, engine, rows, longest, trainable, mode)
            .beyondWeights()
            .withProjections(config, engine, Math.min(2, merges)));
  }

  // ---- whole steps

  /** Returns the cross-entropy of each row that has a target, without recording. */
  public LossResult loss(Batch batch, Routing routing) {
    return step(() -> loss(Tape.inference(engine), batch, routing, null));
  }

  /**
   * Returns the logits of every row: F32 {@code [rows, vocabulary]}. For small batches, as they are
   * all held at once.
   */
  public INDArray logits(Batch batch, Routing routing) {
    return step(
        () -> {
          Tape tape = Tape.inference(engine);
          return engine.toArray(
              Forward.logits(
                  on(routing.adapters()).decoder, tape, forward(tape, batch, routing), routing));
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

  /**
   * Returns the log-likelihood of each continuation of each prompt, in nats, summed over its
   * tokens. A prompt is run once for all of its continuations.
   *
   * @param prompts token ids, at least one each
   * @param continuations token ids of each prompt's continuations, at least one each
   * @param adapters applied in order; none for the base model
   * @param rowBudget most tokens per step; a prompt with its continuations is not split
   * @return one array per prompt, with a sum per continuation
   */
  public List<float[]> scoreContinuations(
      List<int[]> prompts,
      List<int[][]> continuations,
      List<? extends Adapter> adapters,
      int rowBudget) {
    return scoreContinuations(
        prompts,
        continuations,
        continuations.stream().map(c -> new int[c.length]).toList(),
        adapters,
        rowBudget);
  }

  /**
   * Like {@link #scoreContinuations(List, List, List, int)}, without scoring the first tokens of
   * continuations.
   *
   * @param unscored the number of unscored tokens of each prompt's continuations, less than their
   *     length
   */
  public List<float[]> scoreContinuations(
      List<int[]> prompts,
      List<int[][]> continuations,
      List<int[]> unscored,
      List<? extends Adapter> adapters,
      int rowBudget) {
    return new Scorer(this, adapters, prompts, continuations, unscored).run(rowBudget);
  }

  // ---- generation

  @Override
  public List<Generation> generateFromTokens(
      List<int[]> prompts,
      GenerationConfig generation,
      List<? extends Adapter> adapters,
      Consumer<String> stream,
      BooleanSupplier cancelled) {
    checkArgument(
        generation.stop().isEmpty() || files.tokenizer() != null,
        "stop sequences need a tokenizer, the model has none");
    return new Generator(this, generation, adapters, stream, cancelled).run(prompts);
  }

  // ---- saving

  /**
   * Saves the model as a Hugging Face directory, with adapters where groups are {@linkplain
   * ProjectionGroup#merged() merged}, along with copies of the files of tokenizer, chat templates
   * and generation, and of licences. What was there is replaced once everything is written.
   *
   * @param type of the stored weights: F32, F16 or BF16
   * @throws java.nio.file.FileAlreadyExistsException if the target holds files that are not a
   *     model's
   */
  @Override
  public void save(Path target, ElementType type) throws IOException {
    ModelTensors.Snapshot snapshot = step(tensors::snapshot);
    // the snapshot's sources stay readable even if the model changes, so no lock is needed while
    // writing
    try {
      AtomicFiles.writeDirectory(
          target,
          file -> ModelWriter.belongs(file, directory()),
          into -> ModelWriter.write(this, snapshot.tensors(), snapshot.tied(), into, type));
      saved = Optional.of(target);
    } catch (UncheckedIOException e) {
      throw new IOException("cannot save to " + target + ": " + e.getCause().getMessage(), e);
    } finally {
      weights.release();
    }
  }

  /** Returns a description of the model and its memory, in two lines. */
  public String describe() {
    MemoryUsage memory = engine.memory();
    return String.format(
        Locale.ROOT,
        "%s, %.1f million parameters, %d layers, hidden %d, vocabulary %d, context %d%n"
            + "engine %s: weights %s, adapters and caches %s, arena %s (peak %s)",
        config.family().className(),
        config.parameters() / 1e6,
        config.layers(),
        config.hiddenSize(),
        config.vocabularySize(),
        config.maxPositions(),
        engine.describe(),
        MemoryEstimate.format(memory.weights()),
        MemoryEstimate.format(memory.persistent()),
        MemoryEstimate.format(memory.arenaReserved()),
        MemoryEstimate.format(memory.arenaPeak()));
  }

  /**
   * Runs a step under the engine's lock, or as a part of the caller's step if the lock is already
   * held.
   */
  <T> T step(Supplier<T> work) {
    engine.lock().lock();
    try {
      requireOpen();
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

  Forward passes() {
    return forward;
  }

  @Override
  public void close() {
    engine.lock().lock();
    try {
      if (closed) {
        return;
      }
      closed = true;
      if (root != this) {
        groups().forEach(ProjectionGroup::close);
        return;
      }
      weights.close();
      if (ownsEngine) {
        engine.close();
      }
      files.close();
    } finally {
      engine.lock().unlock();
    }
  }
}
