package org.tune4j.dl4j;

import static com.google.common.base.Preconditions.checkArgument;
import static com.google.common.base.Preconditions.checkState;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.graph.vertex.GraphVertex;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.util.ModelSerializer;
import org.nd4j.evaluation.IEvaluation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.preprocessor.DataNormalization;
import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.LearnedTurns;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.PassLosses;
import org.tune4j.core.model.ProjectionGroup;

/**
 * A trained DL4J network, {@link MultiLayerNetwork} or {@link ComputationGraph}, that adapters are
 * trained on. The network that was given stays as it is, bit for bit.
 *
 * <pre>{@code
 * MultiLayerNetwork network = MultiLayerNetwork.load(new File("digits.zip"), false);
 * Dl4jTask letters = Dl4jTask.builder("letters").train(train).validation(validation).build();
 * try (Dl4jModel model = Dl4jModel.of(network, letters);
 *     FineTuningResult result =
 *         FineTuner.of(model)
 *             .tasks(model.tasks())
 *             .adapters(Dl4jLora.rank(8))
 *             .strategy(Independent.perTask())
 *             .run()) {
 *   Model merged = model.merged("letters", result.adaptersFor("letters"));
 *   ModelSerializer.writeModel(merged, new File("letters.zip"), false);
 * }
 * }</pre>
 *
 * <p>Each task has an output layer of its own on the network's features, by default in place of the
 * network's, and like it. The base runs as in inference: batch normalisation by its running
 * statistics, no dropout.
 *
 * <p>Thread-safe as far as the engine's {@linkplain Engine#lock() lock} makes it so; a step is not
 * interrupted by others.
 */
public final class Dl4jModel implements AdaptableModel {
  private static final int UPDATES_KEPT = 8;
  private static final int ROWS_AT_ONCE = 256;

  private final BaseNetwork base;
  private final Backbone backbone;
  private final OutputPart output;
  private final ImmutableMap<String, Dl4jTask> tasks;
  private final ImmutableMap<String, OutputHead> heads;
  private final ImmutableMap<String, String> layers;
  private final Map<String, String> aliases;
  private final DataType type;
  private final int inputs;
  private final Engine engine;
  private final boolean ownsEngine;
  private final Optional<Path> source;
  private final String hash;
  private final String fingerprint;
  private final Dl4jModel root;
  private boolean closed;

  /** Adapters with their versions: what an update was made of. */
  private record Loaded(Dl4jAdapter adapter, int version) {}

