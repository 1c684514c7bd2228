package org.tune4j.core.train;

/** A loss or gradient that is not finite; the trainer adds an explanation of the cause. */
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
   * Returns the exception for the user.
   *
   * @param divergence explains it from the steps before
   */
  TrainingException explained(Stage stage, Divergence divergence) {
    return new TrainingException(
        "stage '%s', step %s: the %s is %s. %s"
            .formatted(stage.name(), step, what, value, divergence.explain(task, lane.name())));
  }
}
