package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * What a strategy wants done: stages, in order. Can be printed, and priced before it runs.
 *
 * @param strategy name of the strategy that made it
 * @param stages at least one
 */
public record TrainingPlan(String strategy, ImmutableList<Stage> stages) {
  /** Checks that stages have different names and refer to adapters that exist by then. */
  public TrainingPlan {
    checkArgument(!stages.isEmpty(), "strategy '%s' planned no stage", strategy);
    Set<String> names = new HashSet<>();
    Set<String> adapters = new HashSet<>();
    for (Stage s : stages) {
      checkArgument(
          names.add(s.name()), "strategy '%s' planned two stages named '%s'", strategy, s.name());
      for (String a : s.below()) {
        checkArgument(
            adapters.contains(a),
            "stage '%s' builds on adapter '%s', which nothing trained before",
            s.name(),
            a);
      }
      for (String a : s.mergedBefore()) {
        checkArgument(
            adapters.contains(a),
            "stage '%s' merges adapter '%s', which nothing trained before",
            s.name(),
            a);
      }
      for (String a : s.startFrom().values()) {
        checkArgument(
            adapters.contains(a),
            "stage '%s' starts from adapter '%s', which nothing trained before",
            s.name(),
            a);
      }
      adapters.addAll(s.routes().values());
      s.serving()
          .forEach(
              (task, stack) ->
                  checkArgument(
                      adapters.containsAll(stack),
                      "stage '%s' serves task '%s' by %s, of which some were never trained",
                      s.name(),
                      task,
                      stack));
    }
  }

  /** Returns a plan. */
  public static TrainingPlan of(String strategy, List<Stage> stages) {
    return new TrainingPlan(strategy, ImmutableList.copyOf(stages));
  }

  /** Returns the examples drawn in all. */
  public long examples() {
    return stages.stream()
        .flatMap(s -> s.examples().values().stream())
        .mapToLong(Integer::longValue)
        .sum();
  }

  /**
   * Returns the tokens run in all.
   *
   * @param meanTokens mean tokens of an example of each task
   */
  public long tokens(Map<String, Double> meanTokens) {
    double sum = 0;
    for (Stage s : stages) {
      for (Map.Entry<String, Integer> e : s.examples().entrySet()) {
        sum += e.getValue() * meanTokens.get(e.getKey());
      }
    }
    return Math.round(sum);
  }

  /** Returns the plan in sentences, a line a stage. */
  public String describe() {
    StringBuilder out = new StringBuilder(strategy).append('\n');
    int i = 0;
    for (Stage s : stages) {
      out.append(String.format(Locale.ROOT, "  %d. %s: ", ++i, s.name()));
      String draws = "";
      for (Map.Entry<String, Integer> e : s.examples().entrySet()) {
        draws +=
            (draws.isEmpty() ? "" : ", ")
                + e.getValue()
                + " of "
                + e.getKey()
                + " -> "
                + s.routes().get(e.getKey());
      }
      out.append(draws);
      if (!s.below().isEmpty()) {
        out.append(", on top of frozen ").append(String.join(", ", s.below()));
      }
      if (!s.mergedBefore().isEmpty()) {
        out.append(", after merging ").append(String.join(", ", s.mergedBefore()));
      }
      s.startFrom()
          .forEach((a, from) -> out.append(", ").append(a).append(" starting from ").append(from));
      out.append('\n');
    }
    return out.toString();
  }
}
