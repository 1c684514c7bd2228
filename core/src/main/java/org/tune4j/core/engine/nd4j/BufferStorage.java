package org.tune4j.core.engine.nd4j;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.concurrent.locks.ReentrantLock;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.ShortPointer;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MemoryUsage;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.io.Floats;

/** Tensors in ND4J buffers: allocation, lifetime, and access to their values. */
abstract class BufferStorage implements Engine {
  private final Precision precision;
  private final ReentrantLock lock = new ReentrantLock(true); // fair: generations take turns
  private Arena arena =
      new Arena(); // of the current step; guarded by the lock, like the fields below
  private final List<Arena> arenas = new ArrayList<>(List.of(arena)); // guarded by itself
  private final Deque<Arena> spare = new ArrayDeque<>();
  private final IdentityHashMap<INDArray, Long> persistent = new IdentityHashMap<>();
  private final boolean hostMemory;
  private long weightBytes;
  private boolean closed; // guarded by persistent

  BufferStorage(Precision precision) {
    this.precision = precision;
    hostMemory = Poison.hostMemory();
  }

  @Override
  public final Precision precision() {
    return precision;
  }

  @Override
  public final ReentrantLock lock() {
    return lock;
  }

  // ---- storage

  @Override
  public final BufferTensor allocate(int rows, int cols, DType dtype) {
    Arena.Block block = arena.take((long) rows * cols * dtype.bytes());
    return new BufferTensor(block.slab, block.offset, rows, cols, cols, dtype, block);
  }

  @Override
  public final BufferTensor persistent(int rows, int cols, DType dtype) {
    BufferTensor t = uninitialised(rows, cols, dtype);
    t.slab().assign(0);
    return t;
  }

  /** Returns a tensor outside the arena with unspecified contents. */
  private BufferTensor uninitialised(int rows, int cols, DType dtype) {
    long bytes = (long) rows * cols * dtype.bytes();
    INDArray slab = Arena.slab(bytes);
    Poison.fill(slab, 0, slab.length() * Float.BYTES);
    synchronized (persistent) {
      persistent.put(slab, bytes);
    }
    return new BufferTensor(slab, Arena.firstAligned(slab), rows, cols, cols, dtype, null);
  }

  @Override
  public final void free(Tensor t) {
    INDArray slab = ((BufferTensor) t).slab();
    synchronized (persistent) {
      if (closed) { // close() freed it
        return;
      }
      checkArgument(
          persistent.remove(slab) != null, "%s is not a persistent tensor, or was freed before", t);
    }
    slab.close();
  }

  @Override
  public final void release(Tensor t) {
    Arena.Block block = ((BufferTensor) t).block;
    if (block != null) {
      arena.release(block);
    }
  }

  @Override
  public void resetArena() {
    arena.reset();
  }

  /** Saves the engine's per-step state before another step runs; {@link #takeBack} restores it. */
  protected Object setAside() {
    return null;
  }

  /** Restores what {@link #setAside} returned, replacing the state of another step. */
  protected void takeBack(Object kept) {}

  @Override
  public final void giveWay() {
    if (lock.getHoldCount() != 1 || !lock.hasQueuedThreads()) {
      return;
    }
    Arena mine = arena;
    Object kept = setAside();
    arena = spare.isEmpty() ? added(new Arena()) : spare.pop();
    lock.unlock();
    lock.lock(); // fair: after all threads that wait now
    resetArena();
    spare.push(arena);
    arena = mine;
    takeBack(kept);
  }

  private Arena added(Arena fresh) {
    synchronized (arenas) {
      arenas.add(fresh);
    }
    return fresh;
  }

  @Override
  public void freeArena() {
    resetArena();
    arena.close();
    spare.forEach(Arena::close);
  }

