package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.ProjectionGroup;

/**
 * LoRA on the projections of one group; variants override how a module's output and its gradient
 * are computed.
 *
 * <p>Without dropout all members share their input, so {@code U = x Acat'} is one product over the
 * stacked A's, and so are {@code dA = dU' x} and {@code dx += dU Acat}. With dropout every member
 * has its own mask, as in PEFT.
 */
class GroupLora implements Part, ProjectionAdapter {
  /** A module's A and B. */
  record Module(Target target, Weight a, Weight b) {
    int rank() {
      return target.rank();
    }

    float scale() {
      return target.scale();
    }
  }

  /** State for the backward pass. */
  static class State {
    Tensor u; // compute type [n, rankSum]
    long seed; // of dropout; 0 for none
  }

  private final LoraAdapter adapter;
  private final ProjectionGroup group;
  private final ImmutableList<Module> modules;
  private final Residual residual; // null if nothing is moved out of the base
  private final int rankSum;

  GroupLora(LoraAdapter adapter, ProjectionGroup group, List<Target> targets) {
    this.adapter = adapter;
    this.group = group;
    modules =
        targets.stream()
            .map(
                t ->
                    new Module(
                        t, adapter.weight(PlainLora.aName(t)), adapter.weight(PlainLora.bName(t))))
            .collect(ImmutableList.toImmutableList());
    residual = adapter.residual(group);
    rankSum = targets.stream().mapToInt(Target::rank).sum();
  }

  // ---- for variants

  final LoraAdapter adapter() {
    return adapter;
  }

  final ProjectionGroup group() {
    return group;
  }

  final ImmutableList<Module> modules() {
    return modules;
  }

  final Optional<Residual> residual() {
    return Optional.ofNullable(residual);
  }

  /** Returns a member's columns of a group's output. */
  final Tensor columns(Engine e, Tensor y, Module m) {
    return e.columns(y, group.column(m.target.member()), m.target.projection().out());
  }

  static Tensor copyOf(Engine e, Tensor t) {
    Tensor copy = e.allocate(t.rows(), t.cols(), t.dtype());
    e.copy(t, copy);
    return copy;
  }

  /** Creates the state of a forward pass. */
  State state() {
    return new State();
  }

  /** Called before each forward pass. */
  void prepare(Engine e) {}

  /**
   * Adds the update to a member's output.
   *
   * @param i index of the member among the targets
   * @param u {@code A x}, compute type {@code [n, r]}; {@code A dropped} if there is dropout
   * @param dropped the input with dropout, or null without
   * @param out the member's output so far, {@code [n, out]}; modified in place
   */
  void apply(
      Engine e, State state, int i, Tensor u, Tensor dropped, Tensor out, boolean recording) {
    Module m = modules.get(i);
    e.gemm(m.scale(), u, false, m.b.compute(), true, 1, out);
  }

  /**
   * Returns the gradient with respect to {@code s B u} of a member.
   *
   * @param d the gradient with respect to the member's output, after {@link #rescaleGradient}
   */
  Tensor updateGradient(Engine e, State state, int i, Tensor d) {
    return d;
  }

  /**
   * Returns the part of the gradient with respect to the dropped input that does not go through A;
   * null if there is none.
   */
  Tensor droppedInputGradient(Engine e, State state, int i, Tensor dy) {
    return null;
  }

  /** Returns a weight with a module's update merged in. */
  MatrixSource merged(int i, MatrixSource into) {
    return sum(i, into);
  }

  /** Returns a weight plus a module's update. */
  final MergedSource sum(int i, MatrixSource into) {
    return new MergedSource(into, modules.get(i).scale(), update(i));
  }

  /**
   * Returns the factors of the update to the base's own weights, including the subtraction of moved
   * parts.
   */
  final Factors update(int i) {
    Module m = modules.get(i);
    Factors own = new Factors(m.rank(), m.a.values(), m.b.values());
    return residual == null ? own : own.minus(residual.moved(i));
  }

  // ---- Part

  @Override
  public void initialise(Function<Target, Factors> initialValues) {
    for (Module m : modules) {
      Factors values = initialValues.apply(m.target);
      m.a.set(values.a());
      m.b.set(values.b());
    }
  }

  @Override
  public List<MatrixSource> merged(List<MatrixSource> sources) {
    List<MatrixSource> all = new ArrayList<>(sources);
    for (int i = 0; i < modules.size(); i++) {
      int member = modules.get(i).target.member();
      all.set(member, merged(i, sources.get(member)));
    }
    return ImmutableList.copyOf(all);
  }

