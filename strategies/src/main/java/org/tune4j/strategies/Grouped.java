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
 * An adapter for each group of tasks, which learns the tasks of its group together (Standley et al.
 * 2020, "Which Tasks Should Be Learned Together in Multi-task Learning?"; Fifty et al. 2021,
 * section 3). Between {@link MultiTask}, which is one group, and {@link Independent}, which is a
 * group for each task. All adapters are trained in one stage, side by side over one pass through
 * the frozen base: it draws and costs what those two do.
 *
 * <p>For tasks of which some help and others harm one another, such as tasks that answer the same
 * prompts differently. A task is served by its group's adapter, so whoever serves must know the
 * task, or at least its group.
 */
public final class Grouped implements TrainingStrategy {
  private final ImmutableList<ImmutableList<String>> groups;

  private Grouped(List<? extends List<String>> groups) {
    this.groups =
        groups.stream().map(ImmutableList::copyOf).collect(ImmutableList.toImmutableList());
  }

  /**
   * Returns the strategy for groups of tasks' names; a task that is in none has an adapter of its
   * own.
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
   * Returns the strategy for the groups whose tasks are predicted to score the highest sum: of all
   * divisions of up to twelve tasks, and by joining groups as long as it gains for more (Standley
   * et al. 2020, section 5; Fifty et al. 2021, section 3.2, choose among subsets likewise). Of
   * equal sums that with the fewest adapters. A score can charge for adapters, by a part that each
   * task of a small group bears.
   *
   * @param tasks names
   * @param most groups, at least 1
   */
  public static Grouped byScore(List<String> tasks, SubsetScore score, int most) {
    checkArgument(
        ImmutableSet.copyOf(tasks).size() == tasks.size(), "grouped: %s names a task twice", tasks);
    checkArgument(!tasks.isEmpty(), "grouped: there are no tasks");
    checkArgument(tasks.size() <= 62, "grouped: %s are too many tasks to divide", tasks.size());
    checkArgument(most > 0, "grouped: %s groups at most; it must be at least 1", most);
    return new Grouped(Partition.of(ImmutableList.copyOf(tasks), score, most));
  }

  /**
   * Returns the strategy for the groups whose tasks gain most from one another. Where all gain,
   * that is one group.
   *
   * @param most groups, at least 1
   */
  public static Grouped byAffinity(Affinity affinity, int most) {
    return byScore(affinity.tasks(), affinity, most);
  }

  /** Returns the groups of two and more, and the tasks that were named to be alone. */
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
        adapter += "'"; // the tasks 'a', 'b' and another that is named 'a+b'
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
