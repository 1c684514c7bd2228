package org.tune4j.examples.wordnet;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;

/**
 * Candidates divided into training, validation and test so that no lemma and no synset is in two of
 * them.
 */
record Splits(
    ImmutableList<Candidate> train,
    ImmutableList<Candidate> validation,
    ImmutableList<Candidate> test) {
  /**
   * An example that a task may take.
   *
   * @param label what to balance, empty for open answers
   * @param units the lemmas and synset keys that the example tells something about
   */
  record Candidate(String prompt, String completion, String label, ImmutableSet<String> units) {}

  /**
   * Divides. A unit belongs to the split that took its first example; examples whose units belong
   * to different splits are left out. Every class gets an equal share of each split, or what there
   * is.
   *
   * @param rows of training, validation and test, at most
   */
  static Splits of(List<Candidate> candidates, int[] rows, long seed) {
    Map<String, List<Candidate>> byLabel = new TreeMap<>();
    for (Candidate candidate : candidates) {
      byLabel.computeIfAbsent(candidate.label(), l -> new ArrayList<>()).add(candidate);
    }
    Random random = new Random(seed);
    byLabel.values().forEach(list -> Collections.shuffle(list, random));
    List<List<Candidate>> taken = List.of(new ArrayList<>(), new ArrayList<>(), new ArrayList<>());
    Map<String, Integer> owner = new HashMap<>();
    Map<String, int[]> counts = new HashMap<>();
    Set<String> prompts = new HashSet<>();
    int longest = byLabel.values().stream().mapToInt(List::size).max().orElse(0);
    for (int i = 0; i < longest; i++) {
      for (var entry : byLabel.entrySet()) {
        if (i >= entry.getValue().size()) {
          continue;
        }
        Candidate candidate = entry.getValue().get(i);
        int[] count = counts.computeIfAbsent(entry.getKey(), l -> new int[rows.length]);
        int split = split(candidate, owner, count, rows, byLabel.size());
        if (split >= 0 && prompts.add(candidate.prompt())) {
          count[split]++;
          taken.get(split).add(candidate);
          candidate.units().forEach(unit -> owner.put(unit, split));
        }
      }
    }
    taken.forEach(list -> Collections.shuffle(list, random));
    return new Splits(
        ImmutableList.copyOf(taken.get(0)),
        ImmutableList.copyOf(taken.get(1)),
        ImmutableList.copyOf(taken.get(2)));
  }

  /** Returns the split whose share is least filled and that may have the candidate, or -1. */
  private static int split(
      Candidate candidate, Map<String, Integer> owner, int[] count, int[] rows, int classes) {
    int only = -1;
    for (String unit : candidate.units()) {
      int of = owner.getOrDefault(unit, -1);
      if (of >= 0 && only >= 0 && of != only) {
        return -1;
      }
      only = Math.max(only, of);
    }
    int best = -1;
    for (int s = 0; s < rows.length; s++) {
      // count / rows, compared without division
      if ((only < 0 || only == s)
          && count[s] < (rows[s] + classes - 1) / classes
          && (best < 0 || (long) count[s] * rows[best] < (long) count[best] * rows[s])) {
        best = s;
      }
    }
    return best;
  }
}
