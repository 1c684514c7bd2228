package org.tune4j.eval.advice;

import java.util.List;
import java.util.function.Predicate;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Packer;
import org.tune4j.core.model.Pass;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.eval.affinity.CountSketch;

/**
 * Gradients of an adapter's parameters, projected to few dimensions.
 *
 * <p>The projection is a count sketch (Charikar, Chen and Farach-Colton 2002; for learning,
 * Weinberger et al. 2009): coordinate {@code k} is added to bucket {@code h(k)} with sign {@code
 * s(k)}, both from a seeded hash. Inner products are kept in expectation, with a standard error of
 * about {@code 1/sqrt(dimensions)} for unit vectors, and no matrix is stored.
 */
final class GradientProbe {
  private final LanguageModel model;
  private final Hyperparameters h;
  private final int dimensions;
  private final long seed;

  GradientProbe(LanguageModel model, Hyperparameters h, int dimensions, long seed) {
    this.model = model;
    this.h = h;
    this.dimensions = dimensions;
    this.seed = seed;
  }

  /**
   * Returns the projected gradient of the mean over examples of their mean loss per learned token,
   * without dropout.
   *
   * @param parameters which of the adapter's matrices count, by name
   */
  double[] gradient(Adapter adapter, List<EncodedExample> examples, Predicate<String> parameters) {
    Engine engine = model.engine();
    Parameters p = adapter.parameters();
    engine.lock().lock();
    try {
      p.zeroGradients();
      for (Pass pass : Pass.divide(examples, List.of(adapter), h.tokensPerPass())) {
        Packer.Packed packed = model.pack(pass);
        float[] weights = new float[packed.lossItems().length];
        for (int i = 0; i < weights.length; i++) {
          EncodedExample e = pass.items().get(packed.lossItems()[i]).example();
          weights[i] = 1f / (e.lossTokens() * (float) examples.size());
        }
        Tape tape = Tape.recording(engine);
        model.loss(tape, packed.batch(), packed.routing(), weights);
        tape.backward();
        engine.resetArena();
      }
      double[] sketch = new double[dimensions];
      for (String name : p.names()) {
        if (parameters.test(name)) {
          Parameters.Slot slot = p.slot(name);
          CountSketch.add(engine.read(p.gradient(slot)), slot.offset(), seed, sketch);
        }
      }
      return sketch;
    } finally {
      engine.resetArena();
      engine.lock().unlock();
    }
  }

  /** Returns whether a gradient points anywhere: finite, and not zero. */
  static boolean isDirection(double[] gradient) {
    double sum = 0;
    for (double g : gradient) {
      sum += g * g;
    }
    return Double.isFinite(sum) && sum > 0;
  }

  /** Returns the cosine; 0 if a vector is zero. */
  static double cosine(double[] a, double[] b) {
    double dot = 0;
    double aa = 0;
    double bb = 0;
    for (int i = 0; i < a.length; i++) {
      dot += a[i] * b[i];
      aa += a[i] * a[i];
      bb += b[i] * b[i];
    }
    return aa == 0 || bb == 0 ? 0 : dot / Math.sqrt(aa * bb);
  }
}
