package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import org.tune4j.examples.benchmark.Scenario.Use;

/** The recorded scores and features of scenarios. */
final class Kept {
  /**
   * A scenario with its features and scores.
   *
   * @param features by name
   * @param runs by strategy and seed
   */
  record Measured(
      Scenario scenario,
      ImmutableMap<String, Double> features,
      Map<String, SortedMap<Long, Truth>> runs) {
    /** Returns the seeds that all strategies were trained with. */
    List<Long> seeds() {
      List<Long> seeds = new ArrayList<>();
      if (runs.keySet().containsAll(Contender.names())) {
        for (long seed : runs.get(Contender.BASE).keySet()) {
          if (Contender.names().stream().allMatch(name -> runs.get(name).containsKey(seed))) {
            seeds.add(seed);
          }
        }
      }
      return seeds;
    }

    /** Returns the mean test score over some seeds. */
    double score(String strategy, List<Long> seeds) {
      return seeds.stream()
          .mapToDouble(seed -> runs.get(strategy).get(seed).score())
          .average()
          .orElseThrow();
    }
  }

  private Kept() {}

  /**
   * Reads the scenarios of a use in which all strategies were trained with at least one common
   * seed. Lines for earlier definitions of a scenario are ignored.
   */
  static ImmutableList<Measured> read(Path truth, Path features, Use use) throws IOException {
    Map<String, Known> known = new HashMap<>();
    for (Known k : Lines.read(features, Known.class)) {
      known.put(k.scenario(), k);
    }
    Map<String, Map<String, SortedMap<Long, Truth>>> runs = new HashMap<>();
    for (Truth t : Lines.read(truth, Truth.class)) {
      runs.computeIfAbsent(t.scenario() + t.settings(), s -> new LinkedHashMap<>())
          .computeIfAbsent(t.strategy(), s -> new TreeMap<>())
          .put(t.seed(), t);
    }
    ImmutableList.Builder<Measured> all = ImmutableList.builder();
    for (Scenario s : Scenarios.all()) {
      String settings = TruthRuns.settings(s);
      Known k = known.get(s.id());
      if (s.use() == use && k != null && k.settings().equals(settings)) {
        Measured m = new Measured(s, k.features(), runs.getOrDefault(s.id() + settings, Map.of()));
        if (!m.seeds().isEmpty()) {
          all.add(m);
        }
      }
    }
    return all.build();
  }
}
