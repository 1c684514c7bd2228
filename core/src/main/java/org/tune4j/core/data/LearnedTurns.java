package org.tune4j.core.data;

/** Which of the assistant's turns of a conversation are learned, where the data does not say. */
public enum LearnedTurns {
  /** Every one. */
  ALL,
  /** The last one; the earlier ones are context, as a user's turns are. */
  LAST
}
