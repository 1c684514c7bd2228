package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeSet;
import org.tune4j.core.model.LanguageModel;

/**
 * Makes one adapter of several, without training and without their data: to serve several tasks at
 * once, or to add and subtract what was learned. The methods are those of PEFT's {@code
 * add_weighted_adapter}, with its meanings: a weight {@code w} counts times the adapter's scale;
 * all but {@link #concatenation} work on the A's and B's apart, with {@code sign(w) sqrt(|w|)} on A
 * and {@code sqrt(|w|)} on B, so that products of one adapter's B with another's A enter too.
 *
 * <ul>
 *   <li>{@link #linear}: weighted sums of the A's and of the B's. For adapters of equal rank.
 *   <li>{@link #concatenation}: exactly the weighted sum of the updates; the rank is the sum of the
 *       ranks. The safe choice.
 *   <li>{@link #ties} (Yadav et al. 2023, "TIES-Merging", section 3): of each tensor only the
 *       fraction {@code density} of largest magnitude is kept, a sign is elected for each element,
 *       and the values of that sign are averaged. For adapters that interfere.
 *   <li>{@link #dareLinear}, {@link #dareTies} (Yu et al. 2024, "Language Models are Super Mario",
 *       section 3): elements are dropped at random with probability {@code 1 - density} and the
 *       others divided by {@code density}; then as {@link #linear} or with TIES's election.
 * </ul>
 *
 * <p>The result has scale 1 everywhere, no rank-stabilised scaling, and targets every module that
 * one of the adapters targets; a module that some of them lack is combined from the others. DoRA
 * adapters cannot be combined: their magnitudes do not add up.
 *
 * @param method how
 * @param density fraction of the elements that is kept; 1 where the method prunes nothing
 * @param majority how TIES elects a sign
 * @param seed of what DARE drops
 */
public record Combination(Method method, double density, Majority majority, long seed) {
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
    DARE_TIES;

