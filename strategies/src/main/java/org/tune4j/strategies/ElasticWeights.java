package org.tune4j.strategies;

import com.google.common.collect.ImmutableList;
import java.util.HashMap;
import java.util.Map;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.train.GradientHook;
import org.tune4j.core.train.Stage;

/**
 * Elastic weight consolidation of an adapter (Kirkpatrick et al. 2017, equation 3): adds {@code
 * strength / 2 * F (w - w*)^2} to the loss of each later stage, summed over parameters and all
 * earlier stages, where {@code w*} are a stage's final values and {@code F} is the diagonal of its
 * Fisher information there.
 *
 * <p>The Fisher information is the empirical one: the mean over examples of the squared gradient of
 * the example's log-likelihood, with its given answer. It is computed on the first examples that
 * the stage drew, one by one.
 *
 * <p>The penalties of several stages combine into a single quadratic, up to a constant: importances
 * add up, and the anchor is the mean of the stages' values weighted by importance. So the state is
 * two numbers per parameter, regardless of the number of stages.
 */
record ElasticWeights(double strength, int examples) implements GradientHook {
  static final String NAME = "elastic weight consolidation";

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public int copies() {
    return 3; // the two, and the sum of a stage's squares
  }

  @Override
  public int examplesAtEnd() {
    return examples;
  }

  @Override
  public State start(Parameters parameters) {
    return new Anchors(parameters);
  }

  @Override
  public String toString() {
    return "elastic weight consolidation (EWC, strength %s; Fisher information of %s examples after a stage)"
        .formatted(strength, examples);
  }

  private final class Anchors implements State {
    private final Engine engine;
    private final Tensor importance; // F32 [1, size]
    private final Tensor minusAnchor; // F32 [1, size]
    private int stages;

    Anchors(Parameters parameters) {
      engine = parameters.engine();
      importance = engine.persistent(1, parameters.size(), DType.F32);
      minusAnchor = engine.persistent(1, parameters.size(), DType.F32);
    }

    @Override
    public void apply(Gradients g) {
      if (stages == 0) {
        return;
      }
      Parameters p = g.parameters();
      Tensor pull = engine.allocate(1, p.size(), DType.F32);
      engine.copy(p.flat(), pull);
      engine.add(minusAnchor, pull);
      engine.scaleColumns(pull, importance);
      engine.scale(pull, (float) strength);
      engine.add(pull, p.flatGradients());
      engine.release(pull);
    }

    @Override
    public void stageEnds(Stage stage, Parameters parameters, ExampleGradients gradients) {
      Tensor sum = engine.persistent(1, parameters.size(), DType.F32);
      try {
        int count = gradients.each(examples, () -> addSquare(parameters.flatGradients(), sum));
        engine.scale(sum, 1f / count);
        addPenalty(engine.read(sum), engine.read(parameters.flat()));
      } finally {
        engine.free(sum);
      }
      stages++;
    }

    private void addSquare(Tensor gradients, Tensor sum) {
      Tensor square = engine.allocate(1, gradients.cols(), DType.F32);
      engine.copy(gradients, square);
      engine.scaleColumns(square, gradients);
      engine.add(square, sum);
      engine.release(square);
    }

    /** Adds a stage's penalty, given its importances and final values. */
    private void addPenalty(float[] fisher, float[] values) {
      float[] all = engine.read(importance);
      float[] anchor = engine.read(minusAnchor);
      for (int i = 0; i < all.length; i++) {
        double total = (double) all[i] + fisher[i];
        double part = total > 0 ? fisher[i] / total : 1;
        anchor[i] = (float) (anchor[i] + part * (-values[i] - (double) anchor[i]));
        all[i] = (float) total;
      }
      engine.write(importance, all);
      engine.write(minusAnchor, anchor);
    }

    @Override
    public Map<String, float[]> save() {
      Map<String, float[]> all = new HashMap<>();
      all.put("stages", new float[] {stages});
      if (stages > 0) {
        all.put("importance", engine.read(importance));
        all.put("minusAnchor", engine.read(minusAnchor));
      }
      return all;
    }

    @Override
    public void restore(Map<String, float[]> saved) {
      stages = (int) saved.get("stages")[0];
      if (stages > 0) {
        engine.write(importance, saved.get("importance"));
        engine.write(minusAnchor, saved.get("minusAnchor"));
      }
    }

    @Override
    public ImmutableList<Figure> figures() {
      return ImmutableList.of(new Figure("stages held to", ImmutableList.of(), stages));
    }

    @Override
    public void close() {
      engine.free(importance);
      engine.free(minusAnchor);
    }
  }
}
