package org.tune4j.core.engine;

import static com.google.common.base.Preconditions.checkState;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import java.util.function.UnaryOperator;

/**
 * Runs operations on an {@link Engine} and, if recording, remembers how to differentiate them
 * (reverse-mode differentiation). Model code is written once against it, in forward form.
 *
 * <p>A tensor is <em>active</em> if it depends on a trainable adapter; gradients flow only to
 * active tensors, so none are computed below the lowest adapter. A gradient has the type of its
 * tensor: F32 along the residual stream, compute type elsewhere.
 *
 * <p>A tape serves one step: forward, {@link #backward()}, then the caller resets the engine's
 * arena. Not thread-safe.
 *
 * <p>The file is long because each operation stands beside its derivative, and all operations that
 * a model may use are in one place.
 */
public final class Tape {
  /** What a tape keeps for the backward pass. */
  public enum Mode {
    /** Nothing: generation and evaluation. */
    INFERENCE,
    /** Every activation that backward needs. */
    RECORDING,
    /**
     * Only the input of each {@link #layer}, which is recomputed in the backward pass (Chen et al.
     * 2016): about a third more time for a fraction of the memory.
     */
    CHECKPOINTING
  }

  private final Engine engine;
  private final Mode mode;
  private final boolean dropout;
  private final List<Runnable> backward = new ArrayList<>();
  private final IdentityHashMap<Tensor, Tensor> gradients = new IdentityHashMap<>();
  private final Set<Tensor> active = Collections.newSetFromMap(new IdentityHashMap<>());
  private final List<Tensor> owned = new ArrayList<>();
  private Runnable pause = () -> {};
  private long seed;

  private Tape(Engine engine, Mode mode, boolean dropout, long seed) {
    this.engine = engine;
    this.mode = mode;
    this.dropout = dropout;
    this.seed = seed;
  }

  /** Returns a tape that records nothing. */
  public static Tape inference(Engine engine) {
    return new Tape(engine, Mode.INFERENCE, false, 0);
  }

  /** Returns a recording tape without dropout. */
  public static Tape recording(Engine engine) {
    return new Tape(engine, Mode.RECORDING, false, 0);
  }

  /** Returns a tape for a training step; {@code seed} determines its dropout masks. */
  public static Tape training(Engine engine, Mode mode, long seed) {
    return new Tape(engine, mode, true, seed);
  }

  /**
   * Sets a callback between operations, forward and backward: it may {@linkplain Engine#giveWay let
   * other steps run}, and abort this step by an exception.
   */
  public Tape pausing(Runnable value) {
    pause = value;
    return this;
  }

  /** Returns the engine that operations run on. */
  public Engine engine() {
    return engine;
  }

  private boolean records() {
    return mode != Mode.INFERENCE;
  }

  private boolean records(Tensor x) {
    return records() && active.contains(x);
  }

  /** Registers the result of an operation with this tape. */
  private Tensor own(Tensor t) {
    owned.add(t);
    pause.run();
    return t;
  }

  private Tensor derive(Tensor from, Tensor to) {
    if (active.contains(from)) {
      active.add(to);
    }
    return own(to);
  }

  /** Removes and returns the gradient of {@code y}; null if nothing downstream used {@code y}. */
  private Tensor take(Tensor y) {
    return gradients.remove(y);
  }

  private void accumulate(Tensor x, Tensor gradient) {
    Tensor present = gradients.get(x);
    if (present == null) {
      gradients.put(x, gradient);
    } else {
      engine.add(gradient, present);
      engine.release(gradient);
    }
  }

  /**
   * Rows of an embedding table.
   *
   * @param table {@code [entries, hidden]}
   * @param ids which rows
   * @param slices adapters of the table, in order
   */
  public record Lookup(FrozenMatrix table, int[] ids, List<EmbeddingAdapter.Slice> slices) {
    private boolean trains() {
      return slices.stream().anyMatch(s -> s.adapter().trainable());
    }

    private boolean rescales() {
      return slices.stream().anyMatch(s -> s.adapter().rescalesRows());
    }

    private int[] ids(EmbeddingAdapter.Slice s) {
      return Arrays.copyOfRange(ids, s.from(), s.from() + s.count());
    }
  }

