package org.tune4j.core.engine;

/**
 * Bytes that an engine holds outside the heap.
 *
 * @param weights frozen matrices
 * @param persistent parameters, optimizer state, key/value caches
 * @param arenaStep most that the step in progress has used of its arena
 * @param arenaPeak most that a step has used of an arena
 * @param arenaReserved what arenas hold in reserve
 */
public record MemoryUsage(
    long weights, long persistent, long arenaStep, long arenaPeak, long arenaReserved) {
  /** Returns all of it. */
  public long total() {
    return weights + persistent + arenaReserved;
  }

  /** Returns what the step in progress needs: all but what arenas hold in reserve. */
  public long step() {
    return weights + persistent + arenaStep;
  }
}
