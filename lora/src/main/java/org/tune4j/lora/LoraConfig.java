package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.Maps;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.AdapterFactory;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Projection;

/**
 * What a LoRA adapter looks like (Hu et al. 2021): {@code y = W x + scale * B A x}, with {@code A
 * [r, in]} and {@code B [out, r]}. The fields are PEFT's, with PEFT's meanings.
 *
 * <p>Defaults: rank 8 with an alpha of twice the rank, no dropout, all linear layers of the
 * decoder. Where these are not PEFT's stands in docs/formats.md.
 *
 * @param rank {@code r}
 * @param alpha {@code lora_alpha}: updates are scaled by alpha / r
 * @param dropout probability with which an adapter's input elements are dropped in training
 * @param targetModules what is adapted
 * @param excludeModules what is not, although it is a target
 * @param layersToTransform the layers that are adapted; empty for all
 * @param layersPattern names of the module list that these count in; empty for any
 * @param rankPattern ranks of modules that differ
 * @param alphaPattern alphas of modules that differ
 * @param rslora whether updates are scaled by alpha / sqrt(r) (rsLoRA, Kalajdzievski 2023)
 * @param variant the kind of LoRA
 * @param initialisation the initial values
 * @param bias which biases of the base model are trained along
 * @param modulesToSave what is trained whole, by the ends of names
 * @param ensureWeightTying whether what is trained of an embedding is trained of the head, too
 */
