package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;
import static java.util.stream.Collectors.joining;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.AdapterFactory;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Projection;
import org.tune4j.core.model.ProjectionGroup;

/**
 * What a LoRA adapter looks like (Hu et al. 2021): {@code y = W x + scale * B A x}, with {@code A
 * [r, in]} and {@code B [out, r]}. The fields are PEFT's, with PEFT's meanings and defaults, except
 * that the rank patterns are given as maps.
 *
 * <p>Defaults: rank 8, alpha 16, no dropout, all linear layers of the decoder.
 */
public final class LoraConfig implements AdapterFactory {
  /** The value of target modules that means every linear layer but the output head. */
  public static final String ALL_LINEAR = "all-linear";

  /** Which biases of the base model are trained along; PEFT's {@code bias}. */
  public enum Bias {
    /** None. */
    NONE("none"),
    /** All that the model has. */
    ALL("all"),
    /** Those of the adapted layers. */
    LORA_ONLY("lora_only");

    private final String peft;

    Bias(String peft) {
      this.peft = peft;
    }

    /** Returns PEFT's value. */
    String peft() {
      return peft;
    }
  }

  /** A key of a rank or alpha pattern, which matches {@code (.*\\.)?(key)$}. */
  private record Key(String key, boolean plain, PythonRegex regex) {
    static List<Key> of(String field, Iterable<String> keys) {
      List<Key> all = new ArrayList<>();
      for (String key : keys) {
        boolean plain =
            key.chars()
                .allMatch(c -> c == '.' || c == '_' || (c < 128 && Character.isLetterOrDigit(c)));
        all.add(new Key(key, plain, PythonRegex.compile(field, key, "(.*\\.)?(" + key + ")$")));
      }
      return ImmutableList.copyOf(all);
    }

    boolean matches(String module, PythonRegex.Steps steps) {
      if (!plain) {
        return regex.match(module, steps) != null;
      }
      // the commonest, names, without a machine: a dot stands for any character
      steps.take(regex, module);
      int from = module.length() - key.length();
      if (from < 0 || (from > 0 && module.charAt(from - 1) != '.')) {
        return false;
      }
      for (int i = 0; i < key.length(); i++) {
        if (key.charAt(i) != '.' && key.charAt(i) != module.charAt(from + i)) {
          return false;
        }
      }
      return true;
    }
  }

  private final int rank;
  private final double alpha;
  private final double dropout;
  private final ImmutableList<String> targetModules;
  private final boolean targetRegex;
  private final ImmutableMap<String, Integer> rankPattern;
  private final ImmutableMap<String, Double> alphaPattern;
  private final ImmutableList<Integer> layersToTransform;
  private final ImmutableList<String> layersPattern;
  private final ImmutableList<String> excludeModules;
  private final boolean excludeRegex;
  private final boolean rslora;
  private final LoraVariant variant;
  private final Initialisation initialisation;
  private final Bias bias;
  private final ImmutableList<String> modulesToSave;
  private final boolean ensureWeightTying;
  private final ImmutableSet<String> targetNames;
  private final ImmutableSet<String> excludedNames;
  private final ImmutableSet<Integer> layers;
  private final PythonRegex targetExpression; // null: names
  private final PythonRegex excludeExpression;
  private final ImmutableList<PythonRegex> layerExpressions;
  private final ImmutableList<PythonRegex> savedExpressions;
  private final List<Key> rankKeys;
  private final List<Key> alphaKeys;

