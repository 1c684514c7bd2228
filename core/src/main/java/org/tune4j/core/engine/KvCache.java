package org.tune4j.core.engine;

import static com.google.common.base.Preconditions.checkArgument;

/**
 * Keys and values of past tokens: for each layer two persistent compute-type tensors {@code
 * [capacity, kvCols]}. The caller decides which rows belong to which sequence. Not thread-safe;
 * freed by {@link #close()}.
 */
public final class KvCache implements AutoCloseable {
  private final Engine engine;
  private final int capacity;
  private final Tensor[] keys;
  private final Tensor[] values;

  /** Allocates a cache of {@code capacity} rows for {@code layers} layers. */
  public KvCache(Engine engine, int layers, int capacity, int kvCols) {
    checkArgument(capacity > 0, "capacity %s", capacity);
    this.engine = engine;
    this.capacity = capacity;
    keys = new Tensor[layers];
    values = new Tensor[layers];
    for (int l = 0; l < layers; l++) {
      keys[l] = engine.persistent(capacity, kvCols, engine.computeType());
      values[l] = engine.persistent(capacity, kvCols, engine.computeType());
    }
  }

  /** Returns the number of rows. */
  public int capacity() {
    return capacity;
  }

  /** Returns the keys of a layer: {@code [capacity, kvCols]}. */
  public Tensor keys(int layer) {
    return keys[layer];
  }

  /** Returns the values of a layer: {@code [capacity, kvCols]}. */
  public Tensor values(int layer) {
    return values[layer];
  }

  @Override
  public void close() {
    for (int l = 0; l < keys.length; l++) {
      engine.free(keys[l]);
      engine.free(values[l]);
    }
  }
}
