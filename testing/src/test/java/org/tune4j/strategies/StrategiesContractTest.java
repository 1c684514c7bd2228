package org.tune4j.strategies;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import net.jqwik.api.Group;
import org.tune4j.core.data.Task;
import org.tune4j.lora.Combination;
import org.tune4j.testing.TrainingStrategyContract;

/** The strategies that come with the library, and one of a user's, against the contract. */
@SuppressWarnings("ClassCanBeStatic") // groups are inner classes
class StrategiesContractTest {
  @Group
  class Proportional extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return MultiTask.proportional();
    }
  }

  @Group
  class Weighted extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      Map<String, Double> weights = new LinkedHashMap<>();
      tasks.forEach(t -> weights.put(t.name(), 1.0 + weights.size()));
      return MultiTask.weights(weights);
    }
  }

  @Group
  class UnderSurgery extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return MultiTask.proportional().gradientSurgery();
    }
  }

  @Group
  class WeightedByUncertainty extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return MultiTask.uniform().uncertaintyWeighting();
    }
  }

  @Group
  class Continuing extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return Sequential.inOrder();
    }
  }

  @Group
  class Stacked extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      List<Task> reversed = new ArrayList<>(tasks);
      Collections.reverse(reversed);
      return Sequential.inOrder(reversed.toArray(new Task[0])).stacked();
    }
  }

  @Group
  class Elastic extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return Sequential.inOrder().ewc(100, 5);
    }
  }

  @Group
  class Orthogonal extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return Sequential.inOrder().orthogonal(0.5);
    }
  }

  @Group
  class MergingWithReplay extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return Sequential.inOrder().merging().replay(0.25);
    }

    @Override
    protected long promisedExamples(PlanContext context) {
      long sum = 0;
      int earlier = 0;
      for (int n : context.examples().values()) {
        sum += n + (earlier == 0 ? 0 : Math.max(earlier, Math.round(n / 3.0)));
        earlier++;
      }
      return sum;
    }
  }

  /** Affinities of tasks that help all others and of tasks that harm them, by turns. */
  private static Affinity affinity(List<Task> tasks) {
    double[][] gains = new double[tasks.size()][tasks.size()];
    for (int i = 0; i < gains.length; i++) {
      Arrays.fill(gains[i], i % 2 == 0 ? i : -i);
    }
    return Affinity.of(tasks.stream().map(Task::name).toList(), gains);
  }

  @Group
  class InTheBestOrder extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return Sequential.bestOrder(affinity(tasks));
    }
  }

  @Group
  class GroupedByAffinity extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return Grouped.byAffinity(affinity(tasks), 2);
    }
  }

  @Group
  class OnePerTask extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return Independent.perTask();
    }
  }

  @Group
  class Concatenated extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return Independent.merged(Combination.concatenation());
    }
  }

  @Group
  class MergedByDareAndTies extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return Independent.merged(Combination.dareTiesSvd(0.5, 3).rank(3));
    }
  }

  @Group
  class SharedThenApart extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return MultiTask.proportional().thenSpecialise();
    }

    @Override
    protected long promisedExamples(PlanContext context) {
      return context.examples().values().stream()
          .mapToLong(n -> n + Math.max(1, Math.round(n / 2.0)))
          .sum();
    }

    @Override
    protected boolean needsValidation() {
      return true;
    }
  }

  @Group
  class InGroups extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      List<List<String>> groups = new ArrayList<>();
      for (int i = 0; i + 1 < tasks.size(); i += 3) { // every third has an adapter of its own
        groups.add(List.of(tasks.get(i + 1).name(), tasks.get(i).name()));
      }
      return Grouped.of(groups);
    }
  }

  @Group
  class AUsersOwn extends TrainingStrategyContract {
    @Override
    protected TrainingStrategy strategy(List<Task> tasks) {
      return new EasyFirst();
    }

    @Override
    protected long promisedExamples(PlanContext context) {
      return context.examples().values().stream()
          .mapToLong(n -> (n + 1) / 2 + Math.max(1, n / 2))
          .sum();
    }
  }
}
