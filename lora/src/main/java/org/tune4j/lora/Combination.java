package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeSet;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.AdapterCombination;
import org.tune4j.core.model.AdapterFactory;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Projection;

/**
 * Combines several adapters into one, without training or data: to serve several tasks at once, or
 * to add and subtract what was learned. The methods are those of PEFT's {@code
 * add_weighted_adapter} with the same semantics: a weight {@code w} is multiplied by the adapter's
 * scale.
 *
 * <p>The papers combine updates of weights, {@code scale B A}, as these methods do:
 *
 * <ul>
 *   <li>{@link #concatenation}: exactly the weighted sum of the updates; the rank is the sum of the
 *       ranks. The safe choice.
 *   <li>{@link #svd}: the same, truncated to the largest singular values, so that the rank stays
 *       small.
 *   <li>{@link #tiesSvd} (Yadav et al. 2023, "TIES-Merging", arXiv 2306.01708, section 3): only the
 *       fraction {@code density} of largest magnitude is kept of each update, a sign is elected for
 *       each element, and the values of that sign are averaged; the result is truncated like SVD.
 *       For adapters that interfere.
 *   <li>{@link #dareLinearSvd}, {@link #dareTiesSvd} (Yu et al. 2024, "Language Models are Super
 *       Mario", arXiv 2311.03099, section 3): elements are dropped at random with probability
 *       {@code 1 - density} and the others divided by {@code density}; then they are added, or
 *       averaged with TIES's election; the result is truncated like SVD.
 * </ul>
 *
 * <p>PEFT's variants without decomposition, {@link #linear}, {@link #ties}, {@link #dareLinear} and
 * {@link #dareTies}, do the same to the A's and the B's separately, with {@code sign(w) sqrt(|w|)}
 * on A and {@code sqrt(|w|)} on B. They are fast and keep the rank, but need adapters of equal
 * rank. They are less principled: the result includes products of one adapter's B with another's A,
 * and {@code B A} does not determine B and A, so that signs and magnitudes of their elements mean
 * little.
 *
 * <p>PEFT applies an adapter's scale twice where it decomposes (in the update and in the weight);
 * here it is applied once. Multiply the weights by the scale for PEFT's result.
 *
 * <p>Methods on updates hold the updates of all adapters in one module at a time, in the heap, and
 * decompose their sum: a fraction of a second for a matrix with hundreds of features, seconds for
 * thousands.
 *
 * <p>The result has scale 1 everywhere, no rank-stabilised scaling, and targets every module that
 * any of the adapters targets; a module that some of them lack is combined from the others. DoRA
 * adapters cannot be combined: their magnitudes do not add up.
 *
 * <p>The file is long because half of it documents the methods, which share the same few steps.
 *
 * @param density fraction of the elements that is kept; 1 if the method prunes nothing
 * @param majority how TIES elects a sign
 * @param seed of DARE's random choices
 * @param rank rank of the result for methods that decompose, limited by the matrix; 0 for the
 *     largest rank of the adapters in each module
 */
