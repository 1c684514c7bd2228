package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Parameters.Slot;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.ProjectionGroup;

/**
 * The frozen initial values {@code s B0 A0} ({@link BasePart}) that an adapter moves out of a
 * group's base weights. As the base's weights are shared, they are not modified; the parts are
 * subtracted from the output instead.
 */
final class Residual {
  /** The part of a module. */
  private record Moved(Target target, Slot a, Slot b) {}

  private final ProjectionGroup group;
  private final Parameters parameters;
  private final ImmutableList<Moved> parts;
  private final int rankSum;

  /**
   * Copies the parts into the engine.
   *
   * @param moved one for each target, in order
   */
  Residual(Engine engine, ProjectionGroup group, List<Target> targets, List<Factors> moved) {
    this.group = group;
    Parameters.Builder builder = Parameters.builder(engine);
    List<Slot> a = new ArrayList<>();
    for (int i = 0; i < targets.size(); i++) {
      a.add(builder.add("A" + i, moved.get(i).rank(), group.in()));
    }
    ImmutableList.Builder<Moved> all = ImmutableList.builder();
    for (int i = 0; i < targets.size(); i++) {
      Slot b = builder.add("B" + i, targets.get(i).projection().out(), moved.get(i).rank());
      all.add(new Moved(targets.get(i), a.get(i), b));
    }
    parts = all.build();
    rankSum = moved.stream().mapToInt(Factors::rank).sum();
    parameters = builder.build(false);
    for (int i = 0; i < targets.size(); i++) {
      engine.write(parameters.weight(parts.get(i).a), moved.get(i).a());
      engine.write(parameters.weight(parts.get(i).b), moved.get(i).b());
    }
    parameters.changed();
  }

  /** Returns the part of the {@code i}th target. */
  Factors moved(int i) {
    Moved p = parts.get(i);
    Engine e = parameters.engine();
    return new Factors(p.a.rows(), e.read(parameters.weight(p.a)), e.read(parameters.weight(p.b)));
  }

  /** Returns the part of a target. */
  Factors moved(Target target) {
    for (int i = 0; i < parts.size(); i++) {
      if (parts.get(i).target.equals(target)) {
        return moved(i);
      }
    }
    throw new IllegalArgumentException(target.name());
  }

  private Tensor stackedA() {
    return parameters.compute(parts.get(0).a, rankSum);
  }

  private Tensor columns(Engine e, Tensor y, Target t) {
    return e.columns(y, group.column(t.member()), t.projection().out());
  }

  /** {@code y -= s B0 A0 x} for all targets. */
  void subtract(Engine e, Tensor x, Tensor y) {
    Tensor u = e.allocate(x.rows(), rankSum, e.computeType());
    e.gemm(1, x, false, stackedA(), true, 0, u); // [n, rankSum]
    int column = 0;
    for (Moved p : parts) {
      Tensor own = e.columns(u, column, p.a.rows());
      Tensor out = columns(e, y, p.target);
      e.gemm(-p.target.scale(), own, false, parameters.compute(p.b), true, 1, out);
      column += p.a.rows();
    }
    e.release(u);
  }

  /** {@code dx -= s A0' B0' dy} for all targets. */
  void subtractBackward(Engine e, Tensor dy, Tensor dx) {
    Tensor du = e.allocate(dy.rows(), rankSum, e.computeType());
    int column = 0;
    for (Moved p : parts) {
      Tensor own = e.columns(du, column, p.a.rows());
      Tensor d = columns(e, dy, p.target);
      e.gemm(-p.target.scale(), d, false, parameters.compute(p.b), false, 0, own);
      column += p.a.rows();
    }
    e.gemm(1, du, false, stackedA(), false, 1, dx);
    e.release(du);
  }

  /** {@code y -= s B0 A0 x} for the {@code i}th target; {@code y} is {@code [n, out]}. */
  void subtract(Engine e, int i, Tensor x, Tensor y) {
    Moved p = parts.get(i);
    Tensor u = e.allocate(x.rows(), p.a.rows(), e.computeType());
    e.gemm(1, x, false, parameters.compute(p.a), true, 0, u);
    e.gemm(-p.target.scale(), u, false, parameters.compute(p.b), true, 1, y);
    e.release(u);
  }

  /** {@code dx -= s A0' B0' dy} for the {@code i}th target. */
  void subtractBackward(Engine e, int i, Tensor dy, Tensor dx) {
    Moved p = parts.get(i);
    Tensor du = e.allocate(dy.rows(), p.a.rows(), e.computeType());
    e.gemm(-p.target.scale(), dy, false, parameters.compute(p.b), false, 0, du);
    e.gemm(1, du, false, parameters.compute(p.a), false, 1, dx);
    e.release(du);
  }

  void free() {
    parameters.close();
  }
}
