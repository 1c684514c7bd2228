package org.tune4j.core.engine;

import static com.google.common.base.Preconditions.checkArgument;
import static com.google.common.base.Preconditions.checkState;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The trainable matrices of one adapter in one flat buffer, with a gradient buffer of the same
 * layout, so that clipping and the optimizer take one pass. Matrices are stored without gaps in the
 * order of their declaration: neighbours with equal columns can be read as one matrix.
 *
 * <p>Where the engine's compute type is not F32, products read a converted copy: call {@link
 * #changed()} after writing weights.
 */
public final class Parameters implements AutoCloseable {
  /**
   * The location of one matrix.
   *
   * @param name unique in the adapter
   * @param offset first element in the flat buffer
   */
  public record Slot(String name, int rows, int cols, long offset) {}

  private final Engine engine;
  private final Map<String, Slot> slots;
  private final Tensor weights;
  private final Tensor gradients;
  private final Tensor compute;
  private int version;
  private boolean closed;

  private Parameters(Engine engine, Map<String, Slot> slots, int size, boolean trainable) {
    this.engine = engine;
    this.slots = slots;
    weights = engine.persistent(1, size, DType.F32);
    gradients = trainable ? engine.persistent(1, size, DType.F32) : null;
    compute =
        engine.computeType() == DType.F32
            ? weights
            : engine.persistent(1, size, engine.computeType());
  }

  /** Returns a builder of parameters in an engine's memory. */
  public static Builder builder(Engine engine) {
    return new Builder(engine);
  }

  /** Collects matrices in order. */
  public static final class Builder {
    private final Engine engine;
    private final List<Slot> slots = new ArrayList<>();
    private long size;

    private Builder(Engine engine) {
      this.engine = engine;
    }

    /** Appends a matrix. */
    public Slot add(String name, int rows, int cols) {
      Slot slot = new Slot(name, rows, cols, size);
      slots.add(slot);
      size += (long) rows * cols;
      return slot;
    }

    /** Allocates them, zeroed; without gradient storage unless {@code trainable}. */
    public Parameters build(boolean trainable) {
      Map<String, Slot> byName = new LinkedHashMap<>();
      for (Slot slot : slots) {
        checkArgument(
            byName.put(slot.name(), slot) == null, "two parameters are named '%s'", slot.name());
      }
      return new Parameters(engine, byName, Math.toIntExact(size), trainable);
    }
  }

  /** Returns the names, in the order of declaration. */
  public Set<String> names() {
    return slots.keySet();
  }

  /** Returns the location of a matrix, which must exist. */
  public Slot slot(String name) {
    Slot slot = slots.get(name);
    checkArgument(slot != null, "no parameter is named '%s'", name);
    return slot;
  }

  /** Returns the number of elements of all parameters together. */
  public int size() {
    return weights.cols();
  }

  /** Returns whether there is gradient storage. */
  public boolean trainable() {
    return gradients != null;
  }

  /** Returns whether {@link #close} freed the storage. */
  public boolean closed() {
    return closed;
  }

  private <T> T open(T storage) {
    checkState(!closed, "the adapter is closed");
    return storage;
  }

  /** Returns all weights: F32 {@code [1, size]}. */
  public Tensor flat() {
    return open(weights);
  }

  /** Returns all gradients: F32 {@code [1, size]}. */
  public Tensor flatGradients() {
    return open(gradients);
  }

  /** Returns a matrix as F32. */
  public Tensor weight(Slot slot) {
    return engine.view(open(weights), slot.offset(), slot.rows(), slot.cols());
  }

  /** Returns a matrix in the compute type, for products. */
  public Tensor compute(Slot slot) {
    return engine.view(open(compute), slot.offset(), slot.rows(), slot.cols());
  }

  /**
   * Returns {@code rows} rows of {@code slot.cols()} columns in the compute type, starting with
   * {@code slot} and continuing over its neighbours.
   */
  public Tensor compute(Slot slot, int rows) {
    return engine.view(open(compute), slot.offset(), rows, slot.cols());
  }

  /** Returns the gradient of a matrix as F32. */
  public Tensor gradient(Slot slot) {
    return engine.view(open(gradients), slot.offset(), slot.rows(), slot.cols());
  }

  /** Like {@link #compute(Slot, int)}, but the gradients as F32. */
  public Tensor gradient(Slot slot, int rows) {
    return engine.view(open(gradients), slot.offset(), rows, slot.cols());
  }

  /** Must be called after weights were written: updates the copies in the compute type. */
  public void changed() {
    version++;
    if (compute != weights) {
      engine.copy(open(weights), compute);
    }
  }

  /**
   * Returns the number of calls of {@link #changed()}: values derived from weights are valid for
   * one version.
   */
  public int version() {
    return version;
  }

  public void zeroGradients() {
    engine.fill(open(gradients), 0);
  }

  /** Returns the engine that holds them. */
  public Engine engine() {
    return engine;
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    engine.free(weights);
    if (gradients != null) {
      engine.free(gradients);
    }
    if (compute != weights) {
      engine.free(compute);
    }
  }
}
