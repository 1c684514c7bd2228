package org.tune4j.core.data;

/** Which of the assistant's turns of a conversation are learned, where the data does not say. */
public enum LearnedTurns {
  /** Every one. */
  ALL,
  /** The last one; earlier ones are context only, like the user's turns. */
  LAST
}
