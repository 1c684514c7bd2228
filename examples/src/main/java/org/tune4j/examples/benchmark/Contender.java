package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableBiMap;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.Collections;
import java.util.List;
import java.util.function.Function;
import org.tune4j.core.data.Task;
import org.tune4j.eval.advice.Candidates;
import org.tune4j.strategies.Independent;
import org.tune4j.strategies.MultiTask;
import org.tune4j.strategies.Sequential;
import org.tune4j.strategies.TrainingStrategy;

/** The strategies that are trained to the end in scenarios, by their names in the records. */
final class Contender {
  /**
   * Multi-task training that samples tasks in proportion to their sizes. Differs from {@code
   * multi-task} only where that mixes with a temperature.
   */
  static final String PROPORTIONAL = "proportional";

  /** Multi-task training on as many tokens as {@code specialised} uses. */
  static final String LONGER = "longer";

  private static final ImmutableMap<String, Function<List<Task>, TrainingStrategy>> ALL =
      ImmutableMap.<String, Function<List<Task>, TrainingStrategy>>builder()
          .put("multi-task", Contender::mixture)
          .put("specialised", tasks -> mixture(tasks).thenSpecialise())
          .put("independent", tasks -> Independent.perTask())
          .put("replay", tasks -> Sequential.inOrder(names(tasks)).replay(0.2))
          .put("stacked", tasks -> Sequential.inOrder(names(tasks)).stacked())
          .put("sequential", tasks -> Sequential.inOrder(names(tasks)))
          .put(PROPORTIONAL, tasks -> MultiTask.proportional())
          .put(LONGER, Contender::mixture)
          .put("surgery", tasks -> mixture(tasks).gradientSurgery())
          .buildOrThrow();

  /** The strategies trained in every scenario, among which rules and advice choose. */
  private static final ImmutableList<String> NAMES =
      ImmutableList.of(
          "multi-task", "specialised", "independent", "replay", "stacked", "sequential");

  /** The baseline. */
  static final String BASE = "multi-task";

  private Contender() {}

  private static final ImmutableBiMap<String, String> IN_LIBRARY =
      ImmutableBiMap.of(
          "replay", "sequential-replay",
          "stacked", "sequential-stacked",
          "specialised", "multi-task-specialised");

  /** Returns the library's name of a strategy. */
  static String inLibrary(String name) {
    return IN_LIBRARY.getOrDefault(name, name);
  }

  /** Returns the name here of a strategy of the library. */
  static String named(String inLibrary) {
    return IN_LIBRARY.inverse().getOrDefault(inLibrary, inLibrary);
  }

  /** Returns the mixture of {@link Candidates#all}. */
  private static MultiTask mixture(List<Task> tasks) {
    return skewed(tasks.stream().map(t -> t.train().size()).toList())
        ? MultiTask.temperature(Candidates.TEMPERATURE)
        : MultiTask.proportional();
  }

  /** Returns whether sizes differ so much that tasks are mixed with a temperature. */
  static boolean skewed(List<Integer> sizes) {
    return Collections.max(sizes) > Candidates.IMBALANCE * Collections.min(sizes);
  }

  private static List<String> names(List<Task> tasks) {
    return tasks.stream().map(Task::name).toList();
  }

  /** Returns the names of the compared strategies; {@link #of} knows more. */
  static ImmutableList<String> names() {
    return NAMES;
  }

  /** Returns the epochs of a strategy, relative to the others. */
  static double epochs(String name) {
    return name.equals(LONGER) ? 1.5 : 1;
  }

  /** Returns a strategy for some tasks. */
  static TrainingStrategy of(String name, List<Task> tasks) {
    Function<List<Task>, TrainingStrategy> maker = ALL.get(name);
    if (maker == null) {
      throw new IllegalArgumentException(
          "no strategy is named '%s' here; there are %s".formatted(name, ALL.keySet()));
    }
    return maker.apply(tasks);
  }
}
