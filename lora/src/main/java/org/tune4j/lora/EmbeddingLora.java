package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.EmbeddingAdapter;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Tensor;

/**
 * LoRA on an embedding: row {@code i} of the table becomes {@code W[i] + s B a_i}, with {@code a_i}
 * column {@code i} of A. Dropout does not apply, as in PEFT.
 */
class EmbeddingLora implements Part, EmbeddingAdapter {
  private final LoraAdapter adapter;
  private final Target target;
  private final Weight a; // held transposed: [entries, r]
  private final Weight b; // [hidden, r]
  private final int untrained;

  EmbeddingLora(LoraAdapter adapter, Target target) {
    this.adapter = adapter;
    this.target = target;
    a = adapter.weight(PlainLora.aName(target));
    b = adapter.weight(PlainLora.bName(target));
    untrained = adapter.model().config().untrainedToken();
  }

  @Override
  public void initialise(Function<Target, Factors> initialValues) {
    Factors values = initialValues.apply(target);
    a.set(values.a());
    b.set(values.b());
  }

  @Override
  public final boolean trainable() {
    return adapter.trainable();
  }

  @Override
  public Object forward(Engine e, int[] ids, Tensor x, boolean recording) {
    Tensor u = e.gatherRows(a.compute(), ids); // [n, r]
    e.gemm(target.scale(), u, false, b.compute(), true, 1, x); // [n, hidden]
    e.release(u);
    return null;
  }

  @Override
  public void backward(Engine e, Object state, int[] ids, Tensor dx) {
    Tensor g = e.cast(dx, e.computeType()); // [n, hidden]
    Tensor u = e.gatherRows(a.compute(), ids); // [n, r]
    Tensor du = e.allocate(ids.length, target.rank(), DType.F32);
    e.gemm(target.scale(), g, false, b.compute(), false, 0, du);
    RowSums.add(e, ids, untrained, du, a.gradient());
    if (!b.frozen()) {
      e.gemm(target.scale(), g, true, u, false, 1, b.gradient());
    }
    e.release(du);
    e.release(u);
    if (g != dx) {
      e.release(g);
    }
  }

  @Override
  public Optional<Factors> update(Target t) {
    return Optional.of(new Factors(target.rank(), a.values(), b.values()));
  }

  @Override
  public List<MatrixSource> merged(List<MatrixSource> sources) {
    return ImmutableList.of(sum(sources.get(0)));
  }

  // ---- for variants

  final LoraAdapter adapter() {
    return adapter;
  }

  final Target target() {
    return target;
  }

  /** Returns A, held transposed: {@code [entries, r]}. */
  final Weight a() {
    return a;
  }

  /** Returns B, {@code [hidden, r]}. */
  final Weight b() {
    return b;
  }

  /** Returns a table {@code [entries, hidden]} with the update added. */
  final MergedSource sum(MatrixSource table) {
    int rank = target.rank();
    Factors transposed =
        new Factors(
            rank,
            Weight.transpose(b.values(), target.projection().out(), rank),
            Weight.transpose(a.values(), rank, target.projection().in()));
    return new MergedSource(table, target.scale(), transposed);
  }
}
