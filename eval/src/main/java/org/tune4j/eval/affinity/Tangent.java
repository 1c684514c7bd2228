package org.tune4j.eval.affinity;

import java.util.List;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LossResult;
import org.tune4j.core.model.Packer;
import org.tune4j.core.model.Pass;
import org.tune4j.core.train.TrainingException;

/**
 * The linearised output of examples at an adapter's parameters: {@code m(w) = m + g w} for a move
 * of the parameters by {@code w}.
 *
 * <p>The output of an example is the margin {@code m = log(p / (1 - p))} of the probability {@code
 * p = exp(-loss)} that its learned tokens have in their geometric mean, as GradEx (arXiv
 * 2409.19458, section 3) and EnsembleLoRA (arXiv 2505.21930, section 3) take it for one token: the
 * loss is {@code log(1 + exp(-m))} without any error where nothing moves, and stays convex, bounded
 * by 0 and saturating elsewhere, which a linearised loss does not. By the chain rule {@code dm = -d
 * loss / (1 - p)}, so that one forward and backward pass gives margin and gradient.
 *
 * <p>Gradients are projected by a count sketch (Charikar, Chen and Farach-Colton 2002): a
 * coordinate is added to one of the dimensions with a sign, both from a seeded hash. Inner products
 * are kept in expectation, with a standard error of about {@code 1/sqrt(dimensions)} for unit
 * vectors, and no matrix is stored.
 */
final class Tangent {
  /** Losses below this are taken as this much: the margin of a probability of 1 is infinite. */
  static final double LEAST_LOSS = 1e-3;

  private final LanguageModel model;
  private final Adapter adapter;
  private final int dimensions;
  private final long seed;

  /**
   * Makes it.
   *
   * @param adapter trainable
   * @param dimensions a power of two
   */
  Tangent(LanguageModel model, Adapter adapter, int dimensions, long seed) {
    this.model = model;
    this.adapter = adapter;
    this.dimensions = dimensions;
    this.seed = seed;
  }

  /**
   * An example's output.
   *
   * @param margin where nothing moves
   * @param tokens learned ones
   * @param gradient of the margin, projected
   */
  record Output(double margin, int tokens, double[] gradient) {}

  /** Returns an example's output, without dropout. */
  Output of(String task, EncodedExample example) {
    Engine engine = model.engine();
    Parameters parameters = adapter.parameters();
    engine.lock().lock();
    try {
      model.requireOpen();
      parameters.zeroGradients();
      Pass pass =
          Pass.divide(List.of(example), List.of(adapter), Integer.MAX_VALUE).iterator().next();
      Packer.Packed packed = model.pack(pass);
      Tape tape = Tape.recording(engine);
      LossResult losses = model.loss(tape, packed.batch(), packed.routing(), null);
      tape.backward();
      double loss = losses.mean();
      double[] gradient = sketch(engine.read(parameters.flatGradients()), dimensions, seed);
      if (!Double.isFinite(loss) || !isFinite(gradient)) {
        throw new TrainingException(
            "the loss of a training or validation example of task '%s' is %s, or its gradient is no finite number"
                .formatted(task, loss));
      }
      double bounded = Math.max(loss, LEAST_LOSS);
      double wrong = -Math.expm1(-bounded); // 1 - p
      for (int i = 0; i < gradient.length; i++) {
        gradient[i] /= -wrong;
      }
      return new Output(Math.log(Math.exp(-bounded) / wrong), example.lossTokens(), gradient);
    } finally {
      engine.resetArena();
      engine.lock().unlock();
    }
  }

  private static boolean isFinite(double[] values) {
    double sum = 0;
    for (double v : values) {
      sum += v * v;
    }
    return Double.isFinite(sum);
  }

  /** Returns the count sketch of a vector. */
  static double[] sketch(float[] values, int dimensions, long seed) {
    double[] sketch = new double[dimensions];
    CountSketch.add(values, 0, seed, sketch);
    return sketch;
  }
}
