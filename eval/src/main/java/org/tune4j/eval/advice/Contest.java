package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Random;
import java.util.function.Predicate;
import java.util.stream.IntStream;

/** The candidates that can be run: what is believed of each, and what those scored that were. */
final class Contest {
  /** Expected scores that differ by less are not told apart: half a point of 100. */
  static final double INDIFFERENT = 0.005;

  /** An expected improvement that is not worth another training: three tenths of a point. */
  static final double WORTH_TRAINING = 0.003;

  private final ImmutableList<Assessment> candidates;
  private final Map<Integer, String> failures = new LinkedHashMap<>();
  private final Map<Integer, Trial> trials = new LinkedHashMap<>();
  private Beliefs beliefs; // null without candidates

  Contest(List<Assessment> candidates, Forecast forecast) {
    this.candidates = ImmutableList.copyOf(candidates);
    this.beliefs = candidates.isEmpty() ? null : Beliefs.of(candidates, forecast);
  }

  Assessment get(int candidate) {
    return candidates.get(candidate);
  }

  /** Returns whether anything is left to recommend. */
  boolean isEmpty() {
    return failures.size() == candidates.size();
  }

  /**
   * Returns the candidate to recommend: of those that were trained, or of all if none was, the
   * cheapest that is not expected to be measurably worse than the best. One that the budget cuts is
   * not taken for cheap.
   */
  int leader() {
    Collection<Integer> among = trials.isEmpty() ? running() : trials.keySet();
    int best = among.stream().max(Comparator.comparingDouble(this::mean)).orElseThrow();
    return among.stream()
        .filter(k -> get(k).share() == 1 && mean(best) - mean(k) <= INDIFFERENT)
        .min(
            Comparator.comparingLong((Integer k) -> get(k).price().tokens())
                .thenComparingLong(k -> get(k).price().adapterBytes()))
        .orElse(best);
  }

  /**
   * Returns the candidate whose training is expected to improve most on the leader for its tokens,
   * if any is worth it.
   */
  OptionalInt rival(Predicate<Assessment> affordable) {
    int leader = leader();
    return running().stream()
        .filter(k -> k != leader && !trials.containsKey(k))
        .filter(k -> get(k).share() == 1 && affordable.test(get(k)))
        .filter(k -> beliefs.improvement(k, leader) >= WORTH_TRAINING)
        .max(
            Comparator.comparingDouble(
                k -> beliefs.improvement(k, leader) / get(k).price().tokens()))
        .map(OptionalInt::of)
        .orElse(OptionalInt.empty());
  }

  /** Returns the tokens of training all candidates. */
  long tokens() {
    return candidates.stream().mapToLong(a -> a.price().tokens()).sum();
  }

  /** Takes note of what a candidate scored. */
  void trained(int candidate, Trial trial) {
    if (!trials.isEmpty()) {
      int first = trials.keySet().iterator().next();
      beliefs = beliefs.observed(candidate, first, trial.difference(trials.get(first)));
    }
    trials.put(candidate, trial);
  }

  /**
   * Takes a candidate out.
   *
   * @param why as part of a sentence
   */
  void failed(int candidate, String why) {
    failures.put(candidate, why);
  }

  ImmutableList<Trial> trials() {
    return ImmutableList.copyOf(trials.values());
  }

  /**
   * Returns the candidates as they are believed to be now, the leader first and then by their gain;
   * at the end those that failed, as not feasible.
   */
  List<Assessment> rated(Random random) {
    List<Assessment> rated = new ArrayList<>();
    if (!isEmpty()) {
      rated.addAll(ranked(random));
    }
    failures.forEach((k, why) -> rated.add(get(k).infeasible(why)));
    return rated;
  }

  private List<Assessment> ranked(Random random) {
    double[] probabilities = beliefs.probabilities(random);
    List<Assessment> rated = new ArrayList<>();
    running().stream()
        .sorted(Comparator.comparingDouble(k -> -mean(k)))
        .forEach(k -> rated.add(get(k).withBelief(beliefs.gain(k), expected(k), probabilities[k])));
    Assessment leader =
        rated.stream().filter(a -> a.name().equals(get(leader()).name())).findFirst().orElseThrow();
    rated.remove(leader);
    rated.add(0, leader);
    return rated;
  }

  private Estimate expected(int candidate) {
    if (trials.isEmpty()) {
      return get(candidate).expected();
    }
    int first = trials.keySet().iterator().next();
    return trials.get(first).estimate().plus(beliefs.difference(candidate, first));
  }

  /** Returns the candidates whose training has not failed. */
  private List<Integer> running() {
    return IntStream.range(0, candidates.size())
        .filter(k -> !failures.containsKey(k))
        .boxed()
        .toList();
  }

  private double mean(int candidate) {
    return beliefs.gain(candidate).mean();
  }
}
