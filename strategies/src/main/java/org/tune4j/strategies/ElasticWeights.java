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
 * Elastic weight consolidation of an adapter (Kirkpatrick et al. 2017, equation 3): the loss of
 * each later stage gets {@code strength / 2 * F (w - w*)^2}, summed over parameters and over all
 * earlier stages, where {@code w*} are a stage's final values and {@code F} the diagonal of its
 * Fisher information there.
 *
 * <p>The Fisher information is the empirical one: the mean over examples of the squared gradient of
 * the example's log-likelihood, with its own answer. It is formed on the first examples that the
 * stage drew, each by itself.
 *
 * <p>Penalties of several stages are one square, up to a constant: importances add up, and the
 * values that they hold to are the mean of the stages' weighted by importance. So the state is two
 * numbers for each parameter, however many stages there were.
 */
record ElasticWeights(double strength, int examples) implements GradientHook {
  static final String NAME = "elastic weight consolidation";

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public int copies() {
    return 3; // the two, and the importances of a stage while they are summed up
  }

  @Override
  public int examplesAtEnd() {
    return examples;
  }

  @Override
  public State start(Parameters parameters) {
    return new Held(parameters);
  }

  @Override
  public String toString() {
    return "elastic weight consolidation (EWC, strength %s; Fisher information of %s examples after a stage)"
        .formatted(strength, examples);
  }

  private final class Held implements State {
    private final Engine engine;
    private final Tensor importance; // F32 [1, size]
    private final Tensor minusAnchor; // F32 [1, size]
    private int stages;

    Held(Parameters parameters) {
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
    public void stageEnds(Stage stage, Parameters parameters, ExampleGradients of) {
      Tensor sum = engine.persistent(1, parameters.size(), DType.F32);
      try {
        int count = of.each(examples, () -> addSquare(parameters.flatGradients(), sum));
        engine.scale(sum, 1f / count);
        join(engine.read(sum), engine.read(parameters.flat()));
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

    /** Adds a stage's penalty: its importances, and the values that it ended with. */
    private void join(float[] fisher, float[] values) {
      float[] all = engine.read(importance);
      float[] anchor = engine.read(minusAnchor);
      for (int i = 0; i < all.length; i++) {
        double whole = (double) all[i] + fisher[i];
        double part = whole > 0 ? fisher[i] / whole : 1;
        anchor[i] = (float) (anchor[i] + part * (-values[i] - (double) anchor[i]));
        all[i] = (float) whole;
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