  private LoraConfig(Builder b) {
    checkArgument(b.rank > 0, "r is %s; it must be at least 1", b.rank);
    checkArgument(
        Float.isFinite((float) b.alpha), "lora_alpha is %s; it must be a finite number", b.alpha);
    checkArgument(
        b.dropout >= 0 && b.dropout < 1, "lora_dropout is %s; it must be in [0, 1)", b.dropout);
    b.rankPattern.forEach(
        (k, r) -> checkArgument(r > 0, "rank_pattern '%s' is %s; it must be at least 1", k, r));
    b.alphaPattern.forEach(
        (k, a) ->
            checkArgument(
                Float.isFinite(a.floatValue()),
                "alpha_pattern '%s' is %s; it must be a finite number",
                k,
                a));
    checkArgument(
        b.targetRegex || b.targetModules.size() == 1 || !b.targetModules.contains(ALL_LINEAR),
        "target_modules %s: '%s' stands alone",
        b.targetModules,
        ALL_LINEAR);
    checkArgument(
        b.layersToTransform == null || !b.targetRegex,
        "layers_to_transform goes with a list of target_modules, not with a regular expression");
    checkArgument(
        b.layersPattern.isEmpty() || b.layersToTransform != null,
        "layers_pattern needs layers_to_transform");
    rank = b.rank;
    alpha = b.alpha;
    dropout = b.dropout;
    targetModules = b.targetModules;
    targetRegex = b.targetRegex;
    rankPattern = ImmutableMap.copyOf(b.rankPattern);
    alphaPattern = ImmutableMap.copyOf(b.alphaPattern);
    layersToTransform = b.layersToTransform;
    layersPattern = b.layersPattern;
    excludeModules = b.excludeModules;
    excludeRegex = b.excludeRegex;
    rslora = b.rslora;
    variant = b.variant;
    initialisation = b.initialisation;
    bias = b.bias;
    modulesToSave = b.modulesToSave;
    ensureWeightTying = b.ensureWeightTying;
    checkArgument(
        modulesToSave.stream().noneMatch(String::isEmpty),
        "modules_to_save %s has an empty name",
        modulesToSave);
    savedExpressions =
        modulesToSave.stream()
            .map(m -> PythonRegex.compile("modules_to_save", m, "(^|.*\\.)" + m + "($|\\..*)"))
            .collect(ImmutableList.toImmutableList());
    initialisation.check(this);
    targetNames = targetRegex ? ImmutableSet.of() : ImmutableSet.copyOf(targetModules);
    excludedNames = excludeRegex ? ImmutableSet.of() : ImmutableSet.copyOf(excludeModules);
    layers = layersToTransform == null ? ImmutableSet.of() : ImmutableSet.copyOf(layersToTransform);
    targetExpression =
        targetRegex ? PythonRegex.compile("target_modules", targetModules.get(0)) : null;
    excludeExpression =
        excludeRegex ? PythonRegex.compile("exclude_modules", excludeModules.get(0)) : null;
    rankKeys = Key.of("rank_pattern", rankPattern.keySet());
    alphaKeys = Key.of("alpha_pattern", alphaPattern.keySet());
    layerExpressions =
        (layersPattern.isEmpty() ? ImmutableList.of("[^.]*") : layersPattern)
            .stream()
                .map(l -> PythonRegex.compile("layers_pattern", l, ".*?\\." + l + "\\.(\\d+)\\."))
                .collect(ImmutableList.toImmutableList());
  }

  /** Returns the defaults. */
  public static LoraConfig defaults() {
    return builder().build();
  }

  /** Returns the defaults with another rank, and an alpha of twice that. */
  public static LoraConfig rank(int rank) {
    return builder().rank(rank).alpha(2.0 * rank).build();
  }

  /** Returns a builder. */
  public static Builder builder() {
    return new Builder();
  }

  /** Builds a {@link LoraConfig}. */
  public static final class Builder {
    private int rank = 8;
    private double alpha = 16;
    private double dropout;
    private ImmutableList<String> targetModules = ImmutableList.of(ALL_LINEAR);
    private boolean targetRegex;
    private Map<String, Integer> rankPattern = ImmutableMap.of();
    private Map<String, Double> alphaPattern = ImmutableMap.of();
    private ImmutableList<Integer> layersToTransform;
    private ImmutableList<String> layersPattern = ImmutableList.of();
    private ImmutableList<String> excludeModules = ImmutableList.of();
    private boolean excludeRegex;
    private boolean rslora;
    private LoraVariant variant = LoraVariant.plain();
    private Initialisation initialisation = Initialisation.KAIMING;
    private Bias bias = Bias.NONE;
    private ImmutableList<String> modulesToSave = ImmutableList.of();
    private boolean ensureWeightTying;

    private Builder() {}

    /** Sets the rank ({@code r}). */
    public Builder rank(int value) {
      rank = value;
      return this;
    }

    /** Sets {@code lora_alpha}: the update is scaled by alpha / r. */
    public Builder alpha(double value) {
      alpha = value;
      return this;
    }

    /** Sets the probability with which an adapter's input elements are dropped in training. */
    public Builder dropout(double value) {
      dropout = value;
      return this;
    }

