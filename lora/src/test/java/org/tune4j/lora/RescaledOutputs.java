package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import com.google.common.collect.MoreCollectors;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.ProjectionGroup;

/**
 * A third variant, to show that there is room for one: like IA3 (Liu et al. 2022, section 3.3) it
 * has one vector {@code l} for a layer, {@code y = l W x + bias}, and no A or B at all.
 */
public final class RescaledOutputs extends LoraVariant {
  private static final String SCALE = "lora_rescale";

  public RescaledOutputs() {}

  static LoraVariant registered() {
    return LoraVariant.all().stream()
        .filter(v -> v instanceof RescaledOutputs)
        .collect(MoreCollectors.onlyElement());
  }

  @Override
  public String name() {
    return "Rescaled";
  }

  @Override
  Optional<String> field() {
    return Optional.of("use_rescaled_outputs");
  }

  @Override
  ImmutableSet<String> endings() {
    return ImmutableSet.of(SCALE);
  }

  @Override
  List<Declared> parameters(LoraConfig config, List<Target> targets) {
    return targets.stream()
        .map(t -> Declared.of(t.projection(), SCALE, -1, t.projection().out()))
        .toList();
  }

  @Override
  Part on(LoraAdapter adapter, ProjectionGroup group, List<Target> targets) {
    return new OnGroup(adapter, group, targets);
  }

  private record OnGroup(LoraAdapter adapter, ProjectionGroup group, List<Target> targets)
      implements Part, ProjectionAdapter {
    private Weight scale(Target t) {
      return adapter.weight(t.name() + "." + SCALE);
    }

    private Tensor columns(Engine e, Tensor y, Target t) {
      return e.columns(y, group.column(t.member()), t.projection().out());
    }

    @Override
    public void initialise(Function<Target, Factors> begin) {
      for (Target t : targets) {
        float[] ones = new float[t.projection().out()];
        Arrays.fill(ones, 1);
        scale(t).set(ones);
      }
    }

    @Override
    public boolean trainable() {
      return adapter.trainable();
    }

    @Override
    public boolean rescalesOutput() {
      return true;
    }

    @Override
    public Object forward(Engine e, Tensor x, Tensor y, long seed, boolean recording) {
      List<Tensor> unscaled = new ArrayList<>();
      for (Target t : targets) {
        Tensor out = columns(e, y, t);
        float[] bias = t.projection().bias();
        Tensor b = bias == null ? null : e.allocate(1, bias.length, DType.F32);
        if (bias != null) {
          e.write(b, bias);
          e.scale(b, -1);
          e.addColumns(out, b);
          e.scale(b, -1);
        }
        Tensor copy = e.allocate(out.rows(), out.cols(), out.dtype());
        e.copy(out, copy);
        unscaled.add(copy);
        e.scaleColumns(out, scale(t).exact());
        if (bias != null) {
          e.addColumns(out, b);
        }
      }
      return unscaled;
    }

    @Override
    public void rescaleGradient(Engine e, Object state, Tensor x, Tensor dy) {
      for (int i = 0; i < targets.size(); i++) {
        Tensor d = columns(e, dy, targets.get(i));
        Weight scale = scale(targets.get(i));
        if (trainable()) {
          Tensor unscaled = (Tensor) ((List<?>) state).get(i);
          e.add(e.columnDots(d, unscaled), scale.gradient());
        }
        e.scaleColumns(d, scale.exact());
      }
    }

    @Override
    public void backward(Engine e, Object state, Tensor x, Tensor dy, Tensor dx) {}

    @Override
    public List<MatrixSource> merged(List<MatrixSource> sources) {
      List<MatrixSource> all = new ArrayList<>(sources);
      for (Target t : targets) {
        all.set(t.member(), new Rows(sources.get(t.member()), scale(t).values()));
      }
      return ImmutableList.copyOf(all);
    }
  }

  private record Rows(MatrixSource of, float[] scales) implements MatrixSource {
    @Override
    public int rows() {
      return of.rows();
    }

    @Override
    public int cols() {
      return of.cols();
    }

    @Override
    public void read(int row, int count, float[] into) {
      of.read(row, count, into);
      for (int i = 0; i < count * cols(); i++) {
        into[i] *= scales[row + i / cols()];
      }
    }
  }
}
