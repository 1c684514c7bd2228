package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import com.google.common.collect.Iterables;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * The training that a strategy plans: stages, in order. Its cost can be estimated before it runs.
 *
 * @param strategy name of the strategy that planned it
 * @param stages at least one
 */
public record TrainingPlan(String strategy, ImmutableList<Stage> stages) {
  /** Checks that stages have distinct names and use only adapters that exist by then. */
  public TrainingPlan {
    checkArgument(!stages.isEmpty(), "strategy '%s' planned no stage", strategy);
    Set<String> names = new HashSet<>();
    Set<String> adapters = new HashSet<>();
    Set<String> merged = new HashSet<>();
    Set<String> optional = new HashSet<>(); // may have been dropped, so that they can only serve
    Map<String, GradientHook> hooks = new HashMap<>();
    for (Stage s : stages) {
      checkArgument(
          names.add(s.name()), "strategy '%s' planned two stages named '%s'", strategy, s.name());
      for (String a : s.below()) {
        checkArgument(
            adapters.contains(a),
            "stage '%s' builds on adapter '%s', which no earlier stage trained",
            s.name(),
            a);
      }
      for (String a : s.mergedBefore()) {
        checkArgument(
            adapters.contains(a),
            "stage '%s' merges adapter '%s', which no earlier stage trained",
            s.name(),
            a);
        checkArgument(
            merged.add(a), "stage '%s' merges adapter '%s', which is merged already", s.name(), a);
      }
      s.startFrom()
          .forEach(
              (a, from) -> {
                checkArgument(
                    adapters.contains(from),
                    "stage '%s' starts from adapter '%s', which no earlier stage trained",
                    s.name(),
                    from);
                checkArgument(
                    !adapters.contains(a),
                    "stage '%s' says what adapter '%s' starts from, but it was trained before and continues",
                    s.name(),
                    a);
              });
      for (String a : s.sizes().keySet()) {
        checkArgument(
            !adapters.contains(a),
            "stage '%s' sets the size of adapter '%s', but it was trained before and continues",
            s.name(),
            a);
      }
      for (String a : s.optional()) {
        checkArgument(
            !adapters.contains(a),
            "stage '%s' makes adapter '%s' optional, but it was trained before and continues",
            s.name(),
            a);
      }
      for (String a :
          Iterables.concat(
              s.below(), s.mergedBefore(), s.startFrom().values(), s.routes().values())) {
        checkArgument(
            !optional.contains(a),
            "stage '%s' uses adapter '%s', which may not have been kept",
            s.name(),
            a);
      }
      for (Iterable<String> used :
          Iterables.concat(
              List.of(s.below()),
              List.of(s.routes().values()),
              s.serving().values(),
              s.combined().stream().map(c -> c.weights().keySet()).toList())) {
        for (String a : used) {
          checkArgument(
              !merged.contains(a),
              "stage '%s' uses adapter '%s', which is merged into the base and would count twice",
              s.name(),
              a);
        }
      }
      for (GradientHook hook : s.gradients()) {
        GradientHook other = hooks.putIfAbsent(hook.name(), hook);
        checkArgument(
            other == null || other.equals(hook),
            "two different gradient hooks are named '%s': %s and %s",
            hook.name(),
            other,
            hook);
      }
      adapters.addAll(s.routes().values());
      for (Stage.Combined c : s.combined()) {
        for (String a : c.weights().keySet()) {
          checkArgument(
              adapters.contains(a) && !optional.contains(a),
              "stage '%s' combines adapter '%s', which no earlier stage trained or which may not have been kept",
              s.name(),
              a);
        }
        checkArgument(
            adapters.add(c.name()),
            "stage '%s' combines others into adapter '%s', which already exists",
            s.name(),
            c.name());
      }
      optional.addAll(s.optional());
      s.serving()
          .forEach(
              (task, stack) ->
                  checkArgument(
                      adapters.containsAll(stack),
                      "stage '%s' serves task '%s' by %s, some of which were never trained",
                      s.name(),
                      task,
                      stack));
    }
  }

  /** Returns the names of all tasks that an adapter is trained on, in the order of the stages. */
  public ImmutableSet<String> tasks(String adapter) {
    return stages.stream()
        .flatMap(s -> s.tasks(adapter).stream())
        .collect(ImmutableSet.toImmutableSet());
  }

  /** Returns a plan of stages in the given order; {@code strategy} is the name of the strategy. */
  public static TrainingPlan of(String strategy, List<Stage> stages) {
    return new TrainingPlan(strategy, ImmutableList.copyOf(stages));
  }

  /** Like {@link #of(String, List)}. */
  public static TrainingPlan of(String strategy, Stage... stages) {
    return of(strategy, List.of(stages));
  }