    /**
     * Sets the target modules: full names, or suffixes such as {@code q_proj}; or {@link
     * #ALL_LINEAR} alone.
     */
    public Builder targetModules(List<String> value) {
      checkArgument(!value.isEmpty(), "target_modules is empty");
      targetModules = ImmutableList.copyOf(value);
      targetRegex = false;
      return this;
    }

    /** Like {@link #targetModules(List)}. */
    public Builder targetModules(String... value) {
      return targetModules(List.of(value));
    }

    /** Sets the target modules by an expression of Python's that matches the whole name. */
    public Builder targetModulesRegex(String value) {
      targetModules = ImmutableList.of(value);
      targetRegex = true;
      return this;
    }

    /**
     * Sets ranks of modules that differ: a key matches {@code (.*\.)?(key)$}, the first hit wins.
     */
    public Builder rankPattern(Map<String, Integer> value) {
      rankPattern = value;
      return this;
    }

    /** Sets alphas of modules that differ, matched like {@link #rankPattern}. */
    public Builder alphaPattern(Map<String, Double> value) {
      alphaPattern = value;
      return this;
    }

    /** Restricts the adapter to these layers. */
    public Builder layersToTransform(List<Integer> value) {
      layersToTransform = ImmutableList.copyOf(value);
      return this;
    }

    /** Sets the name of the module list that {@link #layersToTransform} counts in. */
    public Builder layersPattern(List<String> value) {
      layersPattern = ImmutableList.copyOf(value);
      return this;
    }

    /** Excludes modules by name or suffix. */
    public Builder excludeModules(List<String> value) {
      excludeModules = ImmutableList.copyOf(value);
      excludeRegex = false;
      return this;
    }

    /** Excludes modules by an expression of Python's that matches the whole name. */
    public Builder excludeModulesRegex(String value) {
      excludeModules = ImmutableList.of(value);
      excludeRegex = true;
      return this;
    }

    /** Scales by alpha / sqrt(r) (rsLoRA, Kalajdzievski 2023). */
    public Builder rslora(boolean value) {
      rslora = value;
      return this;
    }

    /** Learns magnitude and direction of the weights apart (DoRA, Liu et al. 2024). */
    public Builder dora(boolean value) {
      return variant(value ? LoraVariant.dora() : LoraVariant.plain());
    }

    /** Sets the kind of LoRA. */
    public Builder variant(LoraVariant value) {
      variant = value;
      return this;
    }

    /** Sets the initial values. */
    public Builder initialisation(Initialisation value) {
      initialisation = value;
      return this;
    }

    /**
     * Sets which biases of the base model are trained along. An adapter is only made where there
     * are none of them.
     */
    public Builder bias(Bias value) {
      bias = value;
      return this;
    }

    /**
     * Sets modules that are trained whole, as copies that the adapter has, and saved with it: the
     * output head or embeddings, by the ends of their names. For new tokens, and where the head
     * must learn much. An adapter then has as many parameters as these have weights.
     */
    public Builder modulesToSave(List<String> value) {
      modulesToSave = ImmutableList.copyOf(value);
      return this;
    }

    /** Like {@link #modulesToSave(List)}. */
    public Builder modulesToSave(String... value) {
      return modulesToSave(List.of(value));
    }

    /**
     * Sets whether what is trained of an embedding is trained of the output head too, where the
     * model has one weight for both. Not implemented: an adapter is not made where this matters.
     */
    public Builder ensureWeightTying(boolean value) {
      ensureWeightTying = value;
      return this;
    }

    /**
     * Returns the configuration.
     *
     * @throws IllegalArgumentException if a field's value is not allowed; the message names it
     */
    public LoraConfig build() {
      return new LoraConfig(this);
    }
  }

  /** Returns a builder with this configuration's values. */
  public Builder toBuilder() {
    Builder b = builder();
    b.rank = rank;
    b.alpha = alpha;
    b.dropout = dropout;
    b.targetModules = targetModules;
    b.targetRegex = targetRegex;
    b.rankPattern = rankPattern;
    b.alphaPattern = alphaPattern;
    b.layersToTransform = layersToTransform;
    b.layersPattern = layersPattern;
    b.excludeModules = excludeModules;
    b.excludeRegex = excludeRegex;
    b.rslora = rslora;
    b.variant = variant;
    b.initialisation = initialisation;
    b.bias = bias;
    b.modulesToSave = modulesToSave;
    b.ensureWeightTying = ensureWeightTying;
    return b;
  }

