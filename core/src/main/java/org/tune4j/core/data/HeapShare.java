package org.tune4j.core.data;

/**
 * How much of the heap one list of examples may take; a larger one lies in a file. A sixteenth of
 * the most that the heap may grow to, or what the property {@value #PROPERTY} says, in bytes. What
 * is read, encoded and learned is the same either way.
 */
final class HeapShare {
  static final String PROPERTY = "tune4j.data.heapBytes";

  private HeapShare() {}

  static long bytes() {
    return Long.getLong(PROPERTY, Runtime.getRuntime().maxMemory() / 16);
  }
}
