package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import com.google.common.collect.Maps;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;

/**
 * Trains an adapter for each group of tasks, which learns the group's tasks together (Standley et
 * al. 2020, "Which Tasks Should Be Learned Together in Multi-task Learning?"; Fifty et al. 2021,
 * section 3). It lies between {@link MultiTask}, with one group, and {@link Independent}, with a
 * group for each task. All adapters are trained in parallel in one stage with shared passes through
 * the frozen base, with the same examples and cost as those two.
 *
 * <p>For tasks some of which help and others harm each other, such as tasks with different answers
 * to the same prompts. A task is served by its group's adapter, so the task, or at least its group,
 * must be known when serving.
 */
public final class Grouped implements TrainingStrategy {
  private final ImmutableList<ImmutableList<String>> groups;

  private Grouped(List<? extends List<String>> groups) {
    this.groups =
        groups.stream().map(ImmutableList::copyOf).collect(ImmutableList.toImmutableList());
  }

  /**
   * Returns the strategy for groups of task names; a task in no group has its own adapter.
   *
   * @throws IllegalArgumentException if a group is empty, or a task is in two
   */
  public static Grouped of(List<? extends List<String>> groups) {
    Set<String> seen = new HashSet<>();
    for (List<String> group : groups) {
      checkArgument(!group.isEmpty(), "grouped: a group of %s is empty", groups);
      for (String task : group) {
        checkArgument(seen.add(task), "grouped: task '%s' is named twice in %s", task, groups);
      }
    }
    return new Grouped(groups);
  }

  /**
   * Returns the strategy for the groups with the highest predicted sum of scores: exact for up to
   * twelve tasks, otherwise by joining groups as long as it helps (Standley et al. 2020, section 5,
   * and Fifty et al. 2021, section 3.2, choose among subsets similarly). Ties go to fewer adapters.
   * A score can include the cost of adapters, as a share for each task of a small group.
   *
   * @param tasks names
   * @param most most groups, at least 1
   */
  public static Grouped byScore(List<String> tasks, SubsetScore score, int most) {
    checkArgument(
        ImmutableSet.copyOf(tasks).size() == tasks.size(),
        "grouped: the tasks %s are not unique",
        tasks);
    checkArgument(!tasks.isEmpty(), "grouped: there are no tasks");
    checkArgument(tasks.size() <= 62, "grouped: %s are too many tasks to divide", tasks.size());
    checkArgument(most > 0, "grouped: %s groups at most; it must be at least 1", most);
    return new Grouped(Partition.of(ImmutableList.copyOf(tasks), score, most));
  }

  /**
   * Returns the strategy for the groups whose tasks gain most from each other: a single group if
   * all gain.
   *
   * @param most most groups, at least 1
   */
  public static Grouped byAffinity(Affinity affinity, int most) {
    return byScore(affinity.tasks(), affinity, most);
  }

  /** Returns the given groups. */
  public ImmutableList<ImmutableList<String>> groups() {
    return groups;
  }

  /** Returns the name of a group's adapter: the tasks' names, joined by {@code +}. */
  public static String adapter(List<String> group) {
    return String.join("+", group);
  }

  @Override
  public String name() {
    return "grouped";
  }

  @Override
  public TrainingPlan plan(PlanContext context) {
    List<List<String>> all = new ArrayList<>(groups);
    Set<String> alone = new HashSet<>(context.names());
    for (List<String> group : groups) {
      for (String task : group) {
        checkArgument(
            alone.remove(task),
            "grouped: no task is named '%s'; there are %s",
            task,
            context.names());
      }
    }
    context.names().stream().filter(alone::contains).map(List::of).forEach(all::add);
    Stage.Builder stage = Stage.named("groups");
    Set<String> adapters = new HashSet<>();
    for (List<String> group : all) {
      String adapter = adapter(group);
      while (!adapters.add(adapter)) {
        adapter += "'"; // a group of 'a' and 'b' besides a task named 'a+b'
      }
      stage.train(Maps.toMap(group, context.examples()::get), adapter).serve(group, adapter);
    }
    return TrainingPlan.of(name(), stage.build());
  }

  @Override
  public String toString() {
    return name() + " " + groups;
  }
}
