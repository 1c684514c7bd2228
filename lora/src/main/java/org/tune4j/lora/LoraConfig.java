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
 * The configuration of a LoRA adapter (Hu et al. 2021): {@code y = W x + scale * B A x}, with
 * {@code A [r, in]} and {@code B [out, r]}. The fields are those of PEFT, with the same semantics.
 *
 * <p>Defaults: rank 8 with an alpha of twice the rank, no dropout, all linear layers of the
 * decoder. The differences from PEFT's defaults are listed in docs/formats.md.
 *
 * @param rank {@code r}
 * @param alpha {@code lora_alpha}: updates are scaled by alpha / r
 * @param dropout dropout probability of an adapter's input in training
 * @param targetModules modules to adapt
 * @param excludeModules targets that are not adapted
 * @param layersToTransform indices of the layers that are adapted; empty for all
 * @param layersPattern names of the module list that these are indices of; empty for any
 * @param rankPattern ranks of modules with another rank
 * @param alphaPattern alphas of modules with another alpha
 * @param rslora whether updates are scaled by alpha / sqrt(r) (rsLoRA, Kalajdzievski 2023)
 * @param variant the kind of LoRA
 * @param initialisation the initial values
 * @param bias which biases of the base model are trained
 * @param modulesToSave modules that are fully trained, by suffixes of their names
 * @param ensureWeightTying whether an embedding and a head with tied weights are trained as one
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
  /** Which biases of the base model are trained; PEFT's {@code bias}. */
  public enum Bias {
    /** None. */
    NONE("none"),
    /** All of the model. */
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
        "layers_to_transform requires a list of target_modules, not a regular expression");
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

  /**
   * Returns a builder with this configuration's values; setting another rank does not change alpha.
   */
  public Builder toBuilder() {
    return new Builder(this);
  }

  /** Builds a {@link LoraConfig}. */
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

    /** Sets {@code lora_alpha}; the default is twice the rank. */
    public Builder alpha(double value) {
      alpha = OptionalDouble.of(value);
      return this;
    }

    /** Sets the dropout probability of an adapter's input in training. */
    public Builder dropout(double value) {
      dropout = value;
      return this;
    }

    /** Sets the modules to adapt. */
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

    /** Sets targets that are not adapted. */
    public Builder excludeModules(TargetModules value) {
      excludeModules = value;
      return this;
    }

    /** Restricts the adapter to these layers; empty for all. */
    public Builder layersToTransform(List<Integer> value) {
      layersToTransform = ImmutableList.copyOf(value);
      return this;
    }

    /** Sets the names of the module list that {@link #layersToTransform} are indices of. */
    public Builder layersPattern(List<String> value) {
      layersPattern = ImmutableList.copyOf(value);
      return this;
    }

    /** Sets ranks of modules with another rank; see {@link ModulePattern}. */
    public Builder rankPattern(Map<String, Integer> value) {
      rankPattern = ModulePattern.of(value);
      return this;
    }

    /** Sets alphas of modules with another alpha; see {@link ModulePattern}. */
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

    /**
     * Sets whether magnitude and direction of the weights are learned separately (DoRA, Liu et al.
     * 2024).
     */
    public Builder dora(boolean value) {
      return variant(value ? LoraVariant.dora() : LoraVariant.plain());
    }

    /** Sets the initial values. */
    public Builder initialisation(Initialisation value) {
      initialisation = value;
      return this;
    }

    /**
     * Sets which biases of the base model are trained. Only supported if the model has none of
     * these.
     */
    public Builder bias(Bias value) {
      bias = value;
      return this;
    }

    /**
     * Sets modules that are fully trained, as copies in the adapter, and saved with it: the output
     * head or embeddings, by suffixes of their names. For new tokens, or if the head must change
     * much. All weights of these modules become parameters of the adapter.
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
     * Sets whether an embedding and an output head with tied weights are trained as one. Not
     * implemented: no adapter can be created where this matters.
     */
    public Builder ensureWeightTying(boolean value) {
      ensureWeightTying = value;
      return this;
    }

    /**
     * Builds the configuration.
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
      ModuleMatcher.of(config); // refuses malformed expressions
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
   * @throws IllegalArgumentException if there are none; the message lists the model's modules
   */
  public List<Projection> targetsOf(LanguageModel model) {
    return ModelTargets.of(this, model).targets().stream().map(Target::projection).toList();
  }

  /**
   * Returns a new adapter.
   *
   * @throws IllegalArgumentException if a named target is not a linear layer, embedding or head of
   *     the model, which PEFT would ignore
   */
  @Override
  public LoraAdapter create(AdaptableModel adaptable, String name, long seed) {
    LanguageModel model = LanguageModel.of(adaptable);
    ModelTargets found = ModelTargets.of(this, model);
    found.requireAllNamed(this, model);
    checkArgument(
        initialisation.canCreate(),
        "initialisation %s is only for loaded adapters; choose another for new ones",
        initialisation);
    long parameters = parameters(found);
    checkArgument(
        parameters <= Integer.MAX_VALUE,
        "r is %s%s; that makes %s parameters, but an adapter can have at most %s",
        rank,
        rankPattern.isEmpty() ? "" : ", rank_pattern " + rankPattern,
        parameters,
        Integer.MAX_VALUE);
    return LoraAdapter.create(model, this, found, name, seed);
  }

  /** Also copies parts moved out of the base weights, and frozen parameters. */
  @Override
  public LoraAdapter copy(Adapter original, AdaptableModel model, String name, long seed) {
    checkArgument(
        original instanceof LoraAdapter,
        "'%s' was not created by this factory: %s",
        original.name(),
        this);
    return ((LoraAdapter) original).copy(LanguageModel.of(model), name);
  }

  /**
   * Ranks are multiplied by {@code share}, rounded, and at least 1. The scales of updates are kept,
   * up to the rounding of ranks in a rank pattern; with rsLoRA, which is designed for comparing
   * ranks, alpha is kept instead.
   */
  @Override
  public LoraConfig sized(double share) {
    int newRank = scaled(rank, share);
    double factor = rslora ? 1 : (double) newRank / rank;
    return toBuilder()
        .rank(newRank)
        .alpha(factor * alpha)
        .rankPattern(Maps.transformValues(rankPattern.asMap(), r -> scaled(r, share)))
        .alphaPattern(Maps.transformValues(alphaPattern.asMap(), a -> factor * a))
        .build();
  }

  private static int scaled(int rank, double share) {
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