  /** Returns the sum of rows of embedding tables: F32 {@code [ids.length, hidden]}. */
  public Tensor embed(Lookup... lookups) {
    Tensor x = null; // [n, hidden]
    boolean trains = Arrays.stream(lookups).anyMatch(Lookup::trains);
    boolean record = records() && trains;
    List<List<Object>> states = new ArrayList<>();
    for (Lookup l : lookups) {
      Tensor rows = engine.embed(l.table, l.ids);
      List<Object> own = new ArrayList<>();
      for (EmbeddingAdapter.Slice s : l.slices) {
        Tensor changed = engine.rows(rows, s.from(), s.count());
        own.add(s.adapter().forward(engine, l.ids(s), changed, record));
      }
      states.add(own);
      if (x == null) {
        x = rows;
      } else {
        engine.add(rows, x);
        engine.release(rows);
      }
    }
    own(x);
    if (trains) {
      active.add(x);
    }
    if (record) {
      Tensor embedded = x;
      backward.add(
          () -> {
            Tensor dx = take(embedded);
            if (dx != null) {
              for (int i = 0; i < lookups.length; i++) {
                embedBackward(lookups[i], states.get(i), dx);
              }
              engine.release(dx);
            }
            engine.release(embedded);
          });
    }
    return x;
  }

  private void embedBackward(Lookup l, List<Object> states, Tensor dx) {
    Tensor g = dx;
    if (l.rescales()) { // modified in place, but other tables have the same gradient
      g = engine.allocate(dx.rows(), dx.cols(), dx.dtype());
      engine.copy(dx, g);
    }
    for (int i = l.slices.size() - 1; i >= 0; i--) {
      EmbeddingAdapter.Slice s = l.slices.get(i);
      if (s.adapter().trainable() || s.adapter().rescalesRows()) {
        Tensor own = engine.rows(g, s.from(), s.count());
        s.adapter().backward(engine, states.get(i), l.ids(s), own);
      }
    }
    if (g != dx) {
      engine.release(g);
    }
  }

  /** Returns {@link Engine#rmsNorm}: compute type. */
  public Tensor rmsNorm(Tensor x, Tensor weight, float eps) {
    Engine.Normed normed = engine.rmsNorm(x, weight, eps);
    return norm(
        x,
        normed,
        (dy, dx, add) -> engine.rmsNormBackward(x, weight, eps, normed.stats(), dy, dx, add));
  }

  /** Returns {@link Engine#layerNorm}: compute type. */
  public Tensor layerNorm(Tensor x, Tensor weight, Tensor bias, float eps) {
    Engine.Normed normed = engine.layerNorm(x, weight, bias, eps);
    return norm(
        x,
        normed,
        (dy, dx, add) -> engine.layerNormBackward(x, weight, eps, normed.stats(), dy, dx, add));
  }

  private interface NormBackward {
    void apply(Tensor dy, Tensor dx, boolean accumulate);
  }

  private Tensor norm(Tensor x, Engine.Normed normed, NormBackward formula) {
    Tensor y = derive(x, normed.y());
    if (normed.stats() != null) {
      own(normed.stats());
    }
    if (records(x)) {
      backward.add(
          () -> {
            Tensor dy = take(y);
            if (dy != null) {
              Tensor dx = gradients.get(x);
              if (dx == null) {
                dx = engine.allocate(x.rows(), x.cols(), DType.F32);
                gradients.put(x, dx);
                formula.apply(dy, dx, false);
              } else {
                formula.apply(dy, dx, true);
              }
              engine.release(dy);
            }
            engine.release(y);
            if (normed.stats() != null) {
              engine.release(normed.stats());
            }
          });
    }
    return y;
  }

  /**
   * Returns {@code x W^T + bias (+ residual)} with adapters applied on their slices of rows,
   * several on one slice in order.
   *
   * @return {@code [n, out]}: F32 with a residual, else compute type
   */
  public Tensor project(
      Tensor x, FrozenMatrix w, Tensor residual, List<ProjectionAdapter.Slice> slices) {
    AdaptedLinear linear = new AdaptedLinear(engine, w, slices);
    boolean yActive =
        linear.trains() || active.contains(x) || (residual != null && active.contains(residual));
    boolean record = records() && yActive;
    Tensor y = own(linear.forward(x, residual, this::dropoutSeed, record)); // [n, out]
    if (yActive) {
      active.add(y);
    }
    if (record) {
      backward.add(() -> projectBackward(x, residual, linear, y));
    }
    return y;
  }

  private void projectBackward(Tensor x, Tensor residual, AdaptedLinear linear, Tensor y) {
    Tensor dy = take(y);
    if (dy != null) {
      boolean intoX = active.contains(x);
      boolean intoResidual = residual != null && active.contains(residual);
      if (intoX || linear.trains()) {
        Tensor dx = linear.backward(x, dy, intoX, intoResidual);
        if (intoX) {
          accumulate(x, dx);
        }
      }
      if (intoResidual) {
        accumulate(residual, dy); // the residual branch passes the gradient on unchanged
      } else {
        engine.release(dy);
      }
    }
    engine.release(y);
  }

  private long dropoutSeed() {
    return dropout ? nextSeed() : 0;
  }

