package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;
import static java.util.stream.Collectors.joining;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.tune4j.core.model.AdapterFactory;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Projection;

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

  /** Initial values of A; B is zero except for {@link #RANDOM}. */
  public enum Initialisation {
    /** Kaiming uniform with a = sqrt(5): uniform within 1/sqrt(in). PEFT's default. */
    KAIMING,
    /** Normal with standard deviation 1/r. */
    GAUSSIAN,
    /**
     * Like {@link #KAIMING} for A and for B: an adapter that changes outputs from the start; for
     * tests.
     */
    RANDOM
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
  private final boolean dora;
  private final Initialisation initialisation;

  private LoraConfig(Builder b) {
    checkArgument(b.rank > 0, "r is %s; it must be at least 1", b.rank);
    checkArgument(
        Double.isFinite(b.alpha), "lora_alpha is %s; it must be a finite number", b.alpha);
    checkArgument(
        b.dropout >= 0 && b.dropout < 1, "lora_dropout is %s; it must be in [0, 1)", b.dropout);
    b.rankPattern.forEach(
        (k, r) -> checkArgument(r > 0, "rank_pattern '%s' is %s; it must be at least 1", k, r));
    b.alphaPattern.forEach(
        (k, a) ->
            checkArgument(
                Double.isFinite(a), "alpha_pattern '%s' is %s; it must be a finite number", k, a));
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
    dora = b.dora;
    initialisation = b.initialisation;
    if (targetRegex) {
      compile("target_modules", targetModules.get(0));
    }
    if (excludeRegex) {
      compile("exclude_modules", excludeModules.get(0));
    }
    rankPattern.keySet().forEach(k -> compile("rank_pattern", k));
    alphaPattern.keySet().forEach(k -> compile("alpha_pattern", k));
    layersPattern.forEach(k -> compile("layers_pattern", k));
  }

  private static Pattern compile(String field, String regex) {
    try {
      return compile(regex);
    } catch (PatternSyntaxException e) {
      throw new IllegalArgumentException(
          "%s: '%s' is no regular expression: %s".formatted(field, regex, e.getDescription()), e);
    }
  }

  /** Python's expressions are Java's but for the way in which groups are named. */
  private static Pattern compile(String regex) {
    return Pattern.compile(regex.replace("(?P<", "(?<"));
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
    private boolean dora;
    private Initialisation initialisation = Initialisation.KAIMING;

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

    /** Sets the target modules by a regular expression that matches the whole name. */
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

    /** Excludes modules by a regular expression that matches the whole name. */
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
      dora = value;
      return this;
    }

    /** Sets the initial values. */
    public Builder initialisation(Initialisation value) {
      initialisation = value;
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
    b.dora = dora;
    b.initialisation = initialisation;
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

  /** Returns whether this is DoRA. */
  public boolean dora() {
    return dora;
  }

  /** Returns the initial values. */
  public Initialisation initialisation() {
    return initialisation;
  }

  /** Returns the rank of a module. */
  public int rankOf(String module) {
    return rankPattern.getOrDefault(patternKey(rankPattern.keySet(), module), rank);
  }

  /** Returns the factor of a module's update: alpha / r, or alpha / sqrt(r) with rsLoRA. */
  public double scaleOf(String module) {
    double a = alphaPattern.getOrDefault(patternKey(alphaPattern.keySet(), module), alpha);
    int r = rankOf(module);
    return rslora ? a / Math.sqrt(r) : a / r;
  }

  private static String patternKey(Iterable<String> keys, String module) {
    for (String key : keys) {
      if (compile("(.*\\.)?(" + key + ")$").matcher(module).lookingAt()) {
        return key;
      }
    }
    return module;
  }

  /** Returns whether a module is a target, by PEFT's rules. */
  public boolean targets(String module) {
    if (excludeRegex
        ? compile(excludeModules.get(0)).matcher(module).matches()
        : named(excludeModules, module)) {
      return false;
    }
    if (targetRegex) {
      return compile(targetModules.get(0)).matcher(module).matches();
    }
    if (targetModules.contains(module)) {
      return true;
    }
    if (!targetModules.contains(ALL_LINEAR) && !named(targetModules, module)) {
      return false;
    }
    if (layersToTransform == null || layersToTransform.isEmpty()) {
      return true;
    }
    List<String> patterns = layersPattern.isEmpty() ? List.of("[^.]*") : layersPattern;
    for (String pattern : patterns) {
      Matcher m = compile(".*?\\." + pattern + "\\.(\\d+)\\.").matcher(module);
      if (m.lookingAt()) {
        return layersToTransform.contains(Integer.parseInt(m.group(1)));
      }
    }
    return false;
  }

  private static boolean named(List<String> names, String module) {
    return names.stream().anyMatch(n -> module.equals(n) || module.endsWith("." + n));
  }

  /**
   * Returns the projections of a model that are targets.
   *
   * @throws IllegalArgumentException if there are none; the message lists what there is
   */
  public List<Projection> targetsOf(LanguageModel model) {
    List<Projection> found = new ArrayList<>();
    for (Projection p : model.projections()) {
      if (targets(p.name())) {
        found.add(p);
      }
    }
    if (found.isEmpty()) {
      throw new IllegalArgumentException(
          "target_modules %s matches no linear layer of the model; it has: %s"
              .formatted(
                  targetRegex ? "'" + targetModules.get(0) + "'" : targetModules,
                  lastNames(model)));
    }
    return found;
  }

  private static String lastNames(LanguageModel model) {
    return model.projections().stream()
        .map(p -> p.name().substring(p.name().lastIndexOf('.') + 1))
        .distinct()
        .collect(joining(", "));
  }

  /**
   * Returns a new adapter.
   *
   * @throws IllegalArgumentException if a target module is no linear layer of the model's decoder:
   *     PEFT would pass over a name that nothing has, and adapt an output head or an embedding
   */
  @Override
  public LoraAdapter create(LanguageModel model, String name, long seed) {
    if (!targetRegex && !targetModules.contains(ALL_LINEAR)) {
      for (String target : targetModules) {
        checkArgument(
            model.projections().stream().anyMatch(p -> named(List.of(target), p.name())),
            "target_modules: '%s' is no linear layer of the model's decoder; it has: %s",
            target,
            lastNames(model));
      }
    }
    return LoraAdapter.create(model, this, name, seed);
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
        dora,
        initialisation);
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
  public long parameters(LanguageModel model) {
    return targetsOf(model).stream()
        .mapToLong(p -> (long) rankOf(p.name()) * (p.in() + p.out()) + (dora ? p.out() : 0))
        .sum();
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    text.append(
        "LoRA(r=%d, alpha=%s, dropout=%s, target_modules=%s"
            .formatted(rank, alpha, dropout, targetModules));
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
    return text.append(rslora ? ", rsLoRA" : "")
        .append(dora ? ", DoRA" : "")
        .append(')')
        .toString();
  }
}
