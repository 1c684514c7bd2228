package org.tune4j.core.engine;

/**
 * Bytes that an engine holds outside the heap.
 *
 * @param weights frozen matrices
 * @param persistent parameters, optimizer state, key/value caches
 * @param arenaStep peak use of the arena in the current step
 * @param arenaPeak peak use of an arena in any step
 * @param arenaReserved bytes allocated for arenas, used or not
 */
public record MemoryUsage(
    long weights, long persistent, long arenaStep, long arenaPeak, long arenaReserved) {
  /** Returns all bytes held. */
  public long total() {
    return weights + persistent + arenaReserved;
  }

  /** Returns what the current step needs: the total without unused reserves of arenas. */
  public long step() {
    return weights + persistent + arenaStep;
  }
}