  /** Returns the rank. */
  public int rank() {
    return rank;
  }

  /** Returns alpha. */
  public double alpha() {
    return alpha;
  }

  /** Returns the dropout probability. */
  public double dropout() {
    return dropout;
  }

  /** Returns the target modules; one regular expression if {@link #targetRegex()}. */
  public ImmutableList<String> targetModules() {
    return targetModules;
  }

  /** Returns whether the target is a regular expression. */
  public boolean targetRegex() {
    return targetRegex;
  }

  /** Returns the rank pattern. */
  public ImmutableMap<String, Integer> rankPattern() {
    return rankPattern;
  }

  /** Returns the alpha pattern. */
  public ImmutableMap<String, Double> alphaPattern() {
    return alphaPattern;
  }

  /** Returns the layers, or null for all. */
  public ImmutableList<Integer> layersToTransform() {
    return layersToTransform;
  }

  /** Returns the layers pattern; may be empty. */
  public ImmutableList<String> layersPattern() {
    return layersPattern;
  }

  /** Returns the excluded modules; may be empty. */
  public ImmutableList<String> excludeModules() {
    return excludeModules;
  }

  /** Returns whether the exclusion is a regular expression. */
  public boolean excludeRegex() {
    return excludeRegex;
  }

  /** Returns whether scaling is rank-stabilised. */
  public boolean rslora() {
    return rslora;
  }

  /** Returns the kind of LoRA. */
  public LoraVariant variant() {
    return variant;
  }

  /** Returns the initial values. */
  public Initialisation initialisation() {
    return initialisation;
  }

  /** Returns which biases are trained along. */
  public Bias bias() {
    return bias;
  }

  /** Returns the modules that are trained whole; may be empty. */
  public ImmutableList<String> modulesToSave() {
    return modulesToSave;
  }

  /** Returns whether embedding and head are trained as one where they are one. */
  public boolean ensureWeightTying() {
    return ensureWeightTying;
  }

  /** Returns the rank of a module. */
  public int rankOf(String module) {
    return rankOf(module, new PythonRegex.Steps());
  }

  private int rankOf(String module, PythonRegex.Steps steps) {
    return rankPattern.getOrDefault(patternKey(rankKeys, module, steps), rank);
  }

  /** Returns the factor of a module's update: alpha / r, or alpha / sqrt(r) with rsLoRA. */
  public double scaleOf(String module) {
    return scaleOf(module, new PythonRegex.Steps());
  }

  private double scaleOf(String module, PythonRegex.Steps steps) {
    double a = alphaPattern.getOrDefault(patternKey(alphaKeys, module, steps), alpha);
    int r = rankOf(module, steps);
    return rslora ? a / Math.sqrt(r) : a / r;
  }

  private static String patternKey(List<Key> keys, String module, PythonRegex.Steps steps) {
    for (Key key : keys) {
      if (key.matches(module, steps)) {
        return key.key;
      }
    }
    return module;
  }

  /** Returns whether a module is a target, by PEFT's rules. */
  public boolean targets(String module) {
    return targets(module, new PythonRegex.Steps());
  }

  private boolean targets(String module, PythonRegex.Steps steps) {
    if (excludeRegex ? excludeExpression.fullMatch(module, steps) : named(excludedNames, module)) {
      return false;
    }
    for (PythonRegex saved : savedExpressions) {
      if (saved.match(module, steps) != null) {
        return false; // it is trained whole
      }
    }
    if (targetRegex) {
      return targetExpression.fullMatch(module, steps);
    }
    if (targetNames.contains(module)) {
      return true;
    }
    if (!targetNames.contains(ALL_LINEAR) && !named(targetNames, module)) {
      return false;
    }
    if (layers.isEmpty()) {
      return true;
    }
    for (PythonRegex expression : layerExpressions) {
      Matcher m = expression.match(module, steps);
      if (m != null) {
        String layer = m.group(1);
        checkArgument(
            layer != null && layer.matches("\\d{1,9}"),
            "layers_pattern: the first group of '%s' is not the number of a layer in '%s'",
            expression,
            module);
        return layers.contains(Integer.parseInt(layer));
      }
    }
    return false;
  }

