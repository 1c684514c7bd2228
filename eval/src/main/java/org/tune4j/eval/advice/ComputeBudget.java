package org.tune4j.eval.advice;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * What training may take. Each limit may be absent.
 *
 * @param tokens most tokens trained on; {@link Long#MAX_VALUE} for no limit
 * @param seconds most seconds of training; infinite for no limit
 * @param memoryBytes most memory outside the heap, the model's weights included; {@link
 *     Long#MAX_VALUE} for what the machine has
 */
public record ComputeBudget(long tokens, double seconds, long memoryBytes) {
  /** Checks that limits are positive. */
  public ComputeBudget {
    checkArgument(tokens > 0, "the budget is %s tokens; it must be positive", tokens);
    checkArgument(seconds > 0, "the budget is %s seconds; it must be positive", seconds);
    checkArgument(memoryBytes > 0, "the budget is %s bytes; it must be positive", memoryBytes);
  }

  /** Returns a budget that every plan fits. */
  public static ComputeBudget unlimited() {
    return new ComputeBudget(Long.MAX_VALUE, Double.POSITIVE_INFINITY, Long.MAX_VALUE);
  }

  /** Returns a budget of tokens. */
  public static ComputeBudget ofTokens(long tokens) {
    return unlimited().withTokens(tokens);
  }

  /** Returns a budget of seconds on this machine. */
  public static ComputeBudget ofSeconds(double seconds) {
    return unlimited().withSeconds(seconds);
  }

  /** Returns a budget of memory outside the heap. */
  public static ComputeBudget ofMemory(long bytes) {
    return unlimited().withMemory(bytes);
  }

  /** Returns this budget with another limit of tokens. */
  public ComputeBudget withTokens(long limit) {
    return new ComputeBudget(limit, seconds, memoryBytes);
  }

  /** Returns this budget with another limit of seconds. */
  public ComputeBudget withSeconds(double limit) {
    return new ComputeBudget(tokens, limit, memoryBytes);
  }

  /** Returns this budget with another limit of memory. */
  public ComputeBudget withMemory(long bytes) {
    return new ComputeBudget(tokens, seconds, bytes);
  }

  /** Returns whether tokens are limited. */
  public boolean limitsTokens() {
    return tokens != Long.MAX_VALUE;
  }

  /** Returns whether seconds are limited. */
  public boolean limitsSeconds() {
    return seconds != Double.POSITIVE_INFINITY;
  }

  /** Returns whether memory is limited. */
  public boolean limitsMemory() {
    return memoryBytes != Long.MAX_VALUE;
  }

  /**
   * Returns the share of a plan's tokens and seconds that this pays for, in (0, 1]: the lesser of
   * the two. Memory does not count: it cannot be had by doing less.
   */
  public double share(PlanPrice price) {
    double share = 1;
    if (limitsTokens()) {
      share = Math.min(share, (double) tokens / price.tokens());
    }
    if (limitsSeconds()) {
      share = Math.min(share, seconds / price.seconds());
    }
    return share;
  }

  @Override
  public String toString() {
    List<String> limits = new ArrayList<>();
    if (limitsTokens()) {
      limits.add(String.format(Locale.ROOT, "%,d tokens", tokens));
    }
    if (limitsSeconds()) {
      limits.add(String.format(Locale.ROOT, "%.1f s", seconds));
    }
    if (limitsMemory()) {
      limits.add(PlanPrice.bytes(memoryBytes));
    }
    return limits.isEmpty() ? "no limit" : String.join(", ", limits);
  }
}
