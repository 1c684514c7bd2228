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
 * tape are parts of a step of the caller's, who holds {@link Engine#lock()} from the first
 * operation to {@link Engine#resetArena()}. An adapter must not be trained, merged or closed while
 * another thread uses it.
 *
 * <p><b>Adapters</b> belong to the model that they were made for or loaded on. One of another
 * model, even of the same files loaded again, is refused by name with an {@link
 * IllegalArgumentException}, a closed one with an {@link IllegalStateException}. Adapters that
 * belong to a model made from this one by {@link #withMerged} bring that model along: they run on
 * its weights.
 *
 * <p><b>Closing</b> frees the weights, and the engine unless it is the caller's; whatever is called
 * afterwards ends with "the model is closed".
 *
 * <p>This file is what the outside sees, most of it documentation; the work is done in {@link
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
  private final LanguageModel root; // this, or the one whose weights and files it shares
  private final ModelTensors tensors;
  private final Forward forward;
  private final ImmutableList<String> merged; // what the root's weights have been changed by
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
   * @param engine the caller's, who closes it after the model
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
   * Loads a model as Hugging Face transformers saves it: {@code config.json}, {@code
   * model.safetensors} or shards with an index in f32, f16 or bf16, and, unless only token ids are
   * worked with, {@code tokenizer.json}. Weights are converted once; merging and saving read them
   * again, so that the files must stay as they are until the model is closed. One that is replaced
   * by another of its name is read on as it was.
   *
   * @throws java.nio.file.NoSuchFileException if a needed file is missing
   * @throws MalformedFileException if a file is damaged, describes what cannot be run, or does not
   *     fit the others
   * @throws NotEnoughMemoryException if the weights would not fit
   * @throws IllegalArgumentException if no engine has the name asked for
   * @throws IllegalStateException if the engine cannot run here
   */
  public static LanguageModel load(Path directory, LoadOptions options) throws IOException {
    return ModelLoader.load(directory, options);
  }

  /**
   * Returns a model as what it is.
   *
   * @throws IllegalArgumentException if it is of another kind
   */
  public static LanguageModel of(AdaptableModel model) {
    checkArgument(
        model instanceof LanguageModel, "this is for language models; %s is none", model.name());
    return (LanguageModel) model;
  }

  /** Returns the sizes of the network, as its files have them: without adapters. */
  public ModelConfig config() {
    return config;
  }

  @Override
  public Engine engine() {
    return engine;
  }

  /**
   * Returns all linear layers of the decoder, in the order of PyTorch's modules: what PEFT calls
   * all-linear. The output head is not among them.
   */
  public ImmutableList<Projection> projections() {
    return projections;
  }

  /**
   * Returns all that adapters can be attached to, as it is run: {@link #projections()}, those with
   * a common input together, with the embeddings before them and the output head after them.
   */
  @Override
  public ImmutableList<ProjectionGroup> groups() {
    return decoder.groups();
  }

  /** Returns the names of all modules that have weights, and of those that these are in. */
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
   * Returns the chat templates, if the model has any; they are read here and parsed when they are
   * used.
   *
   * @throws UncheckedIOException if they cannot be read
   */
  public Optional<ChatTemplate> chatTemplate() {
    return files.template().get();
  }

  /**
   * Returns how conversations become tokens, if the model has a tokenizer and a chat template.
   *
   * @throws UncheckedIOException if the template cannot be read
   * @throws IllegalArgumentException if it has constructs that cannot be rendered
   */
  @Override
  public Optional<ChatEncoder> chatEncoder() {
    return files.chat().get();
  }

  /** Returns where it was loaded from; nothing for a random model. */
  public Optional<Path> directory() {
    return Optional.ofNullable(files.directory());
  }

  /**
   * Returns where its weights are found: the directory that it was loaded from, or, {@linkplain
   * #withMerged with merged adapters}, the one that it was last saved to. Nothing if there is none.
   */
  @Override
  public Optional<Path> source() {
    return merged.isEmpty() ? directory() : saved;
  }

  /** Returns what messages call it: its directory, and the adapters that are merged. */
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
   * here. This one, and everybody who uses it, is left alone: the two share everything but the
   * projections that the adapters change, which are held a second time. Each becomes {@code W +
   * scale B A}, computed in F32. What is merged into this one later does not show in it.
   *
   * <p>Adapters are made for it or loaded on it as on any other model. It is closed before this
   * one, which frees what it has of its own.
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
   * @param directory where the model is or will be saved: what its adapters name as their base
   */
  @Override
  public LanguageModel withMerged(List<? extends Adapter> adapters, Path directory) {
    List<ProjectionGroup> made = new ArrayList<>();
    try {
      Decoder changed =
          decoder.withGroups(
              group -> {
                // the lock is taken for a group at a time: others' steps run in between
                ProjectionGroup own = step(() -> withMerged(group, adapters));
                made.add(own);
                return own;
              });
      ImmutableList.Builder<String> names = ImmutableList.builder();
      names.addAll(merged);
      adapters.forEach(a -> names.add(a.name()));
      LanguageModel model = new LanguageModel(this, changed, names.build());
      model.saved = Optional.ofNullable(directory);
      return model;
    } catch (RuntimeException | Error e) {
      release(made);
      throw e;
    }
  }

  private ProjectionGroup withMerged(ProjectionGroup group, List<? extends Adapter> adapters) {
    List<MatrixSource> sources = group.sources();
    for (Adapter a : adapters) {
      checkArgument(a.model() == this, notOurs(a));
      requireOpen(a);
      sources = a.merged(group, sources);
    }
    return sources.equals(group.sources()) ? group.share() : group.over(sources);
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
   * Returns the model that adapters run on: this one, or one with merged adapters that was made
   * from it and to which all of them belong.
   */
  LanguageModel on(Iterable<? extends Adapter> adapters) {
    requireOpen();
    Adapter first = null;
    for (Adapter a : adapters) {
      requireOpen(a);
      checkArgument(
          a.model() == this || (a.model() instanceof LanguageModel its && its.root == this),
          notOurs(a));
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

  private String notOurs(Adapter adapter) {
    AdaptableModel its = adapter.model();
    return "adapter '%s' belongs to %s, this is %s%s"
        .formatted(
            adapter.name(),
            its.name(),
            name(),
            its.name().equals(name())
                ? ", loaded another time: load the adapter on this model as well"
                : "");
  }

  private static void requireOpen(Adapter adapter) {
    checkState(!adapter.parameters().closed(), "adapter '%s' is closed", adapter.name());
  }

  /**
   * Checks that the model can be used; the caller holds the engine's lock, if that is to stay so.
   *
   * @throws IllegalStateException if it, or the one that it shares weights with, is closed
   */
  @Override
  public void requireOpen() {
    checkState(!closed && !root.closed, "the model is closed");
  }

  /**
   * Returns a hash of all weights, as they are with what is merged into them: equal for the same
   * values whatever the files, so that an adapter can be told from one of another base. Reads every
   * weight when first called.
   */
  public String weightsHash() {
    return tensors.hash();
  }

  /**
   * Returns the tokens that end a text, of {@code generation_config.json}, {@code config.json} and
   * the tokenizer.
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
   * only. With a recording tape, gradients of adapters of the head are added up here already.
   *
   * @param rowWeights factor of each such row's loss in what {@link Tape#backward()}
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
   * <p>At most the model's context is used, and a token that it has no embedding of is an error.
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

  /** Packs a pass as training does; the rows that fill up hold an end token. */
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
   * Returns the logits of every row: F32 {@code [rows, vocabulary]}. For small batches: nothing is
   * done in chunks.
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
   * @param continuations for each prompt, token ids, at least one each
   * @param adapters applied in order; none for the base model
   * @param rowBudget tokens run in a step; a prompt with its continuations is not split
   * @return for each prompt a sum per continuation
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
   * Like {@link #scoreContinuations(List, List, List, int)}, with continuations whose first tokens
   * are not scored.
   *
   * @param unscored for each prompt and continuation the number of those tokens, fewer than it has
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
   * Saves the model as a Hugging Face directory, with merged adapters where groups are {@linkplain
   * ProjectionGroup#merged() merged}; what belongs to tokenizer, chat templates and generation is
   * copied along, and so are licences. What was there is replaced once all is written.
   *
   * @param type of the stored weights: F32, F16 or BF16
   * @throws java.nio.file.FileAlreadyExistsException if the target holds files that are not a
   *     model's
   */
  @Override
  public void save(Path target, ElementType type) throws IOException {
    ModelTensors.Held held = step(tensors::hold);
    // sources stay readable whatever becomes of the model, so that writing holds up nobody
    try {
      AtomicFiles.writeDirectory(
          target,
          file -> ModelWriter.belongs(file, directory()),
          into -> ModelWriter.write(this, held.tensors(), held.tied(), into, type));
      saved = Optional.of(target);
    } catch (UncheckedIOException e) {
      throw new IOException("cannot save to " + target + ": " + e.getCause().getMessage(), e);
    } finally {
      weights.release();
    }
  }

  /** Returns what the model is and what it holds, in a few lines. */
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

  /** Runs a step under the engine's lock; inside a step of the caller's it joins that. */
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