  /** Returns this plan with one more hook on the gradients of every stage. */
  public TrainingPlan withGradients(GradientHook hook) {
    return of(strategy, stages.stream().map(s -> s.withGradients(hook)).toList());
  }

  /**
   * Checks that this is a plan for exactly the given tasks.
   *
   * @throws IllegalArgumentException if a stage draws from another task, or leaves one unserved
   */
  void requireTasks(List<String> names) {
    for (Stage s : stages) {
      for (String t : s.examples().keySet()) {
        checkArgument(
            names.contains(t),
            "strategy '%s', stage '%s' draws from task '%s'; the tasks are %s",
            strategy,
            s.name(),
            t,
            names);
      }
      checkArgument(
          s.serving().keySet().equals(Set.copyOf(names)),
          "strategy '%s', stage '%s' says which adapters serve the tasks %s; the tasks are %s",
          strategy,
          s.name(),
          s.serving().keySet(),
          names);
    }
  }

  /** Returns the names of all trained adapters. */
  public ImmutableSet<String> adapters() {
    return stages.stream()
        .flatMap(s -> s.adapters().stream())
        .collect(ImmutableSet.toImmutableSet());
  }

  /** Returns the number of steps of all stages if none ends early. */
  public long steps(Hyperparameters h) {
    return stages.stream().mapToLong(s -> s.steps(h)).sum();
  }

  /**
   * Returns the most additional copies of an adapter's gradients, or buffers of that size, that
   * hooks hold at the same time: the separate gradients of each task, and the states of hooks,
   * which are kept until the run ends.
   */
  public long gradientCopies() {
    long byTask = 0;
    Map<List<String>, Integer> states = new HashMap<>(); // by hook and adapter
    for (Stage s : stages) {
      if (s.gradients().stream().anyMatch(GradientHook::byTask)) {
        byTask = Math.max(byTask, s.examples().size());
      }
      for (GradientHook hook : s.gradients()) {
        s.adapters().forEach(a -> states.put(List.of(hook.name(), a), hook.copies()));
      }
    }
    return byTask + states.values().stream().mapToLong(n -> n).sum();
  }

  /** Returns the total number of examples drawn. */
  public long examples() {
    return stages.stream()
        .flatMap(s -> s.examples().values().stream())
        .mapToLong(Integer::longValue)
        .sum();
  }

  /**
   * Returns the total number of tokens run, forward and backward.
   *
   * @param meanTokens mean number of tokens per example of each task
   * @throws IllegalArgumentException if it is missing for a task
   */
  public long tokens(Map<String, Double> meanTokens) {
    double sum = 0;
    for (Stage s : stages) {
      for (Map.Entry<String, Integer> e : s.examples().entrySet()) {
        sum += e.getValue() * mean(e.getKey(), meanTokens);
      }
    }
    return Math.round(sum) + tokensAtEnds(meanTokens);
  }

  /**
   * Returns the part of {@link #tokens} that trains nothing: examples that hooks run at the end of
   * stages.
   */
  public long tokensAtEnds(Map<String, Double> meanTokens) {
    double sum = 0;
    for (int i = 0; i < stages.size(); i++) {
      Stage s = stages.get(i);
      for (String adapter : s.adapters()) {
        long drawn = s.examples(adapter);
        double mean = 0;
        for (String task : s.tasks(adapter)) {
          mean += mean(task, meanTokens) * s.examples().get(task) / drawn;
        }
        for (GradientHook hook : s.gradients()) {
          sum += hookContinues(i, hook, adapter) ? mean * Math.min(drawn, hook.examplesAtEnd()) : 0;
        }
      }
    }
    return Math.round(sum);
  }

  private static double mean(String task, Map<String, Double> meanTokens) {
    Double mean = meanTokens.get(task);
    checkArgument(mean != null, "the mean tokens of task '%s' are not given", task);
    return mean;
  }

  /** Returns whether a stage after {@code index} trains an adapter with a hook of this name. */
  boolean hookContinues(int index, GradientHook hook, String adapter) {
    return stages.subList(index + 1, stages.size()).stream()
        .anyMatch(
            s ->
                s.adapters().contains(adapter)
                    && s.gradients().stream().anyMatch(k -> k.name().equals(hook.name())));
  }

  /** Returns a description of the plan, one line per stage. */
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
      s.sizes().forEach((a, size) -> out.append(", ").append(a).append(" of size ").append(size));
      if (!s.optional().isEmpty()) {
        out.append(", kept if they gain: ").append(String.join(", ", s.optional()));
      }
      s.combined().forEach(c -> out.append(", then ").append(c));
      s.gradients().forEach(hook -> out.append(", gradients through ").append(hook));
      out.append('\n');
    }
    return out.toString();
  }
}
