package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.List;
import java.util.function.Function;
import org.tune4j.core.engine.EmbeddingAdapter;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.Projection;
import org.tune4j.core.model.ProjectionGroup;

/**
 * An embedding or output head {@code [vocabulary, hidden]} that the adapter trains fully, replacing
 * the base model's: PEFT's {@code modules_to_save}.
 */
final class SavedTable implements Part, EmbeddingAdapter, ProjectionAdapter {
  private final LoraAdapter adapter;
  private final ProjectionGroup group;
  private final Weight table; // [vocabulary, hidden]
  private final int untrained;

  SavedTable(LoraAdapter adapter, ProjectionGroup group) {
    this.adapter = adapter;
    this.group = group;
    table = adapter.weight(declared(group).name());
    untrained = adapter.model().config().untrainedToken();
  }

  static Declared declared(ProjectionGroup group) {
    Projection p = group.members().get(0);
    return Declared.of(p, "weight", -1, p.source().rows(), p.source().cols());
  }

  /** Copies the base model's weights. */
  @Override
  public void initialise(Function<Target, Factors> initialValues) {
    MatrixSource base = group.sources().get(0);
    float[] values = new float[base.rows() * base.cols()];
    base.read(0, base.rows(), values);
    table.set(values);
  }

  @Override
  public List<MatrixSource> merged(List<MatrixSource> sources) {
    checkArgument(
        sources.get(0).equals(group.members().get(0).source()),
        "adapter '%s' replaces %s, into which another adapter is merged: it cannot be merged on top",
        adapter.name(),
        group.members().get(0).name());
    MatrixSource base = sources.get(0);
    return ImmutableList.of(MatrixSource.of(base.rows(), base.cols(), table.values()));
  }

  @Override
  public boolean trainable() {
    return adapter.trainable();
  }

  // ---- EmbeddingAdapter

  @Override
  public boolean replacesRows() {
    return true;
  }

  @Override
  public Object forward(Engine e, int[] ids, Tensor x, boolean recording) {
    Tensor rows = e.gatherRows(table.compute(), ids);
    e.copy(rows, x);
    e.release(rows);
    return null;
  }

  @Override
  public void backward(Engine e, Object state, int[] ids, Tensor dx) {
    RowSums.add(e, ids, untrained, dx, table.gradient());
  }

  // ---- ProjectionAdapter

  @Override
  public boolean replacesOutput() {
    return true;
  }

  @Override
  public Object forward(Engine e, Tensor x, Tensor y, long dropoutSeed, boolean recording) {
    e.gemm(1, x, false, table.compute(), true, 0, y); // [n, vocabulary]
    return null;
  }

  @Override
  public void backward(Engine e, Object state, Tensor x, Tensor dy, Tensor dx) {
    if (trainable()) {
      e.gemm(1, dy, true, x, false, 1, table.gradient());
    }
    if (dx != null) {
      e.gemm(1, dy, false, table.compute(), false, 1, dx);
    }
  }
}
