package org.tune4j.core.text.jinja;

/**
 * Limits on the work of one rendering. Each is far above what conversations need, but low enough
 * that a hostile template fails within seconds and without exhausting memory.
 *
 * @param output maximum number of characters of output
 * @param value maximum number of characters of any other string, and of elements of any list
 * @param produced maximum total memory allocated, in bytes, counting one byte per character; memory
 *     that is freed again is not subtracted
 * @param steps maximum number of statements, iterations and calls; processing a long string counts
 *     as several
 * @param depth maximum nesting depth of calls, in levels of expressions and statements
 */
public record Limits(int output, int value, long produced, long steps, int depth) {
  /** Maximum number of characters of a template; the longest in use have about 50,000. */
  static final int TEMPLATE = 1 << 20;

  /** Returns the default limits, with allocations of at most a quarter of the heap. */
  public static Limits defaults() {
    return new Limits(
        1 << 24,
        1 << 23,
        Math.min(1L << 29, Runtime.getRuntime().maxMemory() / 4),
        20_000_000,
        1500);
  }
}
