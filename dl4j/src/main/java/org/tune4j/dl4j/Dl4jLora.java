package org.tune4j.dl4j;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.AdapterFactory;

/**
 * What LoRA looks like on a DL4J network (Hu et al. 2021): weights become {@code W + scale B A},
 * with {@code A [r, in]} and {@code B [out, r]}, and each task of an adapter has an output layer
 * that is trained in full.
 *
 * <p>Weights of dense layers, convolutions (as matrices of filters by inputs), recurrent layers (of
 * inputs and recurrent, the gates side by side) and attention are matrices. A starts as PyTorch's
 * linear layers do, uniform within {@code 1 / sqrt(in)}, B with zeros: a new adapter changes
 * nothing.
 *
 * @param rank {@code r}; of a smaller matrix its smaller side
 * @param alpha updates are scaled by alpha / r
 * @param rslora whether they are scaled by alpha / sqrt(r) instead (Kalajdzievski 2023)
 * @param targets names of layers, or of single parameters such as {@code lstm.RW}; empty for all
 *     that there are
 */
public record Dl4jLora(int rank, double alpha, boolean rslora, ImmutableList<String> targets)
    implements AdapterFactory {
  /**
   * Checks the values.
   *
   * @throws IllegalArgumentException if one is not allowed; the message names it
   */
  public Dl4jLora {
    checkArgument(rank > 0, "r is %s; it must be at least 1", rank);
    checkArgument(Double.isFinite(alpha), "alpha is %s; it must be a finite number", alpha);
  }

  /** Returns LoRA on all matrices, with an alpha of twice the rank. */
  public static Dl4jLora rank(int rank) {
    return new Dl4jLora(rank, 2.0 * rank, false, ImmutableList.of());
  }

  /** Returns this with another alpha. */
  public Dl4jLora withAlpha(double value) {
    return new Dl4jLora(rank, value, rslora, targets);
  }

  /** Returns this scaled by alpha / sqrt(r). */
  public Dl4jLora withRslora() {
    return new Dl4jLora(rank, alpha, true, targets);
  }

  /** Returns this on some layers, or parameters such as {@code lstm.RW}, only. */
  public Dl4jLora on(String... layers) {
    return new Dl4jLora(rank, alpha, rslora, ImmutableList.copyOf(layers));
  }

  /** Returns the rank that a matrix gets. */
  int rankOf(AdaptedMatrix m) {
    return Math.min(rank, Math.min(m.in(), m.out()));
  }

  /** Returns the factor of a matrix's update. */
  double scaleOf(AdaptedMatrix m) {
    return rslora ? alpha / Math.sqrt(rankOf(m)) : alpha / rankOf(m);
  }

  /**
   * Returns what is adapted of a network.
   *
   * @throws IllegalArgumentException if a target is no layer, or none that can be adapted
   */
  List<AdaptedMatrix> of(Dl4jModel model) {
    List<AdaptedMatrix> all = model.matrices();
    if (targets.isEmpty()) {
      checkArgument(
          !all.isEmpty(),
          "%s has no layer that can be adapted below its output layer; its layers are %s",
          model.name(),
          model.layers());
      return all;
    }
    Set<AdaptedMatrix> chosen = new LinkedHashSet<>();
    for (String target : targets) {
      String name = model.resolve(target);
      List<AdaptedMatrix> own =
          all.stream().filter(m -> m.layer().equals(name) || m.name().equals(name)).toList();
      if (own.isEmpty()) {
        String found = model.layers().get(name);
        throw new IllegalArgumentException(
            found == null
                ? "target '%s': no layer of %s has that name; there are %s"
                    .formatted(target, model.name(), model.layers())
                : "target '%s' is a %s, which has no weight matrix below the output layer; those that can be adapted are %s"
                    .formatted(target, found, all.stream().map(AdaptedMatrix::name).toList()));
      }
      chosen.addAll(own);
    }
    return all.stream().filter(chosen::contains).toList();
  }

  @Override
  public Dl4jAdapter create(AdaptableModel model, String name, long seed) {
    Dl4jModel network = Dl4jModel.of(model);
    return create(network, name, network.heads().keySet(), seed);
  }

  @Override
  public Dl4jAdapter create(AdaptableModel model, String name, Set<String> tasks, long seed) {
    return Dl4jAdapter.create(Dl4jModel.of(model), this, name, tasks, seed);
  }

  @Override
  public Dl4jAdapter copy(Adapter original, AdaptableModel model, String name, long seed) {
    return copy(original, model, name, Set.of(), seed);
  }

  @Override
  public Dl4jAdapter copy(
      Adapter original, AdaptableModel model, String name, Set<String> tasks, long seed) {
    checkArgument(
        original instanceof Dl4jAdapter, "'%s' was not made by this: %s", original.name(), this);
    Dl4jAdapter from = (Dl4jAdapter) original;
    Set<String> all = ImmutableSet.<String>builder().addAll(from.tasks()).addAll(tasks).build();
    return Dl4jAdapter.create(Dl4jModel.of(model), from.config(), name, all, seed).from(from);
  }

  /** Ranks are a share of this one's, rounded, and at least 1; the updates' factors stay. */
  @Override
  public Dl4jLora sized(double share) {
    int small = (int) Math.max(1, Math.round(rank * share));
    double factor = rslora ? 1 : (double) small / rank;
    return new Dl4jLora(small, factor * alpha, rslora, targets);
  }

  @Override
  public long parameters(AdaptableModel model) {
    Dl4jModel network = Dl4jModel.of(model);
    long matrices =
        of(network).stream().mapToLong(m -> (long) rankOf(m) * (m.in() + m.out())).sum();
    long heads =
        network.heads().values().stream()
            .flatMap(h -> h.initial().values().stream())
            .mapToLong(v -> v.length)
            .sum();
    return matrices + heads;
  }

  @Override
  public String toString() {
    return "dl4j lora(r=%d, alpha=%s%s, targets=%s)"
        .formatted(
            rank,
            alpha,
            rslora ? ", rsLoRA" : "",
            targets.isEmpty() ? "all" : Arrays.toString(targets.toArray()));
  }
}