  /** Returns whether names have the module's, or what follows one of its dots. */
  private static boolean named(Set<String> names, String module) {
    if (names.contains(module)) {
      return true;
    }
    for (int dot = module.indexOf('.'); dot >= 0; dot = module.indexOf('.', dot + 1)) {
      if (names.contains(module.substring(dot + 1))) {
        return true;
      }
    }
    return false;
  }

  /**
   * Returns the targets in a model, in its order.
   *
   * @throws IllegalArgumentException if there are none, or what is asked for is not implemented;
   *     the message lists what there is
   */
  List<Target> resolve(LanguageModel model) {
    PythonRegex.Steps steps = new PythonRegex.Steps();
    List<Target> found = new ArrayList<>();
    for (ProjectionGroup group : model.groups()) {
      if (targetNames.contains(ALL_LINEAR) && group.use() != ProjectionGroup.Use.PROJECTION) {
        continue; // PEFT, too, leaves the head out
      }
      for (int i = 0; i < group.members().size(); i++) {
        String name = group.members().get(i).name();
        if (targets(name, steps)) {
          found.add(target(group, i, rankOf(name, steps), scaleOf(name, steps)));
        }
      }
    }
    if (found.isEmpty()) {
      throw new IllegalArgumentException(
          "target_modules %s matches no linear layer or embedding of the model; it has: %s"
              .formatted(targetText(), lastNames(model)));
    }
    refuseBiases(
        bias == Bias.ALL ? model.projections() : found.stream().map(Target::projection).toList());
    refuseTying(model, found);
    return found;
  }

  private Target target(ProjectionGroup group, int member, int rank, double scale) {
    Projection p = group.members().get(member);
    if (!initialisation.movesBase() || group.use() == ProjectionGroup.Use.EMBEDDING) {
      return new Target(group, member, rank, (float) scale);
    }
    initialisation.check(p, scale);
    // a matrix has no more singular values
    return new Target(group, member, Math.min(rank, Math.min(p.in(), p.out())), (float) scale);
  }

  /**
   * Returns the groups, of one member each, that are trained whole, in the model's order.
   *
   * @throws IllegalArgumentException if a module is neither an embedding nor the head
   */
  List<ProjectionGroup> saved(LanguageModel model) {
    List<ProjectionGroup> found = new ArrayList<>();
    for (ProjectionGroup group : model.groups()) {
      if (group.use() != ProjectionGroup.Use.PROJECTION
          && modulesToSave.stream().anyMatch(group.members().get(0).name()::endsWith)) {
        found.add(group);
      }
    }
    if (!modulesToSave.isEmpty()) {
      Set<String> names = new HashSet<>();
      found.forEach(g -> names.add(g.members().get(0).name()));
      for (String module : model.moduleNames()) {
        checkArgument(
            names.contains(module) || modulesToSave.stream().noneMatch(module::endsWith),
            "modules_to_save %s has '%s': only embeddings and the output head are trained whole",
            modulesToSave,
            module);
      }
    }
    return found;
  }

  private void refuseTying(LanguageModel model, List<Target> targets) {
    boolean tables =
        targets.stream().anyMatch(t -> t.group().use() != ProjectionGroup.Use.PROJECTION)
            || !saved(model).isEmpty();
    checkArgument(
        !ensureWeightTying || !tables || !model.config().tiedHead(),
        "ensure_weight_tying is true, and the model has one weight for embedding and output head:"
            + " training them as one is not implemented");
  }

  private void refuseBiases(List<Projection> trained) {
    for (Projection p : trained) {
      checkArgument(
          bias == Bias.NONE || p.bias() == null,
          "bias is '%s' and %s has one, which would be trained along: this is not implemented",
          bias.peft(),
          p.name());
    }
  }

  /** Returns the target modules for messages, shortened. */
  String targetText() {
    String text = targetRegex ? "'" + targetModules.get(0) + "'" : targetModules.toString();
    return text.length() <= 300 ? text : text.substring(0, 300) + "…";
  }

  /**
   * Returns the projections of a model that are targets.
   *
   * @throws IllegalArgumentException if there are none; the message lists what there is
   */
  public List<Projection> targetsOf(LanguageModel model) {
    return resolve(model).stream().map(Target::projection).toList();
  }

