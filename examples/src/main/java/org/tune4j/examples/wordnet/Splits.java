package org.tune4j.examples.wordnet;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;

/**
 * Candidates divided into training, validation and test so that no lemma or synset is in more than
 * one.
 */
record Splits(
    ImmutableList<Candidate> train,
    ImmutableList<Candidate> validation,
    ImmutableList<Candidate> test) {
  private static final int TRAIN = 4_000;
  private static final int VALIDATION = 400;
  private static final int TEST = 800;
  private static final int STEP = 100;

  /**
   * An example that a task may include.
   *
   * @param label what to balance, empty for open answers
   * @param units lemmas and synset keys that the example is about
   */
  record Candidate(String prompt, String completion, String label, ImmutableSet<String> units) {}

  /**
   * Divides so that the training split is as large as possible, up to {@value #TRAIN} examples,
   * while validation and test have enough.
   */
  static Splits largest(List<Candidate> candidates, long seed) {
    for (int train = TRAIN; ; train -= STEP) {
      Splits splits = of(candidates, new int[] {train, VALIDATION, TEST}, seed);
      if (train <= STEP
          || (splits.validation().size() >= 0.9 * VALIDATION
              && splits.test().size() >= 0.9 * TEST)) {
        return splits;
      }
    }
  }

  /**
   * Divides candidates. A unit belongs to the split of its first example; examples whose units
   * belong to different splits are dropped. Every class gets an equal share of each split; if a
   * class has too few examples, the others fill the gap.
   *
   * @param rows maximum sizes of training, validation and test
   */
  static Splits of(List<Candidate> candidates, int[] rows, long seed) {
    Map<String, List<Candidate>> byLabel = new TreeMap<>();
    for (Candidate candidate : candidates) {
      byLabel.computeIfAbsent(candidate.label(), l -> new ArrayList<>()).add(candidate);
    }
    Random random = new Random(seed);
    byLabel.values().forEach(list -> Collections.shuffle(list, random));
    int total = Arrays.stream(rows).sum();
    int share = share(byLabel.values().stream().map(List::size).toList(), total);
    List<List<Candidate>> taken = List.of(new ArrayList<>(), new ArrayList<>(), new ArrayList<>());
    Map<String, Integer> owner = new HashMap<>();
    Set<String> prompts = new HashSet<>(); // in lower case, as glosses may differ only in case
    int[] count = new int[rows.length];
    int longest = byLabel.values().stream().mapToInt(List::size).max().orElse(0);
    Map<String, int[]> counts = new HashMap<>();
    for (int i = 0; i < longest; i++) {
      for (var entry : byLabel.entrySet()) {
        if (i >= entry.getValue().size()) {
          continue;
        }
        Candidate candidate = entry.getValue().get(i);
        int[] ofClass = counts.computeIfAbsent(entry.getKey(), l -> new int[rows.length]);
        if (Arrays.stream(ofClass).sum() >= share) {
          continue;
        }
        int split = split(candidate, owner, ofClass, count, rows);
        if (split >= 0 && prompts.add(candidate.prompt().toLowerCase(Locale.ROOT))) {
          ofClass[split]++;
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

  /**
   * Returns the smallest limit of examples per class with which all classes together still have
   * {@code total}, if possible.
   */
  private static int share(List<Integer> sizes, int total) {
    int share = 0;
    while (sizes.stream().mapToInt(size -> size).max().orElse(0) > share) {
      int atMost = share;
      if (sizes.stream().mapToInt(size -> Math.min(size, atMost)).sum() >= total) {
        break;
      }
      share++;
    }
    return share;
  }

  /**
   * Returns the permitted split whose share of the class is least filled, or -1 if there is none.
   */
  private static int split(
      Candidate candidate, Map<String, Integer> owner, int[] ofClass, int[] count, int[] rows) {
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
      // ofClass / rows, compared without division
      if ((only < 0 || only == s)
          && count[s] < rows[s]
          && (best < 0 || (long) ofClass[s] * rows[best] < (long) ofClass[best] * rows[s])) {
        best = s;
      }
    }
    return best;
  }
}