    boolean elects() {
      return this == TIES || this == DARE_TIES;
    }
  }

  /** How the sign of an element is elected. */
  public enum Majority {
    /** By the sum of the values. */
    TOTAL,
    /** By the number of values of each sign. */
    FREQUENCY
  }

  /** Checks the density. */
  public Combination {
    boolean random = method == Method.DARE_LINEAR || method == Method.DARE_TIES;
    checkArgument(
        density <= 1 && (random ? density > 0 : density >= 0),
        "density is %s; it must be in %s",
        density,
        random ? "(0, 1]" : "[0, 1]");
  }

  /** Returns weighted addition of the A's and of the B's. */
  public static Combination linear() {
    return new Combination(Method.LINEAR, 1, Majority.TOTAL, 0);
  }

  /** Returns concatenation: the exact weighted sum of the updates. */
  public static Combination concatenation() {
    return new Combination(Method.CAT, 1, Majority.TOTAL, 0);
  }

  /**
   * Returns TIES, electing signs by total.
   *
   * @param density fraction of each tensor's elements that is kept, such as 0.2 or 0.5
   */
  public static Combination ties(double density) {
    return new Combination(Method.TIES, density, Majority.TOTAL, 0);
  }

  /**
   * Returns DARE with addition.
   *
   * @param density probability with which an element is kept
   */
  public static Combination dareLinear(double density, long seed) {
    return new Combination(Method.DARE_LINEAR, density, Majority.TOTAL, seed);
  }

  /** Returns DARE with TIES's election of signs, by total. */
  public static Combination dareTies(double density, long seed) {
    return new Combination(Method.DARE_TIES, density, Majority.TOTAL, seed);
  }

  /** Returns the same with another election. */
  public Combination electing(Majority value) {
    return new Combination(method, density, value, seed);
  }

  /**
   * Returns the combined adapter, frozen; the given ones are not changed. One adapter alone is only
   * scaled, whatever the method.
   *
   * @param weights one for each adapter; may be negative
   * @throws IllegalArgumentException if the adapters cannot be combined so; the message names what
   *     differs
   */
  public LoraAdapter apply(String name, List<LoraAdapter> adapters, double... weights) {
    checkArgument(!adapters.isEmpty(), "there is no adapter to combine");
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
          "'%s' has %s of its own, which does not add up: merge it instead",
          a.name(),
          a.saved());
    }
    if (adapters.size() == 1) {
      return new Run(linear(), adapters, weights).result(name, model);
    }
    return new Run(this, adapters, weights).result(name, model);
  }

  /** One module of one adapter: {@code w scale B A}, with {@code a} [r, in] and b [out, r]. */
  private record Scaled(int rank, double weight, float[] a, float[] b) {}

  /** A combination at work. */
  private record Run(Combination how, List<LoraAdapter> adapters, double[] weights) {
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
      model.engine().lock().lock();
      try {
        LoraAdapter combined = LoraAdapter.zeros(model, config, name);
        SplittableRandom random = new SplittableRandom(how.seed);
        for (Target t : combined.targets().values()) {
          List<Scaled> parts = parts(t.name());
          if (how.method == Method.CAT) {
            combined.weight(PlainLora.aName(t)).set(stackedA(parts, t.projection().in()));
            combined
                .weight(PlainLora.bName(t))
                .set(stackedB(parts, t.rank(), t.projection().out()));
          } else {
            combined.weight(PlainLora.aName(t)).set(combined(parts, true, random));
            combined.weight(PlainLora.bName(t)).set(combined(parts, false, random));
          }
        }
        combined.changed();
        combined.setTrainable(false);
        return combined;
      } finally {
        model.engine().lock().unlock();
      }
    }

    private int rank(String module) {
      int sum = 0;
      LoraAdapter first = null;
      for (LoraAdapter a : adapters) {
        Target t = a.targets().get(module);
        if (t == null) {
          continue;
        }
        int rank = a.storedRank(t);
        int firstRank = first == null ? rank : first.storedRank(first.targets().get(module));
        checkArgument(
            how.method == Method.CAT || rank == firstRank,
            "%s has rank %s in '%s' and %s in '%s': only concatenation combines different ranks",
            module,
            firstRank,
            first == null ? a.name() : first.name(),
            rank,
            a.name());
        first = first == null ? a : first;
        sum += rank;
      }
      return how.method == Method.CAT ? sum : first.storedRank(first.targets().get(module));
    }

    private List<Scaled> parts(String module) {
      List<Scaled> parts = new ArrayList<>();
      for (int i = 0; i < weights.length; i++) {
        LoraAdapter a = adapters.get(i);
        Target t = a.targets().get(module);
        if (t != null) {
          Factors update = a.update(t).orElseThrow();
          parts.add(new Scaled(update.rank(), weights[i] * t.scale(), update.a(), update.b()));
        }
      }
      return parts;
    }

    private float[] combined(List<Scaled> parts, boolean isA, SplittableRandom random) {
      float[][] tensors = new float[parts.size()][];
      double[] factors = new double[parts.size()];
      for (int i = 0; i < factors.length; i++) {
        Scaled p = parts.get(i);
        double root = Math.sqrt(Math.abs(p.weight));
        factors[i] = isA && p.weight < 0 ? -root : root;
        tensors[i] = isA ? p.a : p.b;
      }
      return how.combine(tensors, factors, random);
    }
  }

  private static float[] stackedA(List<Scaled> parts, int in) {
    int rows = parts.stream().mapToInt(Scaled::rank).sum();
    float[] stacked = new float[rows * in]; // [sum of r, in]
    int at = 0;
    for (Scaled p : parts) {
      for (float v : p.a) {
        stacked[at++] = (float) (p.weight * v);
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

  /** Combines tensors of one size by a method other than concatenation. */
  float[] combine(float[][] tensors, double[] weights, SplittableRandom random) {
    float[][] pruned = new float[tensors.length][];
    for (int i = 0; i < tensors.length; i++) {
      pruned[i] =
          switch (method) {
            case TIES -> largest(tensors[i], density);
            case DARE_LINEAR, DARE_TIES -> dropped(tensors[i], density, random);
            default -> tensors[i];
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

  /** Returns 1 or -1; 1 if there is no majority. */
  private double elected(float[][] tensors, int element) {
    double sum = 0;
    for (float[] t : tensors) {
      sum += majority == Majority.TOTAL ? t[element] : Math.signum(t[element]);
    }
    return sum >= 0 ? 1 : -1;
  }

  /** Keeps the elements of largest magnitude; of equal ones the first. */
  static float[] largest(float[] values, double density) {
    int keep = (int) (density * values.length);
    if (keep == values.length) {
      return values;
    }
    float[] kept = new float[values.length];
    if (keep == 0) {
      return kept;
    }
    float[] sorted = new float[values.length];
    for (int i = 0; i < values.length; i++) {
      sorted[i] = Math.abs(values[i]);
    }
    Arrays.sort(sorted);
    float threshold = sorted[values.length - keep];
    int equal = keep; // how many at the threshold itself are kept
    for (float v : values) {
      equal -= Math.abs(v) > threshold ? 1 : 0;
    }
    for (int i = 0; i < values.length; i++) {
      float magnitude = Math.abs(values[i]);
      if (magnitude > threshold || (magnitude == threshold && equal-- > 0)) {
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
}
