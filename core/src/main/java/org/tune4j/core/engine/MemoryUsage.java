package org.tune4j.core.engine;

/**
 * Bytes that an engine holds outside the heap.
 *
 * @param weights frozen matrices
 * @param persistent parameters, optimizer state, key/value caches
 * @param arenaPeak most that a step has used of the arena
 * @param arenaReserved what the arena holds in reserve
 */
public record MemoryUsage(long weights, long persistent, long arenaPeak, long arenaReserved) {
  /** Returns all of it. */
  public long total() {
    return weights + persistent + arenaReserved;
  }
}
