package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSortedMap;
import com.google.common.collect.Maps;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;
import org.tune4j.core.engine.EmbeddingAdapter;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Parameters.Slot;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Projection;
import org.tune4j.core.model.ProjectionGroup;

/**
 * A LoRA (or DoRA) adapter on a {@link LanguageModel}. Made by {@link LoraConfig#create} or loaded
 * by {@link PeftFormat#load}.
 *
 * <p>Its parameters are named as in PEFT's files without prefix: {@code <module>.lora_A.weight}
 * {@code [r, in]}, {@code <module>.lora_B.weight} {@code [out, r]}, and for DoRA {@code
 * <module>.lora_magnitude_vector} {@code [1, out]}.
 */
public final class LoraAdapter implements Adapter {
  private static final String EMBEDDING_A = ".lora_embedding_A";

  /** One adapted projection; of an embedding, {@code a} is transposed: {@code [entries, r]}. */
  record Module(
      Projection projection, int member, int rank, float scale, Slot a, Slot b, Slot magnitude) {}

  private final LanguageModel model;
  private final LoraConfig config;
  private final String name;
  private final Parameters parameters;
  private final ImmutableMap<String, Module> modules;
  private final IdentityHashMap<ProjectionGroup, GroupLora> groups = new IdentityHashMap<>();
  private final IdentityHashMap<ProjectionGroup, EmbeddingLora> embeddings =
      new IdentityHashMap<>();
  private final IdentityHashMap<ProjectionGroup, SavedTable> saved = new IdentityHashMap<>();
  private final IdentityHashMap<ProjectionGroup, OnResidual> residuals = new IdentityHashMap<>();
  private boolean trainable = true;

  private LoraAdapter(LanguageModel model, LoraConfig config, String name) {
    this.model = model;
    this.config = config;
    this.name = name;
    Parameters.Builder builder = Parameters.builder(model.engine());
    Map<String, Module> all = new LinkedHashMap<>();
    Map<ProjectionGroup, List<Target>> targets = new LinkedHashMap<>(); // in order
    for (Target t : config.resolve(model)) {
      targets.computeIfAbsent(t.group(), g -> new ArrayList<>()).add(t);
    }
    IdentityHashMap<ProjectionGroup, List<Module>> byGroup = new IdentityHashMap<>();
    targets.forEach(
        (group, members) -> {
          // neighbouring A's of a group make one product of their common input
          List<Slot> a = new ArrayList<>();
          boolean embedding = group.use() == FrozenMatrix.Use.EMBEDDING;
          for (Target t : members) {
            Projection p = t.projection();
            a.add(
                embedding
                    ? builder.add(embeddingAName(p), p.in(), t.rank()) // rows are looked up
                    : builder.add(aName(p), t.rank(), p.in()));
          }
          List<Module> made = new ArrayList<>();
          for (int k = 0; k < members.size(); k++) {
            Target t = members.get(k);
            Projection p = t.projection();
            Slot b = builder.add(embedding ? embeddingBName(p) : bName(p), p.out(), t.rank());
            Slot magnitude = config.dora() ? builder.add(magnitudeName(p), 1, p.out()) : null;
            Module m =
                new Module(p, t.member(), t.rank(), (float) t.scale(), a.get(k), b, magnitude);
            made.add(m);
            all.put(p.name(), m);
          }
          byGroup.put(group, made);
        });
    for (ProjectionGroup group : config.saved(model)) {
      Projection p = group.members().get(0);
      MatrixSource table = p.source();
      Slot slot = builder.add(p.name() + ".weight", table.rows(), table.cols());
      saved.put(group, new SavedTable(this, group, slot));
    }
    parameters = builder.build(true);
    modules = ImmutableMap.copyOf(all);
    byGroup.forEach(
        (group, made) -> {
          if (group.use() == FrozenMatrix.Use.EMBEDDING) {
            embeddings.put(group, new EmbeddingLora(this, made.get(0)));
          } else {
            groups.put(group, new GroupLora(this, group, made));
          }
        });
    if (config.initialisation().movesBase()) {
      groups.forEach(
          (group, lora) ->
              residuals.put(
                  group,
                  new OnResidual(
                      model.engine(),
                      group,
                      lora,
                      lora.modules().stream()
                          .map(m -> basePart(config, group, m.member, m.rank, m.scale))
                          .toList())));
    }
  }

