package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSortedMap;
import com.google.common.collect.Maps;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import org.tune4j.core.engine.EmbeddingAdapter;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.ProjectionGroup;

/**
 * A LoRA adapter of any {@link LoraVariant} on a {@link LanguageModel}: a {@link Part} for each
 * group of modules that it changes, with their parameters in one buffer. Created by {@link
 * LoraConfig#create} or loaded by {@link PeftFormat#load}.
 *
 * <p>Its parameters are named as in PEFT's files without prefix, such as {@code
 * <module>.lora_A.weight} {@code [r, in]} and {@code <module>.lora_B.weight} {@code [out, r]}.
 */
public final class LoraAdapter implements Adapter {
  private final LanguageModel model;
  private final LoraConfig config;
  private final String name;
  private final Parameters parameters;
  private final Parameters frozen; // parameters that are not trained; null if there are none
  private final ImmutableMap<String, Weight> weights;
  private final ImmutableMap<String, Target> targets;
  private final IdentityHashMap<ProjectionGroup, Residual> residuals = new IdentityHashMap<>();
  private final ImmutableMap<ProjectionGroup, Part> parts;
  private boolean trainable = true;

  private LoraAdapter(
      LanguageModel model,
      LoraConfig config,
      String name,
      ModelTargets found,
      Map<Target, Factors> fromBase) {
    this.model = model;
    this.config = config;
    this.name = name;
    targets = Maps.uniqueIndex(found.targets(), Target::name);
    Map<ProjectionGroup, List<Target>> byGroup = byGroup(found.targets());
    Parameters.Builder trained = Parameters.builder(model.engine());
    Parameters.Builder held = Parameters.builder(model.engine());
    Map<Declared, Parameters.Slot> slots = new LinkedHashMap<>();
    for (Declared d : declared(config, found)) {
      slots.put(d, (d.frozen() ? held : trained).add(d.name(), d.rows(), d.cols()));
    }
    parameters = trained.build(true);
    frozen = slots.keySet().stream().anyMatch(Declared::frozen) ? held.build(false) : null;
    ImmutableMap.Builder<String, Weight> all = ImmutableMap.builder();
    slots.forEach(
        (d, slot) -> all.put(d.name(), new Weight(d, d.frozen() ? frozen : parameters, slot)));
    weights = all.buildOrThrow();
    if (config.initialisation().movesBase()) {
      byGroup.forEach(
          (group, own) -> {
            if (fromBase.containsKey(own.get(0))) {
              List<Factors> moved = own.stream().map(fromBase::get).toList();
              residuals.put(group, new Residual(model.engine(), group, own, moved));
            }
          });
    }
    ImmutableMap.Builder<ProjectionGroup, Part> created = ImmutableMap.builder();
    byGroup.forEach((group, own) -> created.put(group, config.variant().on(this, group, own)));
    found.saved().forEach(group -> created.put(group, new SavedTable(this, group)));
    parts = created.buildOrThrow();
  }

  private static Map<ProjectionGroup, List<Target>> byGroup(List<Target> targets) {
    Map<ProjectionGroup, List<Target>> groups = new LinkedHashMap<>(); // in the model's order
    targets.forEach(t -> groups.computeIfAbsent(t.group(), g -> new ArrayList<>()).add(t));
    return groups;
  }

  /** Returns the declarations of all parameters, in their order in memory. */
  static ImmutableList<Declared> declared(LoraConfig config, ModelTargets found) {
    ImmutableList.Builder<Declared> all = ImmutableList.builder();
    byGroup(found.targets())
        .forEach((group, own) -> all.addAll(config.variant().parameters(config, own)));
    found.saved().forEach(group -> all.add(SavedTable.declared(group)));
    return all.build();
  }

  /** Returns the initial values computed from the base's weights. */
  private static Map<Target, Factors> fromBase(LoraConfig config, ModelTargets found) {
    Map<Target, Factors> all = new LinkedHashMap<>();
    found
        .targets()
        .forEach(t -> config.initialisation().fromBase(t).ifPresent(values -> all.put(t, values)));
    return all;
  }

