package org.tune4j.core.engine.nd4j;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * The storage of a step: a bump allocator on slabs, with free lists by size for released blocks.
 * {@link #reset()} invalidates all blocks at no cost. As the steps of a run resemble each other,
 * the slabs stop growing after the first few.
 *
 * <p>Sizes are rounded up to one of eight steps per power of two, so that a released block fits the
 * next request of similar size with at most an eighth wasted.
 *
 * <p>Contents are unspecified; see {@link Poison}.
 */
final class Arena implements AutoCloseable {
  private static final int ALIGNMENT = 64;
  private static final long SLAB_BYTES = 8L << 20;

  /** A piece of a slab. */
  static final class Block {
    final INDArray slab;
    final long offset;
    final long bytes;
    final int generation;
    boolean free;

    Block(INDArray slab, long offset, long bytes, int generation) {
      this.slab = slab;
      this.offset = offset;
      this.bytes = bytes;
      this.generation = generation;
    }
  }

  private final List<INDArray> slabs = new ArrayList<>();
  private final Map<Long, ArrayDeque<Block>> free = new HashMap<>();
  private int current;
  private long mark;
  private long used;
  private long peak;
  private long stepPeak;
  private int generation;

  static INDArray slab(long bytes) {
    return Nd4j.createUninitialized(
        DataType.FLOAT, (bytes + ALIGNMENT + Float.BYTES - 1) / Float.BYTES);
  }

  static long firstAligned(INDArray slab) {
    return Math.floorMod(-slab.data().pointer().address(), (long) ALIGNMENT);
  }

  static long roundUp(long bytes) {
    long size = Math.max(bytes, ALIGNMENT);
    long step = Math.max(ALIGNMENT, Long.highestOneBit(size) >> 3);
    return (size + step - 1) / step * step;
  }

  Block take(long bytes) {
    Block block = find(roundUp(bytes));
    Poison.fill(block.slab, block.offset, block.bytes);
    return block;
  }

  private Block find(long size) {
    used += size;
    stepPeak = Math.max(stepPeak, used);
    peak = Math.max(peak, used);
    ArrayDeque<Block> spare = free.get(size);
    if (spare != null && !spare.isEmpty()) {
      Block block = spare.pop();
      block.free = false;
      return block;
    }
    while (current < slabs.size()) {
      INDArray slab = slabs.get(current);
      if (mark + size <= slab.length() * Float.BYTES) {
        Block block = new Block(slab, mark, size, generation);
        mark += size;
        return block;
      }
      current++;
      if (current < slabs.size()) {
        mark = firstAligned(slabs.get(current));
      }
    }
    INDArray slab = slab(Math.max(SLAB_BYTES, size));
    slabs.add(slab);
    mark = firstAligned(slab) + size;
    return new Block(slab, mark - size, size, generation);
  }

  void release(Block block) {
    if (block.generation == generation && !block.free) {
      block.free = true;
      used -= block.bytes;
      Poison.fill(block.slab, block.offset, block.bytes);
      free.computeIfAbsent(block.bytes, k -> new ArrayDeque<>()).push(block);
    }
  }

  void reset() {
    generation++;
    free.clear();
    used = 0;
    stepPeak = 0;
    current = 0;
    mark = slabs.isEmpty() ? 0 : firstAligned(slabs.get(0));
  }

  long peak() {
    return peak;
  }

  /** Returns the most used since the last reset. */
  long stepPeak() {
    return stepPeak;
  }

  long reserved() {
    return slabs.stream().mapToLong(s -> s.length() * Float.BYTES).sum();
  }

  /** Frees all storage; the arena may be used again. */
  @Override
  public void close() {
    slabs.forEach(INDArray::close);
    slabs.clear();
    peak = 0;
    reset();
  }
}
