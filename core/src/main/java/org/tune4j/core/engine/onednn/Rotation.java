package org.tune4j.core.engine.onednn;

import static com.google.common.base.Preconditions.checkArgument;
import static org.bytedeco.dnnl.global.dnnl.*;
import static org.tune4j.core.engine.onednn.Matrices.at;
import static org.tune4j.core.engine.onednn.Matrices.blocks;
import static org.tune4j.core.engine.onednn.Matrices.type;

import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;

/** Rotary position embedding. */
final class Rotation {
  private final OneDnnEngine engine;
  private final Dnnl dnnl;
  private Angles angles; // of the step, in its arena

  Rotation(OneDnnEngine engine, Dnnl dnnl) {
    this.engine = engine;
    this.dnnl = dnnl;
  }

  /** Ends a step. */
  void forget() {
    angles = null;
  }

  /** Cosines and sines for each row of a step: F32 {@code [n, half]}. */
  private record Angles(
      RopeTable table, int[] positions, Tensor cos, Tensor sin, Tensor minusSin) {}

  private Angles angles(RopeTable table, int[] positions) {
    if (angles == null || !angles.table.equals(table) || angles.positions != positions) {
      int half = table.half();
      float[] cos = new float[positions.length * half];
      float[] sin = new float[cos.length];
      float[] minus = new float[cos.length];
      for (int r = 0; r < positions.length; r++) {
        checkArgument(
            positions[r] >= 0 && positions[r] < table.positions(),
            "position %s of a table of %s",
            positions[r],
            table.positions());
        System.arraycopy(table.cos(), positions[r] * half, cos, r * half, half);
        System.arraycopy(table.sin(), positions[r] * half, sin, r * half, half);
      }
      for (int i = 0; i < sin.length; i++) {
        minus[i] = -sin[i];
      }
      int n = positions.length;
      angles =
          new Angles(
              table,
              positions,
              engine.filled(n, half, cos),
              engine.filled(n, half, sin),
              engine.filled(n, half, minus));
    }
    return angles;
  }

  void rope(Tensor x, RopeTable table, int[] positions, boolean inverse) {
    Angles angle = angles(table, positions);
    Tensor sin = inverse ? angle.minusSin : angle.sin;
    Tensor minusSin = inverse ? angle.sin : angle.minusSin;
    long half = table.half();
    long heads = x.cols() / (2 * half);
    Tensor parts = engine.allocate(2 * x.rows(), x.cols() / 2, DType.F32); // [2, n, heads, half]
    Tensor turned = engine.allocate(2 * x.rows(), x.cols() / 2, DType.F32);
    blocks(
        x.rows(),
        (r, n) -> {
          long[] dims = {n, heads, 2, half};
          Md packed = Md.of(type(x.dtype()), dims, new long[] {x.stride(), 2 * half, half, 1});
          Md split = Md.of(dnnl_f32, dims, new long[] {heads * half, half, n * heads * half, 1});
          long first = at(parts, 2L * r);
          long second = first + 4L * n * heads * half;
          long firstTurned = at(turned, 2L * r);
          long secondTurned = firstTurned + 4L * n * heads * half;
          dnnl.run(Spec.of(Kind.REORDER, packed, split), at(x, r), first);
          Md plane =
              Md.of(dnnl_f32, new long[] {n, heads, half}, new long[] {heads * half, half, 1});
          Md angleMd = Md.of(dnnl_f32, new long[] {n, 1, half}, new long[] {half, half, 1});
          Spec times = Spec.of(Kind.BINARY, dnnl_binary_mul, 0, plane, angleMd, plane);
          Spec timesPlus = times.then(PostOp.sum());
          // (a, b) -> (a cos - b sin, b cos + a sin)
          dnnl.run(times, second, at(minusSin, r), firstTurned);
          dnnl.run(timesPlus, first, at(angle.cos, r), firstTurned);
          dnnl.run(times, first, at(sin, r), secondTurned);
          dnnl.run(timesPlus, second, at(angle.cos, r), secondTurned);
          dnnl.run(Spec.of(Kind.REORDER, split, packed), firstTurned, at(x, r));
        });
    engine.release(parts);
    engine.release(turned);
  }
}