  private final Map<List<Loaded>, Update> updates =
      new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<List<Loaded>, Update> eldest) {
          return size() > UPDATES_KEPT;
        }
      };

  private Dl4jModel(
      BaseNetwork base,
      List<Dl4jTask> tasks,
      Optional<String> features,
      Optional<Engine> engine,
      Optional<Path> source,
      Dl4jModel mergedFrom,
      Map<String, Map<String, float[]>> headValues) {
    this.base = base;
    this.source = source;
    aliases = base.aliases();
    ComputationGraph graph = base.graph();
    type = graph.getConfiguration().getDataType();
    inputs = graph.getNumInputArrays();
    ImmutableMap.Builder<String, String> kinds = ImmutableMap.builder();
    for (GraphVertex v : graph.getVertices()) {
      if (!v.isInputVertex()) {
        kinds.put(
            v.getVertexName(),
            v.getLayer() == null
                ? v.getClass().getSimpleName()
                : v.getLayer().conf().getLayer().getClass().getSimpleName());
      }
    }
    layers = kinds.buildOrThrow();
    output = OutputPart.of(graph, features.map(this::resolve), base.kind());
    backbone = new Backbone(graph, output.features());
    ImmutableMap.Builder<String, Dl4jTask> byName = ImmutableMap.builder();
    tasks.forEach(t -> byName.put(t.name(), t));
    this.tasks = byName.buildOrThrow();
    ImmutableMap.Builder<String, OutputHead> all = ImmutableMap.builder();
    HeadMaker maker =
        new HeadMaker(base.kind(), graph.getNumInputArrays(), output, type, this::features);
    tasks.forEach(
        t ->
            all.put(
                t.name(),
                mergedFrom == null
                    ? maker.of(t)
                    : mergedFrom
                        .head(t.name())
                        .from(
                            headValues.getOrDefault(
                                t.name(), mergedFrom.head(t.name()).initial()))));
    heads = all.buildOrThrow();
    hash = base.hash();
    StringBuilder text =
        new StringBuilder("dl4j %s %s features %s".formatted(base.kind(), hash, output.features()));
    tasks.forEach(t -> text.append("; ").append(t.fingerprint()));
    fingerprint = text.toString();
    root = mergedFrom == null ? this : mergedFrom.root;
    ownsEngine = engine.isEmpty();
    this.engine = engine.orElseGet(() -> Engines.create(Precision.F32)); // last: it is to be closed
  }

  /** Returns a model of a network, and what it is to learn. */
  public static Dl4jModel of(Model network, Dl4jTask... tasks) {
    return builder(network).tasks(tasks).build();
  }

  /**
   * Returns a builder of a model.
   *
   * @param network a {@link MultiLayerNetwork} or a {@link ComputationGraph}, initialised
   */
  public static Builder builder(Model network) {
    return new Builder(network);
  }

  /**
   * Reads a network that {@link ModelSerializer} wrote, of either class, and what it is to learn.
   *
   * @throws IOException if the file holds no network, or its data went through a normaliser that a
   *     task does not have; the message names the file
   */
  public static Dl4jModel load(Path zip, Dl4jTask... tasks) throws IOException {
    NetworkFiles read = NetworkFiles.read(zip);
    if (read.normalizer().isPresent()) {
      for (Dl4jTask task : tasks) {
        if (task.normalizer().isEmpty()) {
          throw new MalformedFileException(
              zip,
              ModelSerializer.NORMALIZER_BIN,
              "a %s, which task '%s' does not have"
                  .formatted(read.normalizer().get().getClass().getSimpleName(), task.name()),
              "tasks that name the normaliser of their data by normalizer(…)");
        }
      }
    }
    return builder(read.network()).tasks(tasks).source(zip).build();
  }

  /** Builds a {@link Dl4jModel}. */
  public static final class Builder {
    private final BaseNetwork base;
    private ImmutableList<Dl4jTask> tasks = ImmutableList.of();
    private Optional<String> features = Optional.empty();
    private Optional<Engine> engine = Optional.empty();
    private Optional<Path> source = Optional.empty();

    private Builder(Model network) {
      base = new BaseNetwork(network);
    }

    /** Sets the tasks; none are needed to run adapters that were saved. */
    public Builder tasks(Dl4jTask... value) {
      return tasks(Arrays.asList(value));
    }

    /** Sets the tasks. */
    public Builder tasks(List<Dl4jTask> value) {
      tasks = ImmutableList.copyOf(value);
      return this;
    }

    /**
     * Sets the layer or vertex whose output the tasks' output layers get; the default is what the
     * network's only output layer gets.
     */
    public Builder features(String value) {
      features = Optional.of(value);
      return this;
    }

    /** Sets the engine that adapters lie in, which stays open; the default is one of its own. */
    public Builder engine(Engine value) {
      engine = Optional.of(value);
      return this;
    }

    /** Sets where the network was loaded from, for the adapters' files. */
    public Builder source(Path value) {
      source = Optional.of(value);
      return this;
    }

    /**
     * Returns the model.
     *
     * @throws IllegalArgumentException if two tasks have one name, or the network and the data of a
     *     task do not go together; the message names layer, found and expected
     */
    public Dl4jModel build() {
      if (!tasks.isEmpty()) {
        Task.requireDistinctNames(tasks.stream().map(Dl4jTask::task).toList());
      }
      return new Dl4jModel(base, tasks, features, engine, source, null, Map.of());
    }
  }

  // ---- what it has

  @Override
  public String name() {
    return "the " + base.kind();
  }

  String kind() {
    return base.kind();
  }

  @Override
  public String fingerprint() {
    return fingerprint;
  }

  String weightsHash() {
    return hash;
  }

  @Override
  public Engine engine() {
    return engine;
  }

  /** None: DL4J's layers run themselves. What can be adapted is {@link #adaptable()}. */
  @Override
  public ImmutableList<ProjectionGroup> groups() {
    return ImmutableList.of();
  }

  @Override
  public void requireOpen() {
    checkState(!closed && !root.closed, "%s is closed", name());
  }

  @Override
  public Optional<Path> source() {
    return source;
  }

  /** Returns the tasks, as strategies know them. */
  public ImmutableList<Task> tasks() {
    return tasks.values().stream().map(Dl4jTask::task).collect(ImmutableList.toImmutableList());
  }

  /**
   * Returns the names of all weights that can be adapted, such as {@code 0.W} or {@code lstm.RW}.
   */
  public ImmutableList<String> adaptable() {
    return matrices().stream().map(AdaptedMatrix::name).collect(ImmutableList.toImmutableList());
  }

  /** Returns the network as it was given. */
  public Model network() {
    return base.network();
  }

  ImmutableList<AdaptedMatrix> matrices() {
    return backbone.matrices();
  }

  /** Returns the kinds of all layers and vertices by name. */
  ImmutableMap<String, String> layers() {
    return layers;
  }

  /** Returns the name of the vertex that tasks' layers get their inputs from. */
  String features() {
    return output.features();
  }

  /** Returns the vertex's name of what may be a layer's own name, or {@code layer.parameter}. */
  String resolve(String target) {
    String known = aliases.get(target);
    if (known != null) {
      return known;
    }
    int dot = target.lastIndexOf('.');
    String layer = dot < 0 ? null : aliases.get(target.substring(0, dot));
    return layer == null ? target : layer + target.substring(dot);
  }

  /** Returns the type that it computes in. */
  DataType type() {
    return type;
  }

  ImmutableMap<String, OutputHead> heads() {
    return heads;
  }

  /** Returns the output layer that new adapters of a task begin with. */
  OutputHead head(String task) {
    return known(heads, task);
  }

  Dl4jTaskInfo info(String task) {
    Dl4jTask found = known(tasks, task);
    return new Dl4jTaskInfo(found.labels(), found.normalizer());
  }

  private <T> T known(Map<String, T> all, String task) {
    T found = all.get(task);
    checkArgument(
        found != null, "%s has no task named '%s'; it has %s", name(), task, all.keySet());
    return found;
  }

  /** Returns a model as one of a DL4J network, which adapters of these need. */
  static Dl4jModel of(AdaptableModel model) {
    checkArgument(
        model instanceof Dl4jModel,
        "Dl4jLora is for networks of DeepLearning4J, not for %s",
        model.name());
    return (Dl4jModel) model;
  }

  // ---- data

  @Override
  public TaskEncoder encoder(int maxLength, LengthPolicy policy, LearnedTurns turns) {
    return new RowEncoder(maxLength, tasks.values().asList());
  }

  // ---- steps

  @Override
  public PassLosses addGradients(
      Pass pass, float[] weights, Tape.Mode mode, long seed, Runnable pause) {
    pause.run();
    return run(pass, Optional.of(weights));
  }

  @Override
  public PassLosses losses(Pass pass, Runnable pause) {
    pause.run();
    return run(pass, Optional.empty());
  }

  private PassLosses run(Pass pass, Optional<float[]> weights) {
    double[] exact = exactLosses(pass, weights);
    int[] items = new int[exact.length];
    float[] losses = new float[exact.length];
    for (int i = 0; i < exact.length; i++) {
      items[i] = i;
      losses[i] = (float) exact[i];
    }
    return new PassLosses(items, losses);
  }

  /** Returns the loss of each example of a pass, in the network's precision. */
  double[] exactLosses(Pass pass) {
    return exactLosses(pass, Optional.empty());
  }

  private double[] exactLosses(Pass pass, Optional<float[]> weights) {
    requireOpen();
    double[] losses = new double[pass.items().size()];
    for (List<Segment> alike : Segment.groups(pass, tasks.values().asList())) {
      if (backbone.stepwise() || !run(alike, pass, weights, losses)) {
        Segment.byLane(alike).forEach(own -> run(own, pass, weights, losses));
      }
    }
    weights.ifPresent(
        w -> pass.stacks().stream().flatMap(List::stream).distinct().forEach(this::flush));
    return losses;
  }

  private void flush(Adapter adapter) {
    Dl4jAdapter.of(adapter).flushGradients();
  }

  /**
   * Runs segments whose features have one shape; returns false if that has to be done lane by lane.
   */
  private boolean run(
      List<Segment> segments, Pass pass, Optional<float[]> weights, double[] losses) {
    List<Backbone.Lane> lanes = new ArrayList<>();
    int from = 0;
    for (int i = 0; i < segments.size(); ) {
      int lane = segments.get(i).lane();
      int to = from;
      for (; i < segments.size() && segments.get(i).lane() == lane; i++) {
        to += segments.get(i).size();
      }
      lanes.add(
          new Backbone.Lane(
              from, to, update(pass.stacks().get(lane).stream().map(Dl4jAdapter::of).toList())));
      from = to;
    }
    MultiDataSet batch = Segment.features(segments);
    Backbone.Run run = backbone.new Run(batch.getFeatures(), batch.getFeaturesMaskArrays(), lanes);
    INDArray features = run.forward();
    if (features == null) {
      return false;
    }
    List<INDArray> epsilons = new ArrayList<>();
    int row = 0;
    for (Segment s : segments) {
      List<Dl4jAdapter> stack = pass.stacks().get(s.lane()).stream().map(Dl4jAdapter::of).toList();
      OutputHead head = load(s.task(), stack);
      INDArray own = Backbone.part(features, row, row + s.size());
      double[] ofSegment = head.losses(own, s.labels(), s.labelsMask());
      for (int i = 0; i < ofSegment.length; i++) {
        losses[s.items()[i]] = ofSegment[i];
      }
      if (weights.isPresent()) {
        float weight = weights.get()[s.lane()];
        OutputHead.Gradients g = head.gradients(own, s.labels(), s.labelsMask());
        owner(s.task(), stack)
            .filter(Dl4jAdapter::trainable)
            .ifPresent(a -> a.addGradient(s.task(), g.parameters(), weight));
        epsilons.add(g.epsilon().mul(weight));
      }
      row += s.size();
    }
    if (weights.isPresent()) {
      INDArray epsilon =
          epsilons.size() == 1
              ? epsilons.get(0)
              : Nd4j.concat(0, epsilons.toArray(INDArray[]::new));
      run.backward(epsilon);
    }
    return true;
  }

  /** Returns what adapters together add to the weights. */
  private Update update(List<Dl4jAdapter> stack) {
    if (stack.isEmpty()) {
      return Update.NONE;
    }
    List<Loaded> key = stack.stream().map(a -> new Loaded(a, a.parameters().version())).toList();
    Update known = updates.get(key);
    if (known == null) {
      known = new Update(stack);
      updates.put(key, known);
    }
    return known;
  }

  /** Returns the adapter of a stack whose output layer a task has: the last one that has one. */
  private static Optional<Dl4jAdapter> owner(String task, List<Dl4jAdapter> stack) {
    Optional<Dl4jAdapter> last = Optional.empty();
    for (Dl4jAdapter a : stack) {
      last = a.tasks().contains(task) ? Optional.of(a) : last;
    }
    return last;
  }

  /** Returns the output layer of a task with the values that it has in a stack. */
  private OutputHead load(String task, List<Dl4jAdapter> stack) {
    Optional<Dl4jAdapter> owner = owner(task, stack);
    OutputHead head = owner.isPresent() ? owner.get().heads().get(task) : head(task);
    if (owner.isPresent()) {
      Dl4jAdapter a = owner.get();
      head.load(new Loaded(a, a.parameters().version()), a.headValues(task));
    } else {
      head.loadInitial();
    }
    return head;
  }

  // ---- results

  /** Returns the features of inputs without adapters. */
  private INDArray features(MultiDataSet batch) {
    INDArray[] in = batch.getFeatures();
    int rows = Math.toIntExact(in[0].size(0));
    return backbone
        .new Run(
            in, batch.getFeaturesMaskArrays(), List.of(new Backbone.Lane(0, rows, Update.NONE)))
        .forward();
  }

  /**
   * Returns what the network says of inputs with adapters.
   *
   * @param task whose output layer is asked
   * @param inputs of the network, normalised as the training data was; examples in the first
   *     dimension
   */
  public INDArray output(String task, List<? extends Adapter> adapters, INDArray... inputs) {
    return output(
        task, adapters, new org.nd4j.linalg.dataset.MultiDataSet(inputs, new INDArray[1]));
  }

  private INDArray output(String task, List<? extends Adapter> adapters, MultiDataSet batch) {
    List<Dl4jAdapter> stack = adapters.stream().map(Dl4jAdapter::of).toList();
    engine.lock().lock();
    try {
      requireOpen();
      INDArray[] in = batch.getFeatures();
      checkArgument(
          in != null && in.length == inputs,
          "%s arrays of inputs; the %s takes %s",
          in == null ? 0 : in.length,
          base.kind(),
          inputs);
      int rows = Math.toIntExact(in[0].size(0));
      INDArray features =
          backbone
              .new Run(
                  in,
                  batch.getFeaturesMaskArrays(),
                  List.of(new Backbone.Lane(0, rows, update(stack))))
              .forward();
      return load(task, stack).output(features, batch.getLabelsMaskArray(0));
    } finally {
      engine.lock().unlock();
    }
  }

  /** The classes that it tells examples to be of, or the values that it says of them. */
  @Override
  public Optional<Answers> answers() {
    return Optional.of(
        (task, examples, adapters) -> {
          Dl4jTask known = known(tasks, task.name());
          List<MultiDataSet> rows = examples.stream().map(e -> known.row(known.place(e))).toList();
          INDArray said = output(task.name(), adapters, Rows.batch(rows));
          List<String> answers = new ArrayList<>();
          for (int i = 0; i < rows.size(); i++) {
            answers.add(known.text(Backbone.part(said, i, i + 1)));
          }
          return answers;
        });
  }

  /**
   * Evaluates a split of a task by one of DL4J's evaluations, such as {@code Evaluation}, {@code
   * ROC} or {@code RegressionEvaluation}, and returns it.
   */
  public <E extends IEvaluation<?>> E evaluate(
      String task, Task.Split split, List<? extends Adapter> adapters, E evaluation) {
    Rows rows = known(tasks, task).rows(split);
    checkArgument(rows.size() > 0, "task '%s' has no %s examples", task, split);
    for (int from = 0; from < rows.size(); from += ROWS_AT_ONCE) {
      MultiDataSet batch = rows.batch(from, Math.min(rows.size(), from + ROWS_AT_ONCE));
      INDArray said = output(task, adapters, batch);
      evaluation.eval(batch.getLabels(0), said, batch.getLabelsMaskArray(0));
    }
    return evaluation;
  }

  // ---- merging

  private Map<AdaptedMatrix, INDArray> mergedWeights(List<Dl4jAdapter> stack) {
    Map<AdaptedMatrix, INDArray> weights = new LinkedHashMap<>();
    Update update = update(stack);
    update.matrices().forEach(m -> weights.put(m, backbone.base(m).add(update.sum(m))));
    return weights;
  }

  /**
   * Returns a plain network of the class that was given, with adapters merged into its weights and
   * the output layer of a task: what DL4J runs by itself, and {@link ModelSerializer} saves.
   *
   * @param adapters applied in order; none for the base with a new output layer
   */
  public Model merged(String task, List<? extends Adapter> adapters) {
    List<Dl4jAdapter> stack = adapters.stream().map(Dl4jAdapter::of).toList();
    engine.lock().lock();
    try {
      requireOpen();
      OutputHead head = load(task, stack);
      return base.with(mergedWeights(stack), output.features(), head, head.parameters());
    } finally {
      engine.lock().unlock();
    }
  }

  /**
   * Saves what {@link #merged} returns by DL4J's {@link ModelSerializer}, with the normaliser of
   * the task's data if it has one; a file that was there is replaced once all is written.
   */
  public void saveMerged(String task, List<? extends Adapter> adapters, Path zip)
      throws IOException {
    Model merged = merged(task, adapters);
    Optional<DataNormalization> normalizer =
        owner(task, adapters.stream().map(Dl4jAdapter::of).toList())
            .map(a -> a.normalizer(task))
            .orElseGet(() -> info(task).normalizer());
    Path whole = Files.createTempFile("network", ".zip"); // a normaliser is added to files only
    try {
      ModelSerializer.writeModel(merged, whole.toFile(), false);
      normalizer.ifPresent(n -> ModelSerializer.addNormalizerToModel(whole.toFile(), n));
      AtomicFiles.write(zip, out -> Files.copy(whole, out));
    } finally {
      Files.deleteIfExists(whole);
    }
  }

  @Override
  public Dl4jModel withMerged(List<? extends Adapter> adapters, Path directory) {
    List<Dl4jAdapter> stack = adapters.stream().map(Dl4jAdapter::of).toList();
    engine.lock().lock();
    try {
      requireOpen();
      Map<String, Map<String, float[]>> values = new LinkedHashMap<>();
      for (String task : heads.keySet()) {
        owner(task, stack)
            .ifPresent(
                a -> {
                  Map<String, float[]> own = new LinkedHashMap<>();
                  a.headValues(task).forEach((key, v) -> own.put(key, v.dup('c').data().asFloat()));
                  values.put(task, own);
                });
      }
      return new Dl4jModel(
          new BaseNetwork(base.with(mergedWeights(stack))),
          tasks.values().asList(),
          Optional.of(output.features()),
          Optional.of(engine),
          Optional.of(directory),
          this,
          values);
    } finally {
      engine.lock().unlock();
    }
  }

  /**
   * Saves the network as {@code network.zip}, in its own type, and the output layers that adapters
   * of its tasks begin with in {@code heads/}: an adapter without LoRA, which belongs below others
   * where adapters were merged that these tasks had learned by.
   */
  @Override
  public void save(Path directory, ElementType type) throws IOException {
    engine.lock().lock();
    try (Dl4jAdapter own = Dl4jAdapter.ofHeads(this)) {
      AtomicFiles.writeDirectory(
          directory,
          d -> {
            AtomicFiles.write(
                d.resolve("network.zip"),
                out -> ModelSerializer.writeModel(base.network(), out, false));
            own.save(d.resolve("heads"));
          });
    } finally {
      engine.lock().unlock();
    }
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    updates.clear();
    if (ownsEngine) {
      engine.close();
    }
  }
}