  private long nextSeed() {
    // mixed rather than a counter: engines count up from a seed, so that masks of nearby seeds
    // would be shifted copies of each other
    long next = SplitMix64.at(seed, 1);
    seed += SplitMix64.GAMMA;
    return next == 0 ? 1 : next;
  }

  /** Normalises the query and key heads of a packed {@code qkv} in place (Qwen3). */
  public void headNorm(
      Tensor qkv, AttentionShape shape, Tensor qWeight, Tensor kWeight, float eps) {
    Tensor q = engine.headNorm(engine.columns(qkv, 0, shape.queryCols()), qWeight, eps);
    Tensor k =
        engine.headNorm(engine.columns(qkv, shape.queryCols(), shape.kvCols()), kWeight, eps);
    own(q);
    own(k);
    if (records(qkv)) {
      backward.add(
          () -> {
            Tensor d = gradients.get(qkv);
            if (d != null) {
              engine.headNormBackward(q, qWeight, eps, engine.columns(d, 0, shape.queryCols()));
              engine.headNormBackward(
                  k, kWeight, eps, engine.columns(d, shape.queryCols(), shape.kvCols()));
            }
            engine.release(q);
            engine.release(k);
          });
    }
  }

  /** Rotates the query and key heads of a packed {@code qkv} in place. */
  public void rope(Tensor qkv, AttentionShape shape, RopeTable table, int[] positions) {
    int cols = shape.queryCols() + shape.kvCols();
    engine.rope(engine.columns(qkv, 0, cols), table, positions, false);
    if (records(qkv)) {
      backward.add(
          () -> {
            Tensor d = gradients.get(qkv);
            if (d != null) {
              engine.rope(engine.columns(d, 0, cols), table, positions, true);
            }
          });
    }
  }

  /**
   * Returns self-attention over a packed {@code qkv}: compute type {@code [n, heads * headDim]}.
   */
  public Tensor attention(Tensor qkv, Spans spans, AttentionShape shape) {
    boolean record = records(qkv);
    Tensor q = engine.columns(qkv, 0, shape.queryCols());
    Tensor k = engine.columns(qkv, shape.queryCols(), shape.kvCols());
    Tensor v = engine.columns(qkv, shape.queryCols() + shape.kvCols(), shape.kvCols());
    Engine.Attended attended = engine.attention(q, k, v, spans, shape, record);
    Tensor y = derive(qkv, attended.out());
    owned.addAll(attended.saved());
    if (record) {
      backward.add(
          () -> {
            Tensor dy = take(y);
            if (dy != null) {
              Tensor d = engine.allocate(qkv.rows(), qkv.cols(), qkv.dtype());
              engine.attentionBackward(
                  q,
                  k,
                  v,
                  spans,
                  shape,
                  attended,
                  dy,
                  engine.columns(d, 0, shape.queryCols()),
                  engine.columns(d, shape.queryCols(), shape.kvCols()),
                  engine.columns(d, shape.queryCols() + shape.kvCols(), shape.kvCols()));
              engine.release(dy);
              accumulate(qkv, d);
            }
            attended.saved().forEach(engine::release);
            engine.release(y);
          });
    }
    return y;
  }

  /**
   * Stores keys and values of a packed {@code qkv} in rows {@code cacheRows} of a cache layer, then
   * attends to the cache. For inference.
   */
  public Tensor cachedAttention(
      Tensor qkv, KvCache cache, int layer, int[] cacheRows, Spans spans, AttentionShape shape) {
    checkState(mode == Mode.INFERENCE, "a key/value cache is for inference");
    engine.scatterRows(
        engine.columns(qkv, shape.queryCols(), shape.kvCols()), cacheRows, cache.keys(layer));
    engine.scatterRows(
        engine.columns(qkv, shape.queryCols() + shape.kvCols(), shape.kvCols()),
        cacheRows,
        cache.values(layer));
    Tensor q = engine.columns(qkv, 0, shape.queryCols());
    return own(
        engine.attention(q, cache.keys(layer), cache.values(layer), spans, shape, false).out());
  }

  /** Returns {@link Engine#gelu}. */
  public Tensor gelu(Tensor x, boolean tanh) {
    return elementwise(x, engine.gelu(x, tanh), dy -> engine.geluBackward(x, tanh, dy));
  }

  /** Returns {@link Engine#swiglu}. */
  public Tensor swiglu(Tensor gateUp) {
    return elementwise(gateUp, engine.swiglu(gateUp), dy -> engine.swigluBackward(gateUp, dy));
  }

  /** Returns {@code factor * x} in the type of {@code x}; {@code x} itself if the factor is 1. */
  public Tensor scale(Tensor x, float factor) {
    return factor == 1 ? x : elementwise(x, scaled(x, factor), dy -> scaled(dy, factor));
  }