  @Override
  public Optional<Factors> update(Target target) {
    for (int i = 0; i < modules.size(); i++) {
      if (modules.get(i).target.equals(target)) {
        return Optional.of(update(i));
      }
    }
    return Optional.empty();
  }

  @Override
  public ImmutableMap<String, LoraAdapter.Stored> storedReplacements() {
    if (residual == null) {
      return ImmutableMap.of();
    }
    ImmutableMap.Builder<String, LoraAdapter.Stored> all = ImmutableMap.builder();
    for (int i = 0; i < modules.size(); i++) {
      Module m = modules.get(i);
      Factors u = update(i);
      all.put(m.a.declared().name(), new LoraAdapter.Stored(u.a(), u.rank(), group.in()));
      int out = m.target.projection().out();
      all.put(m.b.declared().name(), new LoraAdapter.Stored(u.b(), out, u.rank()));
    }
    return all.buildOrThrow();
  }

  @Override
  public void free() {
    if (residual != null) {
      residual.free();
    }
  }

  // ---- ProjectionAdapter

  @Override
  public final boolean trainable() {
    return adapter.trainable();
  }

  private Tensor stackedA() {
    return modules.get(0).a.compute(rankSum);
  }

  private static long memberSeed(long seed, int member) {
    return seed + 0xD1342543DE82EF95L * (member + 1);
  }

  @Override
  public Object forward(Engine e, Tensor x, Tensor y, long dropoutSeed, boolean recording) {
    if (residual != null) {
      residual.subtract(e, x, y);
    }
    State state = state();
    float p = (float) adapter.config().dropout();
    state.seed = p > 0 && trainable() ? dropoutSeed : 0;
    state.u = e.allocate(x.rows(), rankSum, e.computeType());
    if (state.seed == 0) {
      e.gemm(1, x, false, stackedA(), true, 0, state.u); // [n, rankSum]
    }
    prepare(e);
    int column = 0;
    for (int i = 0; i < modules.size(); i++) {
      Module m = modules.get(i);
      Tensor u = e.columns(state.u, column, m.rank()); // [n, r]
      Tensor dropped = null;
      if (state.seed != 0) {
        dropped = e.dropout(x, p, memberSeed(state.seed, i));
        e.gemm(1, dropped, false, m.a.compute(), true, 0, u);
      }
      apply(e, state, i, u, dropped, columns(e, y, m), recording);
      if (dropped != null) {
        e.release(dropped);
      }
      column += m.rank();
    }
    if (!recording) {
      e.release(state.u);
      return null;
    }
    return state;
  }

  @Override
  public void backward(Engine e, Object saved, Tensor x, Tensor dy, Tensor dx) {
    State state = (State) saved;
    float p = (float) adapter.config().dropout();
    boolean trainsA = trainable() && !modules.get(0).a.frozen();
    boolean trainsB = trainable() && !modules.get(0).b.frozen();
    Tensor du = e.allocate(x.rows(), rankSum, e.computeType());
    int column = 0;
    for (int i = 0; i < modules.size(); i++) {
      Module m = modules.get(i);
      Tensor d = updateGradient(e, state, i, columns(e, dy, m)); // [n, out]
      Tensor dui = e.columns(du, column, m.rank()); // [n, r]
      e.gemm(m.scale(), d, false, m.b.compute(), false, 0, dui);
      if (trainsB) {
        Tensor u = e.columns(state.u, column, m.rank());
        e.gemm(m.scale(), d, true, u, false, 1, m.b.gradient());
      }
      if (state.seed != 0) {
        Tensor dropped = e.dropout(x, p, memberSeed(state.seed, i));
        if (trainsA) {
          e.gemm(1, dui, true, dropped, false, 1, m.a.gradient());
        }
        e.release(dropped);
        if (dx != null) {
          Tensor dDropped = droppedInputGradient(e, state, i, dy);
          float beta = dDropped == null ? 0 : 1;
          if (dDropped == null) {
            dDropped = e.allocate(x.rows(), x.cols(), e.computeType());
          }
          e.gemm(1, dui, false, m.a.compute(), false, beta, dDropped);
          Tensor masked = e.dropout(dDropped, p, memberSeed(state.seed, i));
          e.add(masked, dx);
          e.release(masked);
          e.release(dDropped);
        }
      }
      column += m.rank();
    }
    if (state.seed == 0) {
      if (trainsA) {
        e.gemm(1, du, true, x, false, 1, modules.get(0).a.gradient(rankSum));
      }
      if (dx != null) {
        e.gemm(1, du, false, stackedA(), false, 1, dx);
      }
    }
    if (residual != null && dx != null) {
      residual.subtractBackward(e, dy, dx);
    }
    e.release(du);
    e.release(state.u);
  }
}
