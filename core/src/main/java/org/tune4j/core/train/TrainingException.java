package org.tune4j.core.train;

/**
 * Training cannot continue, for example because the loss is not finite. The last checkpoint and
 * adapters saved before remain.
 */
public final class TrainingException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Creates an exception; the message says what happened and where. */
  public TrainingException(String message) {
    super(message);
  }
}
