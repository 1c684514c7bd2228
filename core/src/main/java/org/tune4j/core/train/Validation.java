package org.tune4j.core.train;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.PassLosses;

/** Measures the losses of lanes on the validation examples of their tasks. */
final class Validation {
  private final RunAdapters adapters;
  private final TrainingData data;
  private final Hyperparameters h;
  private final Turns turns;

  Validation(RunAdapters adapters, TrainingData data, Hyperparameters h, Turns turns) {
    this.adapters = adapters;
    this.data = data;
    this.h = h;
    this.turns = turns;
  }

  /** Validates the lanes that have trained since the last time; returns the losses of all. */
  Map<String, Double> of(List<Lane> lanes) {
    Map<String, Double> all = new LinkedHashMap<>();
    for (Lane lane : lanes) {
      if (lane.unmeasured()) { // else it ended before the last validation
        lane.measured(losses(lane), adapters, h.patience());
      }
      all.putAll(lane.losses());
    }
    return Collections.unmodifiableMap(all);
  }

  /**
   * Returns a lane's losses in nats per learned token, by task; none of those without validation
   * examples.
   *
   * @throws NotFiniteException if one is no finite number
   */
  Map<String, Double> losses(Lane lane) {
    Map<String, Double> losses = new LinkedHashMap<>();
    for (String task : lane.tasks()) {
      List<EncodedExample> held = data.validation(task);
      if (held.size() > 0) {
        double loss =
            PassLosses.mean(
                Pass.divide(held, lane.stack(), h.tokensPerPass()),
                pass -> turns.step(() -> adapters.base().losses(pass, turns::pause)));
        if (!Double.isFinite(loss)) {
          throw new NotFiniteException(
              lane.trained(), "validation loss of task '%s'".formatted(task), loss, task, lane);
        }
        losses.put(task, loss);
      }
    }
    return losses;
  }
}