  private Tensor scaled(Tensor x, float factor) {
    Tensor y = engine.allocate(x.rows(), x.cols(), x.dtype());
    engine.copy(x, y);
    engine.scale(y, factor);
    return y;
  }

  private Tensor elementwise(Tensor x, Tensor y, UnaryOperator<Tensor> formula) {
    derive(x, y);
    if (records(x)) {
      backward.add(
          () -> {
            Tensor dy = take(y);
            if (dy != null) {
              accumulate(x, formula.apply(dy));
              engine.release(dy);
            }
            engine.release(y);
          });
    }
    return y;
  }

  /** Returns rows {@code index} of an F32 tensor; the indices are distinct. */
  public Tensor selectRows(Tensor x, int[] index) {
    Tensor y = derive(x, engine.gatherRows(x, index));
    if (records(x)) {
      backward.add(
          () -> {
            Tensor dy = take(y);
            if (dy != null) {
              Tensor dx = engine.allocate(x.rows(), x.cols(), x.dtype());
              engine.fill(dx, 0);
              engine.scatterAddRows(dy, index, dx);
              engine.release(dy);
              accumulate(x, dx);
            }
            engine.release(y);
          });
    }
    return y;
  }

  /**
   * Returns the cross-entropy of each row in nats. If recording, {@link #backward()} differentiates
   * {@code sum(weights * losses)}.
   *
   * @param slices adapters of the head on their rows of {@code h}. Their gradients are computed
   *     here already, chunk by chunk, so that the logits of all rows are never held
   */
  public float[] headLoss(
      Tensor h,
      FrozenMatrix head,
      List<ProjectionAdapter.Slice> slices,
      int[] targets,
      float[] weights) {
    boolean intoH = records(h);
    if (slices.isEmpty()) {
      Engine.HeadLoss loss = engine.headLoss(h, head, targets, intoH ? weights : null, pause);
      if (intoH) {
        accumulate(h, loss.dHidden());
      }
      return loss.losses();
    }
    Tensor dh = intoH ? engine.allocate(h.rows(), h.cols(), engine.computeType()) : null;
    float[] losses = adapted(head, slices).loss(h, targets, records() ? weights : null, dh, pause);
    if (intoH) {
      accumulate(h, dh);
    }
    return losses;
  }

  /** Returns the logits of a head with adapters: F32 {@code [n, vocabulary]}. For few rows. */
  public Tensor logits(Tensor h, FrozenMatrix head, List<ProjectionAdapter.Slice> slices) {
    return slices.isEmpty() ? engine.logits(h, head) : adapted(head, slices).logits(h);
  }

  private AdaptedHead adapted(FrozenMatrix head, List<ProjectionAdapter.Slice> slices) {
    return new AdaptedHead(engine, head, slices, this::dropoutSeed);
  }

  /**
   * Runs one layer of a model. In inference, everything that it allocated except its result is
   * released; when checkpointing, only {@code x} and the result are kept.
   */
  public Tensor layer(Tensor x, java.util.function.BiFunction<Tape, Tensor, Tensor> body) {
    if (mode == Mode.RECORDING) {
      return body.apply(this, x);
    }
    Tape inner = new Tape(engine, Mode.INFERENCE, dropout, seed).pausing(pause);
    if (active.contains(x)) {
      inner.active.add(x);
    }
    long seedBefore = seed;
    Tensor y = body.apply(inner, x);
    seed = inner.seed;
    inner.owned.stream().filter(t -> t != y && t != x).forEach(engine::release);
    if (inner.active.contains(y)) {
      active.add(y);
    }
    own(y);
    if (mode == Mode.CHECKPOINTING && active.contains(y)) {
      backward.add(
          () -> {
            Tensor dy = take(y);
            engine.release(y);
            if (dy == null) {
              return;
            }
            Tape again = new Tape(engine, Mode.RECORDING, dropout, seedBefore).pausing(pause);
            boolean intoX = active.contains(x);
            if (intoX) {
              again.active.add(x);
            }
            Tensor y2 = body.apply(again, x);
            again.gradients.put(y2, dy);
            again.backward();
            Tensor dx = again.gradients.get(x);
            if (intoX && dx != null) {
              accumulate(x, dx);
            }
          });
    } else if (mode == Mode.INFERENCE && x != y && owned.remove(x)) {
      engine.release(x);
    }
    return y;
  }

  /**
   * Runs the recorded backward operations in reverse, adding gradients of parameters to their
   * buffers.
   *
   * @throws IllegalStateException if nothing was recorded
   */
  public void backward() {
    checkState(mode != Mode.INFERENCE, "an inference tape has no backward pass");
    for (int i = backward.size() - 1; i >= 0; i--) {
      backward.get(i).run();
      pause.run();
    }
    backward.clear();
  }
}
