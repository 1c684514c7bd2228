package org.tune4j.core.text.jinja;

import java.util.AbstractList;
import java.util.List;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/** Python's {@code range}. */
final class Range extends AbstractList<Object> {
  /** The limit of Jinja's sandbox. */
  private static final int MAX_SIZE = 100_000;

  /** Larger bounds are rejected, so that computations do not overflow. */
  private static final long MAX = 1L << 60;

  private final long start;
  private final long stop;
  private final long step;
  private final int size;

  private Range(long start, long stop, long step, int size) {
    this.start = start;
    this.stop = stop;
    this.step = step;
    this.size = size;
  }

  /** Returns the range for one to three arguments of {@code range}. */
  static Range of(List<Object> arguments) {
    if (arguments.isEmpty() || arguments.size() > 3) {
      throw Failure.type("range expected 1 to 3 arguments, got %d", arguments.size());
    }
    long[] n = arguments.stream().mapToLong(Numbers::index).toArray();
    long start = n.length == 1 ? 0 : n[0];
    long stop = n[n.length == 1 ? 0 : 1];
    long step = n.length == 3 ? n[2] : 1;
    if (step == 0) {
      throw Failure.value("range() arg 3 must not be zero");
    }
    for (long x : n) {
      if (x < -MAX || x > MAX) {
        throw Failure.of(Kind.OVERFLOW, "a range of numbers beyond 2 ** 60");
      }
    }
    long size = Math.max(0, Math.floorDiv(stop - start - Long.signum(step), step) + 1);
    if (size > MAX_SIZE) {
      throw Failure.of(
          Kind.OVERFLOW, "a range of %d numbers; at most %d are allowed", size, MAX_SIZE);
    }
    return new Range(start, stop, step, (int) size);
  }

  @Override
  public Object get(int index) {
    return start + index * step;
  }

  @Override
  public int size() {
    return size;
  }

  /** Returns the part that a slice's indices tell. */
  Range slice(long from, long to, long by, int count) {
    return new Range(start + from * step, start + to * step, step * by, count);
  }

  @Override
  public String toString() {
    String ends = start + ", " + stop;
    return step == 1 ? "range(" + ends + ")" : "range(" + ends + ", " + step + ")";
  }
}
