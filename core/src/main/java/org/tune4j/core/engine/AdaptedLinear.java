package org.tune4j.core.engine;

import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;

/**
 * A linear layer with frozen weights and adapters on slices of its rows, in order where several
 * share a slice, with their state between the forward and the backward pass.
 */
final class AdaptedLinear {
  private final Engine engine;
  private final FrozenMatrix w;
  private final List<ProjectionAdapter.Slice> slices;
  private final List<Object> states = new ArrayList<>();
  private final boolean rescales;
  private final boolean trains;

  AdaptedLinear(Engine engine, FrozenMatrix w, List<ProjectionAdapter.Slice> slices) {
    this.engine = engine;
    this.w = w;
    this.slices = slices;
    rescales = slices.stream().anyMatch(s -> s.adapter().rescalesOutput());
    trains = slices.stream().anyMatch(s -> s.adapter().trainable());
  }

  /** Returns whether any of the adapters is trained. */
  boolean trains() {
    return trains;
  }

  /**
   * Returns {@code x W^T + bias (+ residual)} with the adapters applied: {@code [n, out]}.
   *
   * @param seeds a dropout seed for each adapter
   * @param record whether {@link #backward} may follow
   */
  Tensor forward(Tensor x, Tensor residual, LongSupplier seeds, boolean record) {
    boolean residualLater = residual != null && rescales;
    Tensor y = engine.linear(x, w, residualLater ? null : residual); // [n, out]
    for (ProjectionAdapter.Slice s : slices) {
      long seed = seeds.getAsLong();
      states.add(s.adapter().forward(engine, rows(x, s), rows(y, s), seed, record));
    }
    if (!residualLater) {
      return y;
    }
    Tensor out = engine.allocate(y.rows(), y.cols(), DType.F32);
    engine.copy(residual, out);
    engine.add(y, out);
    engine.release(y);
    return out;
  }

  /**
   * Adds to the adapters' gradients and returns the gradient with respect to {@code x}, or null if
   * {@code !intoX}.
   *
   * @param keep whether {@code dy} must not be modified
   */
  Tensor backward(Tensor x, Tensor dy, boolean intoX, boolean keep) {
    Tensor g = engine.cast(dy, engine.computeType()); // [n, out]
    if (rescales && keep && g == dy) {
      g = engine.allocate(dy.rows(), dy.cols(), dy.dtype());
      engine.copy(dy, g);
    }
    // an adapter needs the gradient of its own output: in a stack, before one below rescales it
    boolean interleaved = rescales && stacked();
    Tensor dx = null; // [n, in]
    if (intoX && interleaved) {
      dx = engine.allocate(x.rows(), x.cols(), engine.computeType());
      engine.fill(dx, 0);
    }
    for (int i = slices.size() - 1; i >= 0; i--) {
      ProjectionAdapter.Slice s = slices.get(i);
      if (s.adapter().rescalesOutput()) {
        s.adapter().rescaleGradient(engine, states.get(i), rows(x, s), rows(g, s));
      }
      if (interleaved) {
        adapterBackward(i, x, g, dx);
      }
    }
    if (intoX) {
      Tensor own = engine.linearBackward(g, w);
      if (dx != null) {
        engine.add(dx, own);
        engine.release(dx);
      }
      dx = own;
    }
    for (int i = slices.size() - 1; i >= 0 && !interleaved; i--) {
      adapterBackward(i, x, g, dx);
    }
    if (g != dy) {
      engine.release(g);
    }
    return dx;
  }

  private void adapterBackward(int i, Tensor x, Tensor dy, Tensor dx) {
    ProjectionAdapter.Slice s = slices.get(i);
    s.adapter()
        .backward(engine, states.get(i), rows(x, s), rows(dy, s), dx == null ? null : rows(dx, s));
  }

  private Tensor rows(Tensor t, ProjectionAdapter.Slice s) {
    return engine.rows(t, s.from(), s.count());
  }

  /** Returns whether any row has several adapters. */
  private boolean stacked() {
    for (int i = 1; i < slices.size(); i++) {
      ProjectionAdapter.Slice before = slices.get(i - 1);
      if (slices.get(i).from() < before.from() + before.count()) {
        return true;
      }
    }
    return false;
  }
}