  @Override
  public final MemoryUsage memory() {
    long held;
    synchronized (persistent) {
      held = persistent.values().stream().mapToLong(Long::longValue).sum();
    }
    synchronized (arenas) {
      return new MemoryUsage(
          weightBytes,
          held,
          arena.stepPeak(),
          arenas.stream().mapToLong(Arena::peak).max().orElse(0),
          arenas.stream().mapToLong(Arena::reserved).sum());
    }
  }

  /** The minimum of what JavaCPP's limits and the machine's free memory leave. */
  @Override
  public final long freeMemory() {
    long free = Long.MAX_VALUE;
    if (Pointer.maxBytes() > 0) {
      free = Math.min(free, Pointer.maxBytes() - Pointer.totalBytes());
    }
    if (Pointer.maxPhysicalBytes() > 0) {
      free = Math.min(free, Pointer.maxPhysicalBytes() - Pointer.physicalBytes());
    }
    long machine = Pointer.availablePhysicalBytes();
    return Math.max(0, machine > 0 ? Math.min(free, machine) : free);
  }

  @Override
  public final Tensor rows(Tensor t, int from, int count) {
    if (from == 0 && count == t.rows()) {
      return t;
    }
    checkArgument(
        from >= 0 && count >= 0 && from + count <= t.rows(), "rows %s+%s of %s", from, count, t);
    return ((BufferTensor) t).sub((long) from * t.stride(), count, t.cols(), t.stride());
  }

  @Override
  public final Tensor columns(Tensor t, int from, int count) {
    if (from == 0 && count == t.cols()) {
      return t;
    }
    checkArgument(
        from >= 0 && count >= 0 && from + count <= t.cols(), "columns %s+%s of %s", from, count, t);
    return ((BufferTensor) t).sub(from, t.rows(), count, t.stride());
  }

  @Override
  public final Tensor view(Tensor t, long offset, int rows, int cols) {
    checkArgument(
        t.stride() == t.cols() && offset >= 0 && offset + (long) rows * cols <= t.size(),
        "[%s,%s] at %s of %s",
        rows,
        cols,
        offset,
        t);
    return ((BufferTensor) t).sub(offset, rows, cols, cols);
  }

  @Override
  public final float[] read(Tensor t) {
    float[] values = new float[Math.toIntExact(t.size())];
    read(t, values);
    return values;
  }

  /** Copies the values to the start of {@code into}. */
  protected final void read(Tensor t, float[] into) {
    BufferTensor b = (BufferTensor) t;
    if (!hostMemory) {
      float[] values = b.array().dup('c').data().asFloat();
      System.arraycopy(values, 0, into, 0, Math.toIntExact(t.size()));
      return;
    }
    int runs = b.stride() == b.cols() ? 1 : b.rows();
    int length = Math.toIntExact(b.size()) / Math.max(1, runs);
    if (length == 0) {
      return;
    }
    if (b.dtype() == DType.F32) {
      FloatPointer p = new FloatPointer(b.slab().data().pointer());
      for (int r = 0; r < runs; r++) {
        p.position(b.offset() / Float.BYTES + (long) r * b.stride()).get(into, r * length, length);
      }
    } else {
      ShortPointer p = new ShortPointer(b.slab().data().pointer());
      short[] bits = new short[length];
      for (int r = 0; r < runs; r++) {
        p.position(b.offset() / Short.BYTES + (long) r * b.stride()).get(bits, 0, length);
        for (int i = 0; i < length; i++) {
          into[r * length + i] = Float.intBitsToFloat(bits[i] << 16);
        }
      }
    }
  }