public record LoraConfig(
    int rank,
    double alpha,
    double dropout,
    TargetModules targetModules,
    TargetModules excludeModules,
    ImmutableList<Integer> layersToTransform,
    ImmutableList<String> layersPattern,
    ModulePattern<Integer> rankPattern,
    ModulePattern<Double> alphaPattern,
    boolean rslora,
    LoraVariant variant,
    Initialisation initialisation,
    Bias bias,
    ImmutableList<String> modulesToSave,
    boolean ensureWeightTying)
    implements AdapterFactory {
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

  /**
   * Checks the values.
   *
   * @throws IllegalArgumentException if one is not allowed; the message names it
   */
  public LoraConfig {
    checkArgument(rank > 0, "r is %s; it must be at least 1", rank);
    checkArgument(
        Float.isFinite((float) alpha), "lora_alpha is %s; it must be a finite number", alpha);
    checkArgument(dropout >= 0 && dropout < 1, "lora_dropout is %s; it must be in [0, 1)", dropout);
    rankPattern
        .asMap()
        .forEach(
            (k, r) -> checkArgument(r > 0, "rank_pattern '%s' is %s; it must be at least 1", k, r));
    alphaPattern
        .asMap()
        .forEach(
            (k, a) ->
                checkArgument(
                    Float.isFinite(a.floatValue()),
                    "alpha_pattern '%s' is %s; it must be a finite number",
                    k,
                    a));
    checkArgument(!targetModules.isNone(), "target_modules is empty");
    checkArgument(
        layersToTransform.isEmpty() || !targetModules.expression(),
        "layers_to_transform goes with a list of target_modules, not with a regular expression");
    checkArgument(
        layersPattern.isEmpty() || !layersToTransform.isEmpty(),
        "layers_pattern needs layers_to_transform");
    checkArgument(
        modulesToSave.stream().noneMatch(String::isEmpty),
        "modules_to_save %s has an empty name",
        modulesToSave);
  }

  /** Returns the defaults, those of {@link #builder()}. */
  public static LoraConfig defaults() {
    return builder().build();
  }

  /** Returns the defaults with another rank. */
  public static LoraConfig rank(int rank) {
    return builder().rank(rank).build();
  }

  /** Returns a builder with the defaults. */
  public static Builder builder() {
    return new Builder();
  }

  /** Returns a builder with this configuration's values: a new rank does not change the alpha. */
  public Builder toBuilder() {
    return new Builder(this);
  }

  /** Builds a {@link LoraConfig}; the order in which options are set does not matter. */
  public static final class Builder {
    private int rank = 8;
    private OptionalDouble alpha = OptionalDouble.empty();
    private double dropout;
    private TargetModules targetModules = TargetModules.allLinear();
    private TargetModules excludeModules = TargetModules.none();
    private ImmutableList<Integer> layersToTransform = ImmutableList.of();
    private ImmutableList<String> layersPattern = ImmutableList.of();
    private ModulePattern<Integer> rankPattern = ModulePattern.of(Map.of());
    private ModulePattern<Double> alphaPattern = ModulePattern.of(Map.of());
    private boolean rslora;
    private LoraVariant variant = LoraVariant.plain();
    private Initialisation initialisation = Initialisation.KAIMING;
    private Bias bias = Bias.NONE;
    private ImmutableList<String> modulesToSave = ImmutableList.of();
    private boolean ensureWeightTying;

    private Builder() {}

    private Builder(LoraConfig c) {
      rank = c.rank;
      alpha = OptionalDouble.of(c.alpha);
      dropout = c.dropout;
      targetModules = c.targetModules;
      excludeModules = c.excludeModules;
      layersToTransform = c.layersToTransform;
      layersPattern = c.layersPattern;
      rankPattern = c.rankPattern;
      alphaPattern = c.alphaPattern;
      rslora = c.rslora;
      variant = c.variant;
      initialisation = c.initialisation;
      bias = c.bias;
      modulesToSave = c.modulesToSave;
      ensureWeightTying = c.ensureWeightTying;
    }

    /** Sets the rank ({@code r}). */
    public Builder rank(int value) {
      rank = value;
      return this;
    }

    /** Sets {@code lora_alpha}; unless it is set it is twice the rank. */
    public Builder alpha(double value) {
      alpha = OptionalDouble.of(value);
      return this;
    }

    /** Sets the probability with which an adapter's input elements are dropped in training. */
    public Builder dropout(double value) {
      dropout = value;
      return this;
    }

    /** Sets what is adapted. */
    public Builder targetModules(TargetModules value) {
      targetModules = value;
      return this;
    }

    /** Like {@link TargetModules#named(List)}. */
    public Builder targetModules(List<String> value) {
      return targetModules(TargetModules.named(value));
    }

    /** Like {@link TargetModules#named(String...)}. */
    public Builder targetModules(String... value) {
      return targetModules(TargetModules.named(value));
    }

    /** Sets what is not adapted although it is a target. */
    public Builder excludeModules(TargetModules value) {
      excludeModules = value;
      return this;
    }

    /** Restricts the adapter to these layers; none for all. */
    public Builder layersToTransform(List<Integer> value) {
      layersToTransform = ImmutableList.copyOf(value);
      return this;
    }

    /** Sets the names of the module list that {@link #layersToTransform} counts in. */
    public Builder layersPattern(List<String> value) {
      layersPattern = ImmutableList.copyOf(value);
      return this;
    }

    /** Sets ranks of modules that differ; see {@link ModulePattern}. */
    public Builder rankPattern(Map<String, Integer> value) {
      rankPattern = ModulePattern.of(value);
      return this;
    }

    /** Sets alphas of modules that differ; see {@link ModulePattern}. */
    public Builder alphaPattern(Map<String, Double> value) {
      alphaPattern = ModulePattern.of(value);
      return this;
    }

    /** Scales by alpha / sqrt(r) (rsLoRA, Kalajdzievski 2023). */
    public Builder rslora(boolean value) {
      rslora = value;
      return this;
    }

    /** Sets the kind of LoRA. */
    public Builder variant(LoraVariant value) {
      variant = value;
      return this;
    }

    /** Learns magnitude and direction of the weights apart (DoRA, Liu et al. 2024), or not. */
    public Builder dora(boolean value) {
      return variant(value ? LoraVariant.dora() : LoraVariant.plain());
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
      LoraConfig config =
          new LoraConfig(
              rank,
              alpha.orElse(2.0 * rank),
              dropout,
              targetModules,
              excludeModules,
              layersToTransform,
              layersPattern,
              rankPattern,
              alphaPattern,
              rslora,
              variant,
              initialisation,
              bias,
              modulesToSave,
              ensureWeightTying);
      initialisation.check(config);
      ModuleMatcher.of(config); // refuses what is no expression
      return config;
    }
  }

  /** Returns the rank of a module. */
  public int rankOf(String module) {
    return ModuleMatcher.of(this).rank(module);
  }

  /** Returns the factor of a module's update: alpha / r, or alpha / sqrt(r) with rsLoRA. */
  public double scaleOf(String module) {
    return ModuleMatcher.of(this).scale(module);
  }

  /** Returns whether a module is a target, by PEFT's rules. */
  public boolean targets(String module) {
    return ModuleMatcher.of(this).targets(module);
  }

  /**
   * Returns the projections of a model that are targets.
   *
   * @throws IllegalArgumentException if there are none; the message lists what there is
   */
  public List<Projection> targetsOf(LanguageModel model) {
    return ModelTargets.of(this, model).targets().stream().map(Target::projection).toList();
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
    ModelTargets found = ModelTargets.of(this, model);
    found.requireAllNamed(this, model);
    checkArgument(
        initialisation.begins(),
        "initialisation %s is for adapters that are loaded; new ones can have others",
        initialisation);
    long parameters = parameters(found);
    checkArgument(
        parameters <= Integer.MAX_VALUE,
        "r is %s%s; that makes %s parameters, an adapter has %s at most",
        rank,
        rankPattern.isEmpty() ? "" : ", rank_pattern " + rankPattern,
        parameters,
        Integer.MAX_VALUE);
    return LoraAdapter.create(model, this, found, name, seed);
  }

  /** What is taken from the base weights, and what is frozen, is copied, too. */
  @Override
  public LoraAdapter copy(Adapter original, AdaptableModel model, String name, long seed) {
    checkArgument(
        original instanceof LoraAdapter, "'%s' was not made by this: %s", original.name(), this);
    return ((LoraAdapter) original).copy(LanguageModel.of(model), name);
  }

  /**
   * Ranks are a share of this configuration's, rounded, and at least 1. The updates' factors stay,
   * up to that rounding of ranks that differ from the others; with rsLoRA, which is made for
   * comparing ranks, alpha stays instead.
   */
  @Override
  public LoraConfig sized(double share) {
    int small = share(rank, share);
    double factor = rslora ? 1 : (double) small / rank;
    return toBuilder()
        .rank(small)
        .alpha(factor * alpha)
        .rankPattern(Maps.transformValues(rankPattern.asMap(), r -> share(r, share)))
        .alphaPattern(Maps.transformValues(alphaPattern.asMap(), a -> factor * a))
        .build();
  }

  private static int share(int rank, double share) {
    return (int) Math.max(1, Math.round(rank * share));
  }

  @Override
  public long parameters(AdaptableModel adaptable) {
    return parameters(ModelTargets.of(this, LanguageModel.of(adaptable)));
  }

  private long parameters(ModelTargets found) {
    return LoraAdapter.declared(this, found).stream()
        .filter(d -> !d.frozen())
        .mapToLong(Declared::size)
        .sum();
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    text.append(
        "%s(r=%d, alpha=%s, dropout=%s, target_modules=%s"
            .formatted(variant, rank, alpha, dropout, targetModules.names()));
    append(text, "rank_pattern", rankPattern, rankPattern.isEmpty());
    append(text, "alpha_pattern", alphaPattern, alphaPattern.isEmpty());
    append(text, "layers_to_transform", layersToTransform, layersToTransform.isEmpty());
    append(text, "layers_pattern", layersPattern, layersPattern.isEmpty());
    append(text, "exclude_modules", excludeModules.names(), excludeModules.isNone());
    append(text, "initialisation", initialisation, initialisation.equals(Initialisation.KAIMING));
    append(text, "bias", bias, bias == Bias.NONE);
    append(text, "modules_to_save", modulesToSave, modulesToSave.isEmpty());
    return text.append(rslora ? ", rsLoRA" : "").append(')').toString();
  }

  private static void append(StringBuilder text, String name, Object value, boolean isDefault) {
    if (!isDefault) {
      text.append(", ").append(name).append('=').append(value);
    }
  }
}
