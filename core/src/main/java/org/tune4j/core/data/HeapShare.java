package org.tune4j.core.data;

/**
 * The heap that one list of examples may take before it is kept in a file: a sixteenth of the
 * maximum heap size, or the system property {@value #PROPERTY}, in bytes. The examples are the same
 * either way.
 */
final class HeapShare {
  static final String PROPERTY = "tune4j.data.heapBytes";

  private HeapShare() {}

  static long bytes() {
    return Long.getLong(PROPERTY, Runtime.getRuntime().maxMemory() / 16);
  }
}