  private static Factors basePart(
      LoraConfig config, ProjectionGroup group, int member, int rank, float scale) {
    return config.initialisation().basePart(group.sources().get(member), rank, scale);
  }

  static String aName(Projection p) {
    return p.name() + ".lora_A.weight";
  }

  static String bName(Projection p) {
    return p.name() + ".lora_B.weight";
  }

  static String embeddingAName(Projection p) {
    return p.name() + EMBEDDING_A;
  }

  static String embeddingBName(Projection p) {
    return p.name() + ".lora_embedding_B";
  }

  static String magnitudeName(Projection p) {
    return p.name() + ".lora_magnitude_vector";
  }

  /** Returns an adapter with initial values. */
  static LoraAdapter create(LanguageModel model, LoraConfig config, String name, long seed) {
    Engine engine = model.engine();
    if (config.initialisation().movesBase()) {
      // what takes long is done while others may run steps, and known afterwards
      for (Target t : config.resolve(model)) {
        if (!t.embedding()) {
          basePart(config, t.group(), t.member(), t.rank(), (float) t.scale());
        }
      }
    }
    engine.lock().lock();
    try {
      LoraAdapter adapter = zeros(model, config, name);
      adapter.initialise(seed);
      return adapter;
    } finally {
      if (engine.lock().getHoldCount() == 1) {
        engine.resetArena();
      }
      engine.lock().unlock();
    }
  }

  private void initialise(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    residuals.forEach(
        (group, residual) -> {
          for (Module m : groups.get(group).modules()) {
            Factors part = residual.moved(m);
            set(m.a, part.a());
            set(m.b, part.b());
          }
        });
    for (Module m : modules.values()) {
      if (config.initialisation().movesBase() && !transposed(m.a)) {
        continue;
      }
      Factors values =
          transposed(m.a)
              ? config.initialisation().drawOfEmbedding(m.rank, m.a.rows(), m.b.rows(), random)
              : config.initialisation().draw(m.rank, m.a.cols(), m.b.rows(), random);
      set(m.a, values.a());
      set(m.b, values.b());
    }
    saved.values().forEach(SavedTable::initialise);
    parameters.changed();
    if (config.dora()) {
      groups.values().forEach(GroupLora::initialiseMagnitudes);
      parameters.changed();
    }
  }

  /** Returns an adapter whose parameters are all zero, to be filled. */
  static LoraAdapter zeros(LanguageModel model, LoraConfig config, String name) {
    return new LoraAdapter(model, config, name);
  }

  /** PEFT has an embedding's A with a column for each entry, here it is a row. */
  private static boolean transposed(Slot slot) {
    return slot.name().endsWith(EMBEDDING_A);
  }

