package org.tune4j.core.text.jinja;

import java.math.BigInteger;
import java.util.Iterator;
import java.util.NoSuchElementException;

/**
 * Integers from a start to before a stop.
 *
 * @param size how many
 */
record Range(BigInteger start, BigInteger stop, BigInteger step, int size) {
  /** What Jinja's sandbox allows. */
  private static final int MAX_SIZE = 100_000;

  static Range of(BigInteger start, BigInteger stop, BigInteger step) {
    if (step.signum() == 0) {
      throw Failure.value("range() arg 3 must not be zero");
    }
    BigInteger span = stop.subtract(start);
    BigInteger count =
        span.signum() != step.signum()
            ? BigInteger.ZERO
            : span.abs().subtract(BigInteger.ONE).divide(step.abs()).add(BigInteger.ONE);
    if (count.compareTo(BigInteger.valueOf(MAX_SIZE)) > 0) {
      throw Failure.overflow(
          "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", MAX_SIZE);
    }
    return new Range(start, stop, step, count.intValue());
  }

  Object get(int index) {
    return Numbers.normal(at(index));
  }

  boolean contains(BigInteger n) {
    if (size == 0) {
      return false;
    }
    BigInteger[] at = n.subtract(start).divideAndRemainder(step);
    return at[1].signum() == 0
        && at[0].signum() >= 0
        && at[0].compareTo(BigInteger.valueOf(size)) < 0;
  }

  /** Returns the part that a slice's indices tell. */
  Range slice(long from, long to, long by, int count) {
    return new Range(at(from), at(to), step.multiply(BigInteger.valueOf(by)), count);
  }

  private BigInteger at(long index) {
    return start.add(step.multiply(BigInteger.valueOf(index)));
  }

  boolean sameNumbers(Range other) {
    return size == other.size
        && (size == 0 || (start.equals(other.start) && (size == 1 || step.equals(other.step))));
  }

  Iterator<Object> iterator() {
    return new Iterator<>() {
      private int next;

      @Override
      public boolean hasNext() {
        return next < size;
      }

      @Override
      public Object next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        return get(next++);
      }
    };
  }

  @Override
  public String toString() {
    return step.equals(BigInteger.ONE)
        ? "range(%s, %s)".formatted(start, stop)
        : "range(%s, %s, %s)".formatted(start, stop, step);
  }
}