  /** Returns a new adapter with initial values. */
  static LoraAdapter create(
      LanguageModel model, LoraConfig config, ModelTargets targets, String name, long seed) {
    Map<Target, Factors> fromBase = fromBase(config, targets); // slow, so without the engine's lock
    Engine engine = model.engine();
    engine.lock().lock();
    try {
      LoraAdapter adapter = new LoraAdapter(model, config, name, targets, fromBase);
      SplittableRandom random = new SplittableRandom(seed);
      for (Part part : adapter.parts.values()) {
        part.initialise(
            t ->
                fromBase.containsKey(t)
                    ? fromBase.get(t)
                    : config.initialisation().draw(t, random));
      }
      adapter.changed();
      return adapter;
    } finally {
      if (engine.lock().getHoldCount() == 1) {
        engine.resetArena();
      }
      engine.lock().unlock();
    }
  }

  /** Returns an adapter whose parameters are all zero, for the caller to fill. */
  static LoraAdapter zeros(LanguageModel model, LoraConfig config, String name) {
    ModelTargets targets = ModelTargets.of(config, model);
    return new LoraAdapter(
        model,
        config,
        name,
        targets,
        config.initialisation().movesBase() ? fromBase(config, targets) : Map.of());
  }

  /** Returns a copy on this adapter's model, or on one with other adapters merged in. */
  LoraAdapter copy(LanguageModel to, String newName) {
    Engine engine = to.engine();
    engine.lock().lock();
    try {
      ModelTargets found = ModelTargets.of(config, to);
      Map<Target, Factors> moved = new LinkedHashMap<>();
      for (Target t : found.targets()) {
        Target own = targets.get(t.name());
        if (residuals.containsKey(own.group())) {
          moved.put(t, residuals.get(own.group()).moved(own));
        }
      }
      LoraAdapter copy = new LoraAdapter(to, config, newName, found, moved);
      weights.forEach((parameter, w) -> copy.weight(parameter).set(w.values()));
      copy.changed();
      return copy;
    } finally {
      engine.lock().unlock();
    }
  }

  /** Updates everything derived from the weights; must be called after they were written. */
  void changed() {
    parameters.changed();
    if (frozen != null) {
      frozen.changed();
    }
  }

  /** Returns all parameters, including those that are not trained. */
  ImmutableMap<String, Weight> weights() {
    return weights;
  }

  /** Returns a parameter, which must exist. */
  Weight weight(String parameter) {
    Weight found = weights.get(parameter);
    checkArgument(found != null, "no parameter is named '%s'", parameter);
    return found;
  }

  /** Returns the parts moved out of a group's base weights; null if there are none. */
  Residual residual(ProjectionGroup group) {
    return residuals.get(group);
  }

  /** Returns the values of a parameter, row-major, in PEFT's shape. */
  public float[] values(String parameter) {
    return weight(parameter).values();
  }

  /** Returns the gradient of a parameter in the layout of {@link #values}. */
  public float[] gradient(String parameter) {
    return weight(parameter).gradientValues();
  }

  /** A tensor as PEFT stores it. */
  record Stored(float[] values, long... shape) {}

  /**
   * Returns the factors of a module's update to the base's own weights, without the scale; empty if
   * this variant's effect is not a sum.
   */
  Optional<Factors> update(Target target) {
    return parts.get(target.group()).update(target);
  }

  /**
   * Returns the rank that a module is stored with: twice its rank if a part was moved out of the
   * base.
   */
  int storedRank(Target target) {
    return residuals.containsKey(target.group()) ? 2 * target.rank() : target.rank();
  }

  /** Returns the tensors to store, relative to the base's own weights, by name. */
  ImmutableSortedMap<String, Stored> plainTensors() {
    Map<String, Stored> all = new LinkedHashMap<>();
    parts.values().forEach(part -> all.putAll(part.storedReplacements()));
    for (Weight w : weights.values()) {
      if (!all.containsKey(w.declared().name())) {
        long[] shape = w.declared().shape().stream().mapToLong(d -> d).toArray();
        all.put(w.declared().name(), new Stored(w.values(), shape));
      }
    }
    return ImmutableSortedMap.copyOf(all);
  }

