package org.tune4j.lora;

import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.EmbeddingAdapter;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tensor;

/**
 * LoRA on an embedding: row {@code i} of the table becomes {@code W[i] + s B a_i}, with {@code a_i}
 * column {@code i} of A. Dropout does not apply, as in PEFT.
 */
final class EmbeddingLora implements EmbeddingAdapter {
  private final LoraAdapter adapter;
  private final LoraAdapter.Module module;
  private final int untrained;

  EmbeddingLora(LoraAdapter adapter, LoraAdapter.Module module) {
    this.adapter = adapter;
    this.module = module;
    untrained = adapter.model().config().untrainedToken();
  }

  @Override
  public boolean trainable() {
    return adapter.trainable();
  }

  @Override
  public void forward(Engine e, int[] ids, Tensor x) {
    Parameters p = adapter.parameters();
    Tensor u = e.gatherRows(p.compute(module.a()), ids); // [n, r]
    e.gemm(module.scale(), u, false, p.compute(module.b()), true, 1, x); // [n, hidden]
    e.release(u);
  }

  @Override
  public void backward(Engine e, int[] ids, Tensor dx) {
    Parameters p = adapter.parameters();
    Tensor g = e.cast(dx, e.computeType()); // [n, hidden]
    Tensor u = e.gatherRows(p.compute(module.a()), ids); // [n, r]
    Tensor du = e.allocate(ids.length, module.rank(), DType.F32);
    e.gemm(module.scale(), g, false, p.compute(module.b()), false, 0, du);
    RowSums.add(e, ids, untrained, du, p.gradient(module.a()));
    e.gemm(module.scale(), g, true, u, false, 1, p.gradient(module.b()));
    e.release(du);
    e.release(u);
    if (g != dx) {
      e.release(g);
    }
  }

  /** Returns the table with it merged in. */
  MatrixSource merged(MatrixSource table) {
    int rank = module.rank();
    int hidden = module.projection().out();
    float[] a = adapter.values(module.a().name()); // [r, entries]
    float[] b = adapter.values(module.b().name()); // [hidden, r]
    return new MergedSource(
        table,
        table,
        rank,
        module.scale(),
        LoraAdapter.transpose(b, hidden, rank),
        LoraAdapter.transpose(a, rank, module.projection().in()),
        null);
  }
}