  private static String lastNames(LanguageModel model) {
    return model.groups().stream()
        .flatMap(g -> g.members().stream())
        .map(p -> p.name().substring(p.name().lastIndexOf('.') + 1))
        .distinct()
        .collect(joining(", "));
  }

  /**
   * Returns a new adapter.
   *
   * @throws IllegalArgumentException if a target module is no linear layer, embedding or head of
   *     the model: PEFT would pass over a name that nothing has
   */
  @Override
  public LoraAdapter create(AdaptableModel adaptable, String name, long seed) {
    LanguageModel model = LanguageModel.of(adaptable);
    if (!targetRegex && !targetModules.contains(ALL_LINEAR)) {
      for (String target : targetModules) {
        checkArgument(
            model.groups().stream()
                .flatMap(g -> g.members().stream())
                .anyMatch(p -> named(Set.of(target), p.name())),
            "target_modules: '%s' is no linear layer or embedding of the model; it has: %s",
            target,
            lastNames(model));
      }
    }
    for (String module : modulesToSave) {
      checkArgument(
          saved(model).stream().anyMatch(g -> g.members().get(0).name().endsWith(module)),
          "modules_to_save: '%s' is no embedding or output head of the model; it has: %s",
          module,
          lastNames(model));
    }
    checkArgument(
        initialisation.begins(),
        "initialisation %s is for adapters that are loaded; new ones can have others",
        initialisation);
    long parameters = parameters(model);
    checkArgument(
        parameters <= Integer.MAX_VALUE,
        "r is %s%s; that makes %s parameters, an adapter has %s at most",
        rank,
        rankPattern.isEmpty() ? "" : ", rank_pattern " + rankPattern,
        parameters,
        Integer.MAX_VALUE);
    return LoraAdapter.create(model, this, name, seed);
  }

  /** What is taken from the base weights, and what is frozen, is copied, too. */
  @Override
  public LoraAdapter copy(Adapter original, AdaptableModel model, String name, long seed) {
    checkArgument(
        original instanceof LoraAdapter, "'%s' was not made by this: %s", original.name(), this);
    return ((LoraAdapter) original).copy(LanguageModel.of(model), name);
  }

  private List<Object> fields() {
    return Arrays.asList(
        rank,
        alpha,
        dropout,
        targetModules,
        targetRegex,
        ImmutableList.copyOf(rankPattern.entrySet()), // the order counts
        ImmutableList.copyOf(alphaPattern.entrySet()),
        layersToTransform,
        layersPattern,
        excludeModules,
        excludeRegex,
        rslora,
        variant,
        initialisation,
        bias,
        modulesToSave,
        ensureWeightTying);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof LoraConfig c && fields().equals(c.fields());
  }

  @Override
  public int hashCode() {
    return fields().hashCode();
  }

  @Override
  public long parameters(AdaptableModel adaptable) {
    LanguageModel model = LanguageModel.of(adaptable);
    return LoraAdapter.declared(this, resolve(model), saved(model)).stream()
        .filter(d -> !d.frozen())
        .mapToLong(Declared::size)
        .sum();
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    text.append(
        "%s(r=%d, alpha=%s, dropout=%s, target_modules=%s"
            .formatted(variant, rank, alpha, dropout, targetModules));
    if (!rankPattern.isEmpty()) {
      text.append(", rank_pattern=").append(rankPattern);
    }
    if (!alphaPattern.isEmpty()) {
      text.append(", alpha_pattern=").append(alphaPattern);
    }
    if (layersToTransform != null) {
      text.append(", layers_to_transform=").append(layersToTransform);
    }
    if (!layersPattern.isEmpty()) {
      text.append(", layers_pattern=").append(layersPattern);
    }
    if (!excludeModules.isEmpty()) {
      text.append(", exclude_modules=").append(excludeModules);
    }
    if (initialisation != Initialisation.KAIMING) {
      text.append(", initialisation=").append(initialisation);
    }
    if (bias != Bias.NONE) {
      text.append(", bias=").append(bias);
    }
    if (!modulesToSave.isEmpty()) {
      text.append(", modules_to_save=").append(modulesToSave);
    }
    return text.append(rslora ? ", rsLoRA" : "").append(')').toString();
  }
}
