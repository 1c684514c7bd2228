package org.tune4j.core.train;

/**
 * Training cannot go on: the loss is no number, say. The last checkpoint and the adapters saved
 * before are kept.
 */
public final class TrainingException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** Describes what happened, and where. */
  public TrainingException(String message) {
    super(message);
  }
}
