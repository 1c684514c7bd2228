package org.tune4j.eval.advice;

/** Thrown if no strategy can do anything useful within the budget; the message says by how much. */
public final class BudgetTooSmallException extends RuntimeException {
  private static final long serialVersionUID = 1;

  BudgetTooSmallException(String message) {
    super(message);
  }
}
