package org.tune4j.core.engine;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import java.util.function.LongSupplier;

/**
 * An output head with adapters on slices of rows. Logits and the adapters' gradients are computed
 * in chunks of rows, so that the logits of all rows are never held at once.
 */
final class AdaptedHead {
  private static final int LOGITS_PER_CHUNK = 8 << 20;
  private static final int MIN_ROWS = 16;

  private final Engine engine;
  private final FrozenMatrix head;
  private final List<ProjectionAdapter.Slice> slices;
  private final LongSupplier dropoutSeeds;

  /**
   * Creates a head.
   *
   * @param dropoutSeeds a seed for each application of an adapter; 0 for no dropout
   */
  AdaptedHead(
      Engine engine,
      FrozenMatrix head,
      List<ProjectionAdapter.Slice> slices,
      LongSupplier dropoutSeeds) {
    this.engine = engine;
    this.head = head;
    this.slices = slices;
    this.dropoutSeeds = dropoutSeeds;
  }

  /** Rows {@code [from, to)}, all with the same stack of adapters. */
  private record Part(int from, int to, List<ProjectionAdapter> adapters) {
    int count() {
      return to - from;
    }

    Tensor of(Engine engine, Tensor t) {
      return engine.rows(t, from, count());
    }

    boolean replaced() {
      return !adapters.isEmpty() && adapters.get(0).replacesOutput();
    }

    boolean trains() {
      return adapters.stream().anyMatch(ProjectionAdapter::trainable);
    }
  }

  /** Splits rows at the bounds of slices, and further into chunks. */
  private List<Part> parts(int rows, int chunk) {
    TreeSet<Integer> bounds = new TreeSet<>(List.of(rows));
    for (ProjectionAdapter.Slice s : slices) {
      bounds.add(s.from());
      bounds.add(s.from() + s.count());
    }
    List<Part> parts = new ArrayList<>();
    int from = 0;
    for (int end : bounds.tailSet(0, false)) {
      List<ProjectionAdapter> on = new ArrayList<>();
      for (ProjectionAdapter.Slice s : slices) {
        if (s.from() <= from && end <= s.from() + s.count()) {
          on.add(s.adapter());
        }
      }
      for (; from < end; from = Math.min(end, from + chunk)) {
        parts.add(new Part(from, Math.min(end, from + chunk), on));
      }
    }
    return parts;
  }

  /** Returns logits: F32 {@code [n, vocabulary]}. */
  Tensor logits(Tensor h) {
    Tensor logits = engine.allocate(h.rows(), head.out(), DType.F32);
    for (Part p : parts(h.rows(), h.rows())) {
      Tensor z = forward(p, p.of(engine, h), null);
      engine.copy(z, p.of(engine, logits));
      engine.release(z);
    }
    return logits;
  }

  /**
   * Returns the cross-entropy of each row.
   *
   * @param weights factor of each row's loss in the gradient; null to compute no gradients at all
   * @param dh receives the gradient with respect to {@code h}: compute type {@code [n, in]}; null
   *     if not needed
   * @param between run before each chunk
   */
  float[] loss(Tensor h, int[] targets, float[] weights, Tensor dh, Runnable between) {
    float[] losses = new float[h.rows()];
    for (Part p : parts(h.rows(), Math.max(MIN_ROWS, LOGITS_PER_CHUNK / head.out()))) {
      between.run();
      boolean back = weights != null && (dh != null || p.trains());
      float[] own =
          loss(
              p,
              p.of(engine, h),
              Arrays.copyOfRange(targets, p.from, p.to),
              back ? Arrays.copyOfRange(weights, p.from, p.to) : null,
              dh == null ? null : p.of(engine, dh));
      System.arraycopy(own, 0, losses, p.from, own.length);
    }
    return losses;
  }

  private float[] loss(Part p, Tensor x, int[] targets, float[] weights, Tensor dx) {
    if (p.adapters.isEmpty()) {
      Engine.HeadLoss loss = engine.headLoss(x, head, targets, weights);
      if (weights != null) {
        engine.copy(loss.dHidden(), dx);
        engine.release(loss.dHidden());
      }
      return loss.losses();
    }
    List<Object> states = weights == null ? null : new ArrayList<>();
    Tensor z = forward(p, x, states); // F32 [n, vocabulary]
    Engine.LogitsLoss loss = engine.crossEntropy(z, targets, weights);
    engine.release(z);
    if (weights != null) {
      backward(p, x, loss.dLogits(), states, dx);
      engine.release(loss.dLogits());
    }
    return loss.losses();
  }

  /**
   * Returns logits.
   *
   * @param states receives the state for the backward pass; null if there will be none
   */
  private Tensor forward(Part p, Tensor x, List<Object> states) {
    Tensor z =
        p.replaced()
            ? engine.allocate(x.rows(), head.out(), DType.F32)
            : engine.logits(x, head); // F32 [n, vocabulary]
    for (ProjectionAdapter a : p.adapters) {
      Object state = a.forward(engine, x, z, dropoutSeeds.getAsLong(), states != null);
      if (states != null) {
        states.add(state);
      }
    }
    return z;
  }

  private void backward(Part p, Tensor x, Tensor dz, List<Object> states, Tensor dx) {
    if (dx != null) {
      engine.fill(dx, 0);
    }
    Tensor g = engine.cast(dz, engine.computeType()); // [n, vocabulary]
    boolean rescaled = false;
    for (int i = p.adapters.size() - 1; i >= 0; i--) {
      ProjectionAdapter a = p.adapters.get(i);
      if (a.rescalesOutput()) {
        a.rescaleGradient(engine, states.get(i), x, g);
        rescaled = true;
      }
      a.backward(engine, states.get(i), x, g, dx);
    }
    if (dx != null && !p.replaced()) {
      Tensor exact = rescaled ? engine.cast(g, DType.F32) : dz;
      Tensor own = engine.logitsBackward(exact, head);
      engine.add(own, dx);
      engine.release(own);
      if (exact != dz && exact != g) {
        engine.release(exact);
      }
    }
    if (g != dz) {
      engine.release(g);
    }
  }
}
