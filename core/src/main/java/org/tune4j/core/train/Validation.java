package org.tune4j.core.train;

import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.DoubleStream;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.PassLosses;

/** Measures the losses of lanes on the validation examples of their tasks. */
final class Validation {
  private final RunAdapters adapters;
  private final TrainingData data;
  private final Hyperparameters h;
  private final EngineSharing sharing;

  Validation(RunAdapters adapters, TrainingData data, Hyperparameters h, EngineSharing sharing) {
    this.adapters = adapters;
    this.data = data;
    this.h = h;
    this.sharing = sharing;
  }

  /** Validates the lanes that have trained since the last validation; returns the losses of all. */
  Map<String, Double> of(List<Lane> lanes) {
    Map<String, Double> all = new LinkedHashMap<>();
    for (Lane lane : lanes) {
      if (lane.unmeasured()) { // otherwise it ended before the last validation
        lane.recordValidation(losses(lane), adapters, h.patience());
      }
      all.putAll(lane.losses());
    }
    return Collections.unmodifiableMap(all);
  }

  /**
   * Returns a lane's losses in nats per learned token, by task, except for tasks without validation
   * examples.
   *
   * @throws NotFiniteException if one is not finite
   */
  Map<String, Double> losses(Lane lane) {
    Map<String, Double> losses = new LinkedHashMap<>();
    for (String task : lane.tasks()) {
      if (data.validation(task).size() > 0) {
        double loss = loss(task, lane.stack());
        if (!Double.isFinite(loss)) {
          throw new NotFiniteException(
              lane.trained(), "validation loss of task '%s'".formatted(task), loss, task, lane);
        }
        losses.put(task, loss);
      }
    }
    return losses;
  }

  /**
   * Returns the loss of a task's validation examples with a stack of adapters; NaN if it has none.
   */
  double loss(String task, List<Adapter> stack) {
    return PassLosses.mean(
        Pass.divide(data.validation(task), stack, h.tokensPerPass()), this::losses);
  }

  /** Returns the gain of a lane's adapter over those below it. */
  Gain gain(Lane lane) {
    List<Adapter> below = lane.stack().subList(0, lane.stack().size() - 1);
    DoubleStream.Builder without = DoubleStream.builder();
    DoubleStream.Builder with = DoubleStream.builder();
    for (String task : lane.tasks()) {
      addSums(task, below, without);
      addSums(task, lane.stack(), with);
    }
    return Gain.of(without.build().toArray(), with.build().toArray());
  }

  /** Adds the total loss of each validation example of a task. */
  private void addSums(String task, List<Adapter> stack, DoubleStream.Builder to) {
    for (Pass pass : Pass.divide(data.validation(task), stack, h.tokensPerPass())) {
      Arrays.stream(losses(pass).sums(pass.items().size())).forEach(to::add);
    }
  }

  private PassLosses losses(Pass pass) {
    return sharing.step(() -> adapters.base().losses(pass, sharing::pause));
  }
}