  static float[] transpose(float[] values, int rows, int cols) {
    float[] t = new float[values.length]; // [cols, rows]
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        t[c * rows + r] = values[r * cols + c];
      }
    }
    return t;
  }

  /** Sets a parameter from values as PEFT has them. */
  void set(Slot slot, float[] values) {
    model
        .engine()
        .write(
            parameters.weight(slot),
            transposed(slot)
                ? transpose(values, /* rows= */ slot.cols(), /* cols= */ slot.rows())
                : values);
  }

  /** Returns the values of a parameter, row-major, in the shape that PEFT gives it. */
  public float[] values(String parameter) {
    Slot slot = parameters.slot(parameter);
    return read(slot, parameters.weight(slot));
  }

  /** Returns the gradient of a parameter like {@link #values}. */
  float[] gradient(String parameter) {
    Slot slot = parameters.slot(parameter);
    return read(slot, parameters.gradient(slot));
  }

  private float[] read(Slot slot, Tensor t) {
    model.engine().lock().lock();
    try {
      float[] values = model.engine().read(t);
      return transposed(slot) ? transpose(values, slot.rows(), slot.cols()) : values;
    } finally {
      model.engine().lock().unlock();
    }
  }

  /** Returns the shape that PEFT gives a parameter. */
  long[] shape(String parameter) {
    Slot slot = parameters.slot(parameter);
    if (parameter.endsWith(".lora_magnitude_vector")) {
      return new long[] {slot.cols()};
    }
    return transposed(slot)
        ? new long[] {slot.cols(), slot.rows()}
        : new long[] {slot.rows(), slot.cols()};
  }

  /** A tensor as PEFT stores it. */
  record Stored(float[] values, long[] shape) {}

  /**
   * Returns the update of a module of the decoder or head on the base's own weights, {@code scale B
   * A}: the module's A and B, behind which stand the parts that were taken from the weights, with
   * B's negated.
   */
  Factors update(Module m) {
    float[] a = values(m.a.name());
    float[] b = values(m.b.name());
    for (OnResidual residual : residuals.values()) {
      if (residual.has(m)) {
        return new Factors(m.rank, a, b).minus(residual.moved(m));
      }
    }
    return new Factors(m.rank, a, b);
  }

  /** Returns the rank of {@link #update}. */
  int updateRank(Module m) {
    return residuals.isEmpty() || transposed(m.a) ? m.rank : 2 * m.rank;
  }

  /** Returns all tensors as plain LoRA on the base's own weights, by name. */
  ImmutableSortedMap<String, Stored> plainTensors() {
    ImmutableSortedMap.Builder<String, Stored> all = ImmutableSortedMap.naturalOrder();
    Set<String> made = new HashSet<>();
    for (Module m : modules.values()) {
      if (!residuals.isEmpty() && !transposed(m.a)) {
        Factors u = update(m);
        all.put(m.a.name(), new Stored(u.a(), new long[] {u.rank(), m.projection.in()}));
        all.put(m.b.name(), new Stored(u.b(), new long[] {m.projection.out(), u.rank()}));
        made.add(m.a.name());
        made.add(m.b.name());
      }
    }
    for (String parameter : parameters.names()) {
      if (!made.contains(parameter)) {
        all.put(parameter, new Stored(values(parameter), shape(parameter)));
      }
    }
    return all.build();
  }

  /** Returns the configuration of {@link #plainTensors()}. */
  LoraConfig plainConfig() {
    if (residuals.isEmpty()) {
      return config;
    }
    // the scales stay: alpha / r, or alpha / sqrt(r)
    double factor = config.rslora() ? Math.sqrt(2) : 2;
    LoraConfig doubled =
        config.toBuilder()
            .rank(2 * config.rank())
            .alpha(factor * config.alpha())
            .rankPattern(Maps.transformValues(config.rankPattern(), r -> 2 * r))
            .alphaPattern(Maps.transformValues(config.alphaPattern(), a -> factor * a))
            .initialisation(Initialisation.KAIMING)
            .build();
    Map<String, Integer> ranks = new LinkedHashMap<>();
    Map<String, Double> alphas = new LinkedHashMap<>();
    for (Module m : modules.values()) {
      int rank = updateRank(m);
      String module = m.projection.name();
      if (doubled.rankOf(module) != rank) { // a small matrix, or an embedding
        ranks.put(module, rank);
        alphas.put(module, m.scale * (config.rslora() ? Math.sqrt(rank) : rank));
      }
    }
    doubled.rankPattern().forEach(ranks::putIfAbsent);
    doubled.alphaPattern().forEach(alphas::putIfAbsent);
    return doubled.toBuilder().rankPattern(ranks).alphaPattern(alphas).build();
  }

  /** Returns its configuration. */
  public LoraConfig config() {
    return config;
  }

  @Override
  public LanguageModel model() {
    return model;
  }

  /** Returns the embeddings and heads that are trained whole, by parameter. */
  ImmutableList<String> saved() {
    return saved.keySet().stream()
        .map(g -> g.members().get(0).name() + ".weight")
        .sorted()
        .collect(ImmutableList.toImmutableList());
  }

  ImmutableMap<String, Module> modules() {
    return modules;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public Parameters parameters() {
    return parameters;
  }

  @Override
  public Optional<ProjectionAdapter> on(ProjectionGroup group) {
    ProjectionAdapter found =
        residuals.containsKey(group) ? residuals.get(group) : groups.get(group);
    return Optional.ofNullable(
        found == null && group.use() == FrozenMatrix.Use.HEAD ? saved.get(group) : found);
  }

  @Override
  public Optional<EmbeddingAdapter> onRows(ProjectionGroup embedding) {
    EmbeddingAdapter found = embeddings.get(embedding);
    return Optional.ofNullable(
        found == null && embedding.use() == FrozenMatrix.Use.EMBEDDING
            ? saved.get(embedding)
            : found);
  }

  @Override
  public boolean trainable() {
    return trainable;
  }

  /**
   * {@inheritDoc}
   *
   * @throws UnsupportedOperationException if its B is to stay frozen in training (MiCA)
   */
  @Override
  public void setTrainable(boolean value) {
    if (value && !config.initialisation().trains()) {
      throw new UnsupportedOperationException(
          "'%s' began by %s, which trains A only: this is not implemented"
              .formatted(name, config.initialisation()));
    }
    trainable = value;
  }

  @Override
  public void save(Path directory) throws IOException {
    PeftFormat.save(this, directory);
  }

  /**
   * Merges the adapter into the model: its weights become {@code W + scale B A}, computed in F32,
   * on top of what is merged already. DoRA rescales the rows of the sum, by norms of the base's own
   * weights with this adapter alone: merging several in order equals applying them in that order.
   * While merged, run the model without this adapter; {@link Merging#unmerge} undoes it.
   */
  @Override
  public void mergeIntoModel() {
    Adapter.super.mergeIntoModel();
  }

  @Override
  public List<MatrixSource> merged(ProjectionGroup group, List<MatrixSource> sources) {
    if (saved.containsKey(group)) {
      return ImmutableList.of(saved.get(group).merged(sources.get(0)));
    }
    if (embeddings.containsKey(group)) {
      return ImmutableList.of(embeddings.get(group).merged(sources.get(0)));
    }
    GroupLora lora = groups.get(group);
    if (lora == null) {
      return sources;
    }
    List<MatrixSource> all = new ArrayList<>(sources);
    for (Module m : lora.modules()) {
      all.set(m.member, merge(m, sources.get(m.member)));
    }
    return ImmutableList.copyOf(all);
  }

  /** Undoes every merge into the model, bit for bit: {@link Merging#unmerge}. */
  public static void unmerge(LanguageModel model) {
    Merging.unmerge(model);
  }

  /** Returns a module's weight with it merged in. */
  MergedSource merge(Module m, MatrixSource into) {
    Factors update = update(m);
    return new MergedSource(
        into,
        m.projection.source(),
        update.rank(),
        m.scale,
        update.a(),
        update.b(),
        m.magnitude == null ? null : values(m.magnitude.name()));
  }

  @Override
  public void close() {
    model.engine().lock().lock(); // others may be running a step on the same engine
    try {
      groups.values().forEach(g -> g.free(model.engine()));
      residuals.values().forEach(OnResidual::close);
      parameters.close();
    } finally {
      model.engine().lock().unlock();
    }
  }

  @Override
  public String toString() {
    return name + ": " + config + ", " + parameters.size() + " parameters";
  }
}
