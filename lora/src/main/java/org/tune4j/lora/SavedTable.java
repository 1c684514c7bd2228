package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;

import org.tune4j.core.engine.EmbeddingAdapter;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Parameters.Slot;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.ProjectionGroup;

/**
 * An embedding or output head of an adapter's own, {@code [vocabulary, hidden]}, trained whole in
 * place of the base model's: PEFT's {@code modules_to_save}.
 */
final class SavedTable implements EmbeddingAdapter, ProjectionAdapter {
  private final LoraAdapter adapter;
  private final ProjectionGroup group;
  private final Slot table;
  private final int untrained;

  SavedTable(LoraAdapter adapter, ProjectionGroup group, Slot table) {
    this.adapter = adapter;
    this.group = group;
    this.table = table;
    untrained = adapter.model().config().untrainedToken();
  }

  String name() {
    return group.members().get(0).name();
  }

  /** Copies the base model's weights. */
  void initialise() {
    MatrixSource base = group.sources().get(0);
    float[] values = new float[base.rows() * base.cols()];
    base.read(0, base.rows(), values);
    adapter.set(table, values);
  }

  /** Returns what a merged model has in place of a table. */
  MatrixSource merged(MatrixSource base) {
    checkArgument(
        base.equals(group.members().get(0).source()),
        "adapter '%s' replaces %s, into which another is merged: it cannot be merged on top",
        adapter.name(),
        name());
    return MatrixSource.of(table.rows(), table.cols(), adapter.values(table.name()));
  }

  private Parameters parameters() {
    return adapter.parameters();
  }

  @Override
  public boolean trainable() {
    return adapter.trainable();
  }

  // ---- as an embedding

  @Override
  public boolean replacesRows() {
    return true;
  }

  @Override
  public void forward(Engine e, int[] ids, Tensor x) {
    Tensor rows = e.gatherRows(parameters().compute(table), ids);
    e.copy(rows, x);
    e.release(rows);
  }

  @Override
  public void backward(Engine e, int[] ids, Tensor dx) {
    RowSums.add(e, ids, untrained, dx, parameters().gradient(table));
  }

  // ---- as an output head

  @Override
  public boolean replacesOutput() {
    return true;
  }

  @Override
  public Object forward(Engine e, Tensor x, Tensor y, long dropoutSeed, boolean recording) {
    e.gemm(1, x, false, parameters().compute(table), true, 0, y); // [n, vocabulary]
    return null;
  }

  @Override
  public void backward(Engine e, Object state, Tensor x, Tensor dy, Tensor dx) {
    if (trainable()) {
      e.gemm(1, dy, true, x, false, 1, parameters().gradient(table));
    }
    if (dx != null) {
      e.gemm(1, dy, false, parameters().compute(table), false, 1, dx);
    }
  }
}
