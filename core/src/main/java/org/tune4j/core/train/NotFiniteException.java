package org.tune4j.core.train;

/** A loss or gradient that is no finite number, and of what; the trainer says what led to it. */
final class NotFiniteException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final int step;
  private final String what;
  private final double value;
  private final String task;
  private final transient Lane lane;

  NotFiniteException(int step, String what, double value, String task, Lane lane) {
    super(what + " is " + value);
    this.step = step;
    this.what = what;
    this.value = value;
    this.task = task;
    this.lane = lane;
  }

  Lane lane() {
    return lane;
  }

  /**
   * Returns what is told to the user.
   *
   * @param divergence what the steps before say
   */
  TrainingException explained(Stage stage, Divergence divergence) {
    return new TrainingException(
        "stage '%s', step %s: the %s is %s. %s"
            .formatted(stage.name(), step, what, value, divergence.explain(task, lane.name())));
  }
}
