package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Parameters.Slot;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.ProjectionGroup;

/**
 * LoRA on what is left of the base weights once {@link BasePart}s are taken from them: {@code y = W
 * x - s B0 A0 x + s B A x}, with frozen A0 and B0. Other adapters see the weights whole.
 */
final class OnResidual implements ProjectionAdapter {
  /** A module's frozen part. */
  private record Part(LoraAdapter.Module module, Slot a, Slot b) {}

  private final GroupLora lora;
  private final ProjectionGroup group;
  private final Parameters parameters;
  private final ImmutableList<Part> parts;
  private final int rankSum;

  /**
   * Holds the parts.
   *
   * @param moved one for each module of {@code lora}, in order
   */
  OnResidual(Engine engine, ProjectionGroup group, GroupLora lora, List<Factors> moved) {
    this.lora = lora;
    this.group = group;
    Parameters.Builder builder = Parameters.builder(engine);
    List<LoraAdapter.Module> modules = lora.modules();
    List<Slot> a = new ArrayList<>();
    for (int i = 0; i < modules.size(); i++) {
      a.add(builder.add("A" + i, moved.get(i).rank(), modules.get(i).projection().in()));
    }
    ImmutableList.Builder<Part> all = ImmutableList.builder();
    for (int i = 0; i < modules.size(); i++) {
      Slot b = builder.add("B" + i, modules.get(i).projection().out(), moved.get(i).rank());
      all.add(new Part(modules.get(i), a.get(i), b));
    }
    parts = all.build();
    rankSum = moved.stream().mapToInt(Factors::rank).sum();
    parameters = builder.build(false);
    for (int i = 0; i < modules.size(); i++) {
      engine.write(parameters.weight(parts.get(i).a), moved.get(i).a());
      engine.write(parameters.weight(parts.get(i).b), moved.get(i).b());
    }
    parameters.changed();
  }

  boolean has(LoraAdapter.Module module) {
    return lora.modules().contains(module);
  }

  /** Returns the frozen part of a module. */
  Factors moved(LoraAdapter.Module module) {
    for (Part p : parts) {
      if (p.module.equals(module)) {
        Engine e = parameters.engine();
        return new Factors(
            p.a.rows(), e.read(parameters.weight(p.a)), e.read(parameters.weight(p.b)));
      }
    }
    throw new IllegalArgumentException(module.projection().name());
  }

  @Override
  public boolean trainable() {
    return lora.trainable();
  }

  private Tensor stackedA() {
    return parameters.compute(parts.get(0).a, rankSum);
  }

  private Tensor columns(Engine e, Tensor y, Part p) {
    return e.columns(y, group.column(p.module.member()), p.module.projection().out());
  }

  @Override
  public Object forward(Engine e, Tensor x, Tensor y, long dropoutSeed, boolean recording) {
    Tensor u = e.allocate(x.rows(), rankSum, e.computeType());
    e.gemm(1, x, false, stackedA(), true, 0, u); // [n, rankSum]
    int column = 0;
    for (Part p : parts) {
      Tensor own = e.columns(u, column, p.a.rows());
      e.gemm(-p.module.scale(), own, false, parameters.compute(p.b), true, 1, columns(e, y, p));
      column += p.a.rows();
    }
    e.release(u);
    return lora.forward(e, x, y, dropoutSeed, recording);
  }

  @Override
  public void backward(Engine e, Object state, Tensor x, Tensor dy, Tensor dx) {
    lora.backward(e, state, x, dy, dx);
    if (dx == null) {
      return;
    }
    Tensor du = e.allocate(x.rows(), rankSum, e.computeType());
    int column = 0;
    for (Part p : parts) {
      Tensor own = e.columns(du, column, p.a.rows());
      e.gemm(-p.module.scale(), columns(e, dy, p), false, parameters.compute(p.b), false, 0, own);
      column += p.a.rows();
    }
    e.gemm(1, du, false, stackedA(), false, 1, dx);
    e.release(du);
  }

  void close() {
    parameters.close();
  }
}