public record Combination(Method method, double density, Majority majority, long seed, int rank)
    implements AdapterCombination {
  /** The methods, under PEFT's names. */
  public enum Method {
    /** {@link Combination#linear}. */
    LINEAR,
    /** {@link Combination#concatenation}. */
    CAT,
    /** {@link Combination#ties}. */
    TIES,
    /** {@link Combination#dareLinear}. */
    DARE_LINEAR,
    /** {@link Combination#dareTies}. */
    DARE_TIES,
    /** {@link Combination#svd}. */
    SVD,
    /** {@link Combination#tiesSvd}. */
    TIES_SVD,
    /** {@link Combination#dareLinearSvd}. */
    DARE_LINEAR_SVD,
    /** {@link Combination#dareTiesSvd}. */
    DARE_TIES_SVD;

    /** Returns whether signs are elected and values averaged rather than added. */
    public boolean elects() {
      return this == TIES || this == DARE_TIES || this == TIES_SVD || this == DARE_TIES_SVD;
    }

    boolean drops() {
      return this == DARE_LINEAR
          || this == DARE_TIES
          || this == DARE_LINEAR_SVD
          || this == DARE_TIES_SVD;
    }

    boolean decomposes() {
      return this == SVD || this == TIES_SVD || this == DARE_LINEAR_SVD || this == DARE_TIES_SVD;
    }

    /** Returns PEFT's name, such as {@code dare_ties_svd}. */
    @Override
    public String toString() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  /** How the sign of an element is elected. */
  public enum Majority {
    /** By the sum of the values. */
    TOTAL,
    /** By the number of values of each sign. */
    FREQUENCY
  }

  /** Checks density and rank. */
  public Combination {
    checkArgument(
        density <= 1 && (method.drops() ? density > 0 : density >= 0),
        "density is %s; it must be in %s",
        density,
        method.drops() ? "(0, 1]" : "[0, 1]");
    checkArgument(
        rank == 0 || (rank > 0 && method.decomposes()),
        "rank is %s; with %s it must be %s",
        rank,
        method,
        method.decomposes()
            ? "positive, or 0 for the adapters' rank"
            : "0, as it follows from the adapters");
  }

  private static Combination of(Method method, double density, long seed) {
    return new Combination(method, density, Majority.TOTAL, seed, 0);
  }

  /** Returns weighted addition of the A's and the B's. */
  public static Combination linear() {
    return of(Method.LINEAR, 1, 0);
  }

  /** Returns concatenation: the exact weighted sum of the updates. */
  public static Combination concatenation() {
    return of(Method.CAT, 1, 0);
  }

  /**
   * Returns TIES, electing signs by total.
   *
   * @param density fraction of each tensor's elements that is kept, such as 0.2 or 0.5
   */
  public static Combination ties(double density) {
    return of(Method.TIES, density, 0);
  }

  /**
   * Returns DARE with addition.
   *
   * @param density probability with which an element is kept
   */
  public static Combination dareLinear(double density, long seed) {
    return of(Method.DARE_LINEAR, density, seed);
  }

  /** Returns DARE with TIES's election of signs, by total. */
  public static Combination dareTies(double density, long seed) {
    return of(Method.DARE_TIES, density, seed);
  }

  /** Returns the weighted sum of the updates, truncated to its largest singular values. */
  public static Combination svd() {
    return of(Method.SVD, 1, 0);
  }

  /**
   * Returns TIES on the updates, electing signs by total.
   *
   * @param density fraction of each update's elements that is kept, such as 0.2 or 0.5
   */
  public static Combination tiesSvd(double density) {
    return of(Method.TIES_SVD, density, 0);
  }

  /**
   * Returns DARE on the updates, with addition.
   *
   * @param density probability with which an element is kept
   */
  public static Combination dareLinearSvd(double density, long seed) {
    return of(Method.DARE_LINEAR_SVD, density, seed);
  }

  /** Returns DARE on the updates, with TIES's election of signs, by total. */
  public static Combination dareTiesSvd(double density, long seed) {
    return of(Method.DARE_TIES_SVD, density, seed);
  }

  /** Returns a copy with another way of electing signs. */
  public Combination electing(Majority value) {
    return new Combination(method, density, value, seed, rank);
  }

  /** Returns a copy with a result of this rank; for methods that decompose. */
  public Combination rank(int value) {
    return new Combination(method, density, majority, seed, value);
  }

  @Override
  public void require(AdapterFactory factory) {
    checkArgument(
        factory instanceof LoraConfig, "%s combines LoRA adapters, not %s", this, factory);
    LoraConfig config = (LoraConfig) factory;
    checkArgument(
        config.variant() == LoraVariant.plain(),
        "%s adapters cannot be combined: their updates do not add up",
        config.variant());
    checkArgument(
        config.modulesToSave().isEmpty(),
        "modules_to_save is %s: fully trained modules cannot be combined",
        config.modulesToSave());
  }

  @Override
  public LoraAdapter combine(String name, List<? extends Adapter> adapters, double... weights) {
    List<LoraAdapter> own = new ArrayList<>();
    for (Adapter a : adapters) {
      checkArgument(a instanceof LoraAdapter, "'%s' is not a LoRA adapter", a.name());
      own.add((LoraAdapter) a);
    }
    return apply(name, own, weights);
  }

  /**
   * Returns the combined adapter, frozen; the given ones are not changed. A single adapter is only
   * scaled, whatever the method.
   *
   * @param weights one for each adapter; may be negative
   * @throws IllegalArgumentException if the adapters cannot be combined in this way; the message
   *     names what differs
   */
  public LoraAdapter apply(String name, List<LoraAdapter> adapters, double... weights) {
    checkArgument(!adapters.isEmpty(), "there are no adapters to combine");
    checkArgument(
        adapters.size() == weights.length,
        "%s weights for %s adapters",
        weights.length,
        adapters.size());
    for (int i = 0; i < weights.length; i++) {
      checkArgument(
          Double.isFinite(weights[i]),
          "the weight of '%s' is %s",
          adapters.get(i).name(),
          weights[i]);
    }
    LanguageModel model = adapters.get(0).model();
    for (LoraAdapter a : adapters) {
      checkArgument(
          a.model() == model,
          "'%s' and '%s' are on different models: load both on one",
          adapters.get(0).name(),
          a.name());
      checkArgument(
          a.targets().values().stream().allMatch(t -> a.update(t).isPresent()),
          "'%s' is a %s adapter, whose updates do not add up: merge it instead",
          a.name(),
          a.config().variant());
      checkArgument(
          a.saved().isEmpty(),
          "'%s' has its own fully trained %s, which cannot be added up: merge it instead",
          a.name(),
          a.saved());
    }
    if (adapters.size() == 1) {
      return new Run(linear(), adapters, weights).result(name, model);
    }
    return new Run(this, adapters, weights).result(name, model);
  }

  /**
   * One module of one adapter: {@code w s B A}, with {@code a} {@code [r, in]} and {@code b} {@code
   * [out, r]}.
   */
  private record Scaled(int rank, double weight, double scale, float[] a, float[] b) {
    double factor() {
      return weight * scale;
    }

    /** Returns {@code s B A}, {@code [out, in]}. */
    float[] update() {
      int in = a.length / rank;
      int out = b.length / rank;
      float[] update = new float[Math.multiplyExact(out, in)];
      for (int o = 0; o < out; o++) {
        for (int k = 0; k < rank; k++) {
          float f = (float) (scale * b[o * rank + k]);
          for (int i = 0; i < in; i++) {
            update[o * in + i] += f * a[k * in + i];
          }
        }
      }
      return update;
    }
  }

  /** A combination of given adapters. */
  private record Run(Combination combination, List<LoraAdapter> adapters, double[] weights) {
    LoraAdapter result(String name, LanguageModel model) {
      TreeSet<String> targets = new TreeSet<>();
      adapters.forEach(a -> targets.addAll(a.targets().keySet()));
      Map<String, Integer> ranks = new LinkedHashMap<>();
      for (String module : targets) {
        ranks.put(module, rank(module));
      }
      int rank = ranks.values().stream().mapToInt(Integer::intValue).max().orElseThrow();
      Map<String, Integer> otherRanks = new LinkedHashMap<>(ranks);
      otherRanks.values().removeIf(r -> r == rank);
      Map<String, Double> otherAlphas = new LinkedHashMap<>();
      otherRanks.forEach((module, r) -> otherAlphas.put(module, (double) r));
      LoraConfig config =
          LoraConfig.builder()
              .rank(rank)
              .alpha(rank)
              .dropout(adapters.get(0).config().dropout())
              .targetModules(ImmutableList.copyOf(targets))
              .rankPattern(otherRanks)
              .alphaPattern(otherAlphas)
              .build();
      SplittableRandom random = new SplittableRandom(combination.seed);
      Map<Target, Factors> combined = new LinkedHashMap<>(); // slow, so without the engine's lock
      for (Target t : ModelTargets.of(config, model).targets()) {
        combined.put(t, combined(parts(t.name()), t, random));
      }
      model.engine().lock().lock();
      try {
        LoraAdapter result = LoraAdapter.zeros(model, config, name);
        combined.forEach(
            (t, f) -> {
              result.weight(PlainLora.aName(t)).set(f.a());
              result.weight(PlainLora.bName(t)).set(f.b());
            });
        result.changed();
        result.setTrainable(false);
        return result;
      } finally {
        model.engine().lock().unlock();
      }
    }

    private Factors combined(List<Scaled> parts, Target t, SplittableRandom random) {
      if (combination.method == Method.CAT) {
        return new Factors(
            t.rank(),
            stackedA(parts, t.projection().in()),
            stackedB(parts, t.rank(), t.projection().out()));
      }
      if (combination.method.decomposes()) {
        float[][] updates = parts.stream().map(Scaled::update).toArray(float[][]::new);
        double[] factors = parts.stream().mapToDouble(Scaled::weight).toArray();
        float[] sum = combination.combined(updates, factors, random);
        return BasePart.truncated(
            MatrixSource.of(t.projection().out(), t.projection().in(), sum), t.rank());
      }
      return new Factors(t.rank(), factor(parts, true, random), factor(parts, false, random));
    }

    private int rank(String module) {
      int sum = 0;
      int largest = 0;
      Projection matrix = null;
      LoraAdapter first = null;
      for (LoraAdapter a : adapters) {
        Target t = a.targets().get(module);
        if (t == null) {
          continue;
        }
        int rank = a.storedRank(t);
        int firstRank = first == null ? rank : first.storedRank(first.targets().get(module));
        checkArgument(
            combination.method == Method.CAT
                || combination.method.decomposes()
                || rank == firstRank,
            "%s has rank %s in '%s' and %s in '%s': %s combines equal ranks only; concatenation and methods that decompose combine others",
            module,
            firstRank,
            first == null ? a.name() : first.name(),
            rank,
            a.name(),
            combination.method);
        first = first == null ? a : first;
        matrix = t.projection();
        sum += rank;
        largest = Math.max(largest, rank);
      }
      if (combination.method.decomposes()) {
        return Math.min(
            combination.rank > 0 ? combination.rank : largest, Math.min(matrix.in(), matrix.out()));
      }
      return combination.method == Method.CAT ? sum : first.storedRank(first.targets().get(module));
    }

    private List<Scaled> parts(String module) {
      List<Scaled> parts = new ArrayList<>();
      for (int i = 0; i < weights.length; i++) {
        LoraAdapter a = adapters.get(i);
        Target t = a.targets().get(module);
        if (t != null) {
          Factors update = a.update(t).orElseThrow();
          parts.add(new Scaled(update.rank(), weights[i], t.scale(), update.a(), update.b()));
        }
      }
      return parts;
    }

    private float[] factor(List<Scaled> parts, boolean isA, SplittableRandom random) {
      float[][] tensors = new float[parts.size()][];
      double[] factors = new double[parts.size()];
      for (int i = 0; i < factors.length; i++) {
        Scaled p = parts.get(i);
        double root = Math.sqrt(Math.abs(p.factor()));
        factors[i] = isA && p.factor() < 0 ? -root : root;
        tensors[i] = isA ? p.a : p.b;
      }
      return combination.combined(tensors, factors, random);
    }
  }

  private static float[] stackedA(List<Scaled> parts, int in) {
    int rows = parts.stream().mapToInt(Scaled::rank).sum();
    float[] stacked = new float[rows * in]; // [sum of r, in]
    int at = 0;
    for (Scaled p : parts) {
      for (float v : p.a) {
        stacked[at++] = (float) (p.factor() * v);
      }
    }
    return stacked;
  }

  private static float[] stackedB(List<Scaled> parts, int rank, int out) {
    float[] stacked = new float[out * rank]; // [out, sum of r]
    int column = 0;
    for (Scaled p : parts) {
      for (int o = 0; o < out; o++) {
        System.arraycopy(p.b, o * p.rank, stacked, o * rank + column, p.rank);
      }
      column += p.rank;
    }
    return stacked;
  }

  /** Combines tensors of the same size by a method other than concatenation. */
  float[] combined(float[][] tensors, double[] weights, SplittableRandom random) {
    float[][] pruned = new float[tensors.length][];
    for (int i = 0; i < tensors.length; i++) {
      pruned[i] =
          switch (method) {
            case TIES, TIES_SVD -> largest(tensors[i], density);
            case DARE_LINEAR, DARE_TIES, DARE_LINEAR_SVD, DARE_TIES_SVD ->
                dropped(tensors[i], density, random);
            case LINEAR, CAT, SVD -> tensors[i];
          };
    }
    float[] result = new float[tensors[0].length];
    for (int e = 0; e < result.length; e++) {
      double sign = method.elects() ? elected(pruned, e) : 0;
      double sum = 0;
      int count = 0;
      for (int i = 0; i < pruned.length; i++) {
        if (!method.elects() || Math.signum(pruned[i][e]) == sign) {
          sum += weights[i] * pruned[i][e];
          count++;
        }
      }
      result[e] = (float) (method.elects() ? sum / Math.max(1, count) : sum);
    }
    return result;
  }

  /** Returns the elected sign, 1 or -1; 1 if there is no majority. */
  private double elected(float[][] tensors, int element) {
    double sum = 0;
    for (float[] t : tensors) {
      sum += majority == Majority.TOTAL ? t[element] : Math.signum(t[element]);
    }
    return sum >= 0 ? 1 : -1;
  }

  /**
   * Keeps the elements of largest magnitude and zeroes the others; of equal ones it keeps the
   * first.
   */
  static float[] largest(float[] values, double density) {
    int keep = (int) (density * values.length);
    if (keep == values.length) {
      return values;
    }
    float[] kept = new float[values.length];
    if (keep == 0) {
      return kept;
    }
    // radix selection on the upper, then the lower 16 bits: bits of non-negative floats sort like
    // the floats
    int[] counts = new int[1 << 16];
    for (float v : values) {
      counts[Float.floatToIntBits(Math.abs(v)) >>> 16]++;
    }
    int left = keep;
    int upper = counts.length - 1;
    while (counts[upper] < left) {
      left -= counts[upper--];
    }
    Arrays.fill(counts, 0);
    for (float v : values) {
      int bits = Float.floatToIntBits(Math.abs(v));
      if (bits >>> 16 == upper) {
        counts[bits & 0xFFFF]++;
      }
    }
    int lower = counts.length - 1;
    while (counts[lower] < left) {
      left -= counts[lower--];
    }
    float threshold =
        Float.intBitsToFloat(upper << 16 | lower); // `left` elements of this magnitude are kept
    for (int i = 0; i < values.length; i++) {
      float magnitude = Math.abs(values[i]);
      if (magnitude > threshold || (magnitude == threshold && left-- > 0)) {
        kept[i] = values[i];
      }
    }
    return kept;
  }

  private static float[] dropped(float[] values, double density, SplittableRandom random) {
    float[] kept = new float[values.length];
    for (int i = 0; i < values.length; i++) {
      if (random.nextDouble() < density) {
        kept[i] = (float) (values[i] / density);
      }
    }
    return kept;
  }

  @Override
  public String toString() {
    return method
        + (density == 1 ? "" : " of density " + density)
        + (method.elects() && majority == Majority.FREQUENCY ? ", signs by frequency" : "")
        + (method.drops() ? ", seed " + seed : "")
        + (rank == 0 ? "" : ", rank " + rank);
  }
}