  /** Returns the configuration of {@link #plainTensors()}. */
  LoraConfig plainConfig() {
    if (residuals.isEmpty()) {
      return config;
    }
    // keeps the scales, alpha / r or alpha / sqrt(r)
    double factor = config.rslora() ? Math.sqrt(2) : 2;
    LoraConfig doubled =
        config.toBuilder()
            .rank(2 * config.rank())
            .alpha(factor * config.alpha())
            .rankPattern(Maps.transformValues(config.rankPattern().asMap(), r -> 2 * r))
            .alphaPattern(Maps.transformValues(config.alphaPattern().asMap(), a -> factor * a))
            .initialisation(Initialisation.KAIMING)
            .build();
    Map<String, Integer> ranks = new LinkedHashMap<>();
    Map<String, Double> alphas = new LinkedHashMap<>();
    for (Target t : targets.values()) {
      int rank = storedRank(t);
      String module = t.name();
      if (doubled.rankOf(module) != rank) { // small matrices and embeddings
        ranks.put(module, rank);
        alphas.put(module, t.scale() * (config.rslora() ? Math.sqrt(rank) : rank));
      }
    }
    doubled.rankPattern().asMap().forEach(ranks::putIfAbsent);
    doubled.alphaPattern().asMap().forEach(alphas::putIfAbsent);
    return doubled.toBuilder().rankPattern(ranks).alphaPattern(alphas).build();
  }

  /** Returns the configuration that it was created from. */
  public LoraConfig config() {
    return config;
  }

  @Override
  public LanguageModel model() {
    return model;
  }

  /** Returns the names of the parameters of fully trained embeddings and heads. */
  ImmutableList<String> saved() {
    return parts.keySet().stream()
        .filter(group -> parts.get(group) instanceof SavedTable)
        .map(group -> SavedTable.declared(group).name())
        .sorted()
        .collect(ImmutableList.toImmutableList());
  }

  /** Returns the modules that it targets, by name, in the model's order. */
  ImmutableMap<String, Target> targets() {
    return targets;
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
    return group.use() == ProjectionGroup.Use.EMBEDDING
        ? Optional.empty()
        : Optional.ofNullable((ProjectionAdapter) parts.get(group));
  }

  @Override
  public Optional<EmbeddingAdapter> onRows(ProjectionGroup embedding) {
    return embedding.use() == ProjectionGroup.Use.EMBEDDING
        ? Optional.ofNullable((EmbeddingAdapter) parts.get(embedding))
        : Optional.empty();
  }

  @Override
  public boolean trainable() {
    return trainable;
  }

  @Override
  public void setTrainable(boolean value) {
    trainable = value;
  }

  @Override
  public void save(Path directory) throws IOException {
    PeftFormat.save(this, directory);
  }

  /**
   * Merges the adapter into the model: its weights become {@code W + scale B A}, computed in F32,
   * on top of earlier merges. DoRA rescales the rows of the sum by norms of the base's own weights
   * with this adapter alone, so that merging several in order is equivalent to applying them in
   * that order. While merged, run the model without this adapter; {@link Merging#unmerge} undoes
   * it.
   */
  @Override
  public void mergeIntoModel() {
    Adapter.super.mergeIntoModel();
  }

  @Override
  public List<MatrixSource> merged(ProjectionGroup group, List<MatrixSource> sources) {
    Part part = parts.get(group);
    return part == null ? sources : part.merged(sources);
  }

  /** Undoes all merges into the model exactly; see {@link Merging#unmerge}. */
  public static void unmerge(LanguageModel model) {
    Merging.unmerge(model);
  }

  @Override
  public void close() {
    model.engine().lock().lock(); // another thread may be running a step on the engine
    try {
      parts.values().forEach(Part::free);
      parameters.close();
      if (frozen != null) {
        frozen.close();
      }
    } finally {
      model.engine().lock().unlock();
    }
  }

  @Override
  public String toString() {
    return name + ": " + config + ", " + parameters.size() + " parameters";
  }
}