  @Override
  public final void write(Tensor t, float[] values) {
    checkArgument(values.length >= t.size(), "%s values for %s", values.length, t);
    BufferTensor b = (BufferTensor) t;
    if (!hostMemory) {
      b.array().assign(Nd4j.create(values, new long[] {t.rows(), t.cols()}, 'c'));
      return;
    }
    int runs = b.stride() == b.cols() ? 1 : b.rows();
    int length = Math.toIntExact(b.size()) / Math.max(1, runs);
    if (length == 0) {
      return;
    }
    if (b.dtype() == DType.F32) {
      FloatPointer p = new FloatPointer(b.slab().data().pointer());
      for (int r = 0; r < runs; r++) {
        p.position(b.offset() / Float.BYTES + (long) r * b.stride())
            .put(values, r * length, length);
      }
    } else {
      ShortPointer p = new ShortPointer(b.slab().data().pointer());
      short[] bits = new short[length];
      for (int r = 0; r < runs; r++) {
        for (int i = 0; i < length; i++) {
          bits[i] = Floats.toBf16(values[r * length + i]);
        }
        p.position(b.offset() / Short.BYTES + (long) r * b.stride()).put(bits, 0, length);
      }
    }
  }

  @Override
  public final INDArray toArray(Tensor t) {
    return Nd4j.create(read(t), new long[] {t.rows(), t.cols()}, 'c');
  }

  @Override
  public final void write(Tensor t, INDArray values) {
    checkArgument(values.length() == t.size(), "%s values for %s", values.length(), t);
    write(t, values.dup('c').data().asFloat());
  }

  @Override
  public void fill(Tensor t, float value) {
    float[] values = new float[Math.toIntExact(t.size())];
    if (value != 0) {
      Arrays.fill(values, value);
    }
    write(t, values);
  }

  @Override
  public void copy(Tensor from, Tensor to) {
    write(to, read(from));
  }

  @Override
  public Tensor cast(Tensor t, DType dtype) {
    if (t.dtype() == dtype && t.stride() == t.cols()) {
      return t;
    }
    Tensor out = allocate(t.rows(), t.cols(), dtype);
    copy(t, out);
    return out;
  }

  /** Allocates a tensor and fills it. */
  protected final Tensor make(int rows, int cols, DType dtype, float[] values) {
    Tensor t = allocate(rows, cols, dtype);
    write(t, values);
    return t;
  }

  @Override
  public final Tensor gatherRows(Tensor x, int[] index) {
    Tensor out = allocate(index.length, x.cols(), x.dtype());
    for (int i = 0; i < index.length; i++) {
      copyRow(x, checkRow(index[i], x.rows()), out, i);
    }
    return out;
  }

  private void copyRow(Tensor from, int i, Tensor to, int j) {
    BufferTensor a = (BufferTensor) from;
    BufferTensor b = (BufferTensor) to;
    if (!hostMemory) {
      b.array().getRow(j).assign(a.array().getRow(i));
      return;
    }
    int bytes = a.dtype().bytes();
    Pointer.memcpy(
        new Address(b.address() + (long) j * b.stride() * bytes),
        new Address(a.address() + (long) i * a.stride() * bytes),
        (long) a.cols() * bytes);
  }

  /** Returns the row after checking that it exists. */
  static int checkRow(int row, int rows) {
    checkArgument(row >= 0 && row < rows, "row %s of %s", row, rows);
    return row;
  }

  @Override
  public final void scatterRows(Tensor from, int[] index, Tensor to) {
    for (int i = 0; i < index.length; i++) {
      copyRow(from, i, to, index[i]);
    }
  }

  // ---- frozen weights

  /** Returns floats with unspecified contents for frozen weights; freed by {@link #freeWeights}. */
  final BufferTensor weights(int floats) {
    BufferTensor t = uninitialised(1, floats, DType.F32);
    synchronized (persistent) {
      persistent.put(t.slab(), 0L); // counted in weightBytes
    }
    weightBytes += t.size() * Float.BYTES;
    return t;
  }

  /** Frees what {@link #weights} returned. */
  final void freeWeights(Tensor t) {
    free(t);
    weightBytes -= t.size() * Float.BYTES;
  }

  @Override
  public void close() {
    synchronized (arenas) {
      arenas.forEach(Arena::close); // also those of steps that are giving way
    }
    synchronized (persistent) {
      closed = true;
      persistent.keySet().forEach(INDArray::close);
      persistent.clear();
    }
  }
}
