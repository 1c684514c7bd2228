package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.Map;

/**
 * One stage of a {@link TrainingPlan}: what is drawn from which tasks, and which adapters learn it.
 * Names stand for adapters; the trainer makes one when a stage first trains it.
 *
 * @param name shown to people and used for folders
 * @param examples how many examples of each task are drawn; each is drawn once before any is drawn
 *     again
 * @param routes the adapter that each drawn task trains; adapters of different tasks train side by
 *     side, as if alone
 * @param below adapters applied frozen under those in training
 * @param mergedBefore adapters that are merged before this stage, and stay merged, into a base of
 *     the run's own
 * @param startFrom for a new adapter, the one whose values it starts from; others start fresh,
 *     known ones continue
 * @param serving after this stage, the adapters to use for each task of the run, also for those
 *     that are yet to come, applied in order
 */
public record Stage(
    String name,
    ImmutableMap<String, Integer> examples,
    ImmutableMap<String, String> routes,
    ImmutableList<String> below,
    ImmutableList<String> mergedBefore,
    ImmutableMap<String, String> startFrom,
    ImmutableMap<String, ImmutableList<String>> serving) {
  /** Checks that the parts agree. */
  public Stage {
    checkArgument(!name.isBlank(), "a stage needs a name");
    checkArgument(!examples.isEmpty(), "stage '%s' draws nothing", name);
    examples.forEach(
        (task, n) -> checkArgument(n > 0, "stage '%s' draws %s examples of '%s'", name, n, task));
    checkArgument(
        routes.keySet().equals(examples.keySet()),
        "stage '%s' draws from %s, but routes %s",
        name,
        examples.keySet(),
        routes.keySet());
    for (String adapter : routes.values()) {
      checkArgument(
          !below.contains(adapter),
          "stage '%s' both trains and freezes adapter '%s'",
          name,
          adapter);
      checkArgument(
          !mergedBefore.contains(adapter),
          "stage '%s' both trains and merges adapter '%s'",
          name,
          adapter);
    }
    for (String adapter : startFrom.keySet()) {
      checkArgument(
          routes.containsValue(adapter),
          "stage '%s' says what adapter '%s' starts from, but does not train it",
          name,
          adapter);
    }
  }

  /**
   * Returns a stage in which the drawn tasks train one adapter, which also serves all {@code
   * served} tasks.
   */
  public static Stage of(
      String name, Map<String, Integer> examples, String adapter, Iterable<String> served) {
    ImmutableMap.Builder<String, String> routes = ImmutableMap.builder();
    examples.keySet().forEach(t -> routes.put(t, adapter));
    ImmutableMap.Builder<String, ImmutableList<String>> serving = ImmutableMap.builder();
    served.forEach(t -> serving.put(t, ImmutableList.of(adapter)));
    return new Stage(
        name,
        ImmutableMap.copyOf(examples),
        routes.buildOrThrow(),
        ImmutableList.of(),
        ImmutableList.of(),
        ImmutableMap.of(),
        serving.buildOrThrow());
  }
}
