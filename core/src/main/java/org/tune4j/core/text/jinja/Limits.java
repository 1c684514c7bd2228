package org.tune4j.core.text.jinja;

/**
 * How much a template may do in one rendering. Each is far above what conversations need, and low
 * enough that a hostile template ends with an error within seconds and without exhausting memory.
 *
 * @param output most characters of the text
 * @param value most characters of any other text, and elements of any list
 * @param produced most memory used up in all, in bytes as texts of one byte a character need it;
 *     what is freed again is not subtracted
 * @param steps most statements, iterations and calls; long texts count as several
 * @param depth deepest nesting of calls, in levels of expressions and statements
 */
public record Limits(int output, int value, long produced, long steps, int depth) {
  /** Most characters of a template itself; the longest in use have about 50,000. */
  static final int TEMPLATE = 1 << 20;

  /** Returns what is used unless said otherwise; at most a quarter of the heap is produced. */
  public static Limits defaults() {
    return new Limits(
        1 << 24,
        1 << 23,
        Math.min(1L << 29, Runtime.getRuntime().maxMemory() / 4),
        20_000_000,
        1500);
  }
}
