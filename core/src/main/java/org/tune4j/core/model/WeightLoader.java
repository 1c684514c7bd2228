package org.tune4j.core.model;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.progress.Progress;

/** Loads weights into an engine, reports progress, and frees all of them together. */
public final class WeightLoader implements AutoCloseable {
  private final Engine engine;
  private final Weights weights;
  private final LoadOptions options;
  private final String work;
  private final long totalBytes;
  private final int bytesPerWeight;
  private final Deque<Runnable> frees = new ArrayDeque<>();
  private final List<StoredTensor> stored = new ArrayList<>();
  private final AtomicInteger users = new AtomicInteger(1);
  private long done;

  WeightLoader(
      Engine engine,
      Weights weights,
      LoadOptions options,
      String work,
      long parameters,
      int bytesPerWeight) {
    this.engine = engine;
    this.weights = weights;
    this.options = options;
    this.work = work;
    this.totalBytes = parameters * bytesPerWeight;
    this.bytesPerWeight = bytesPerWeight;
  }

  /**
   * A tensor as a checkpoint stores it.
   *
   * @param shape dimensions in the file
   * @param source the current values, {@code [out, in]} for matrices, {@code [1, length]} for
   *     vectors
   * @param transposed whether the file has {@code [in, out]}
   */
  record StoredTensor(
      String name, long[] shape, Supplier<MatrixSource> source, boolean transposed) {}

  /** Returns all tensors of the model, in the order in which they were loaded. */
  List<StoredTensor> stored() {
    return stored;
  }

  /** Converts an embedding, {@code [entries, hidden]}. */
  public ProjectionGroup embedding(String name, int entries, int hidden) {
    return table(
        new Projection(
            name,
            -1,
            entries,
            hidden,
            weights.matrix(name + ".weight", entries, hidden),
            null,
            false),
        ProjectionGroup.Use.EMBEDDING,
        entries,
        hidden);
  }

  /** Returns the output head, {@code [vocabulary, hidden]}: the embedding's weights if tied. */
  public ProjectionGroup head(String name, ModelConfig config, ProjectionGroup embedding) {
    return config.tiedHead()
        ? tiedHead(name, embedding)
        : head(name, config.vocabularySize(), config.hiddenSize());
  }

  private ProjectionGroup head(String name, int vocabulary, int hidden) {
    return table(
        new Projection(
            name,
            -1,
            hidden,
            vocabulary,
            weights.matrix(name + ".weight", vocabulary, hidden),
            null,
            false),
        ProjectionGroup.Use.HEAD,
        vocabulary,
        hidden);
  }

  private ProjectionGroup table(Projection p, ProjectionGroup.Use use, int rows, int cols) {
    ProjectionGroup group = new ProjectionGroup(engine, p, use, null);
    frees.push(group::close);
    stored.add(
        new StoredTensor(
            p.name() + ".weight", new long[] {rows, cols}, () -> group.sources().get(0), false));
    advance((long) rows * cols);
    return group;
  }

  private ProjectionGroup tiedHead(String name, ProjectionGroup embedding) {
    Projection e = embedding.members().get(0);
    ProjectionGroup group =
        new ProjectionGroup(
            engine,
            new Projection(name, -1, e.out(), e.in(), e.source(), null, false),
            ProjectionGroup.Use.HEAD,
            embedding);
    frees.push(group::close);
    return group;
  }

  /** Loads a norm's weight or bias: F32 {@code [1, length]}. */
  public Tensor vector(String name, int length) {
    float[] values = weights.vector(name, length);
    Tensor vector = engine.persistent(1, length, DType.F32);
    frees.push(() -> engine.free(vector));
    engine.write(vector, values);
    storeVector(name, values);
    advance(length);
    return vector;
  }

  /** Describes a linear layer stored as {@code [out, in]}. */
  public Projection linear(String name, int layer, int in, int out, boolean bias) {
    return new Projection(
        name,
        layer,
        in,
        out,
        weights.matrix(name + ".weight", out, in),
        bias ? weights.vector(name + ".bias", out) : null,
        false);
  }

  /** Describes a linear layer stored as {@code [in, out]}: GPT-2's Conv1D. */
  public Projection conv1d(String name, int layer, int in, int out) {
    return new Projection(
        name,
        layer,
        in,
        out,
        weights.transposed(name + ".weight", out, in),
        weights.vector(name + ".bias", out),
        true);
  }

  /** Converts projections that share an input. */
  public ProjectionGroup group(Projection... members) {
    ProjectionGroup group = new ProjectionGroup(engine, Arrays.asList(members));
    frees.push(group::close);
    for (int i = 0; i < members.length; i++) {
      Projection p = members[i];
      int row = group.column(i);
      stored.add(
          new StoredTensor(
              p.name() + ".weight",
              p.fanInFanOut() ? new long[] {p.in(), p.out()} : new long[] {p.out(), p.in()},
              () -> new RowBlock(group.weights().source(), row, p.out()),
              p.fanInFanOut()));
      if (p.bias() != null) {
        storeVector(p.name() + ".bias", p.bias());
      }
      advance((long) p.in() * p.out() + (p.bias() == null ? 0 : p.out()));
    }
    return group;
  }

  private void storeVector(String name, float[] values) {
    stored.add(
        new StoredTensor(
            name,
            new long[] {values.length},
            () -> MatrixSource.of(1, values.length, values),
            false));
  }

  /** Rows {@code [from, from + rows)} of a matrix. */
  private record RowBlock(MatrixSource whole, int from, int rows) implements MatrixSource {
    @Override
    public int cols() {
      return whole.cols();
    }

    @Override
    public void read(int row, int count, float[] into) {
      whole.read(from + row, count, into);
    }
  }

  private void advance(long parameters) {
    done += parameters * bytesPerWeight;
    options
        .progress()
        .onProgress(
            new Progress(work, Math.min(done, totalBytes), totalBytes, Progress.Unit.BYTES));
    // interrupts are left to the caller
    if (options.cancelled().getAsBoolean()) {
      throw new CancellationException(work + " was cancelled");
    }
  }

  /** Keeps the files open until {@link #release()}, even if the model is closed in the meantime. */
  void retain() {
    users.incrementAndGet();
  }

  /** Releases the files; the last user closes them. */
  void release() {
    if (users.decrementAndGet() == 0) {
      try {
        weights.close();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  @Override
  public void close() {
    while (!frees.isEmpty()) {
      frees.pop().run();
    }
    release();
  }
}
