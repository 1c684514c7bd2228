package org.tune4j.core.train;

import com.google.common.collect.ImmutableMap;
import java.util.Map;
import java.util.Optional;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.AdaBeliefUpdater;
import org.nd4j.linalg.learning.GradientUpdater;
import org.nd4j.linalg.learning.config.AdaBelief;
import org.nd4j.linalg.learning.config.IUpdater;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;

/** An ND4J updater, on copies of the flat buffers; weight decay is decoupled. */
final class Nd4jUpdater implements Optimizer {
  private static final String STATE = "u";

  private final Engine engine;
  private final Parameters parameters;
  private final double weightDecay;
  private final IUpdater config;
  private final Optional<INDArray> state; // some updaters have none
  private final GradientUpdater<?> updater;

  /** Creates the optimizers of a run. */
  record Factory(IUpdater updater) implements Optimizer.Factory {
    @Override
    public Optimizer create(Parameters parameters, Hyperparameters h) {
      return new Nd4jUpdater(parameters, h.weightDecay(), updater.clone());
    }

    @Override
    public String toString() {
      return updater.toString();
    }
  }

  private Nd4jUpdater(Parameters parameters, double weightDecay, IUpdater config) {
    this.engine = parameters.engine();
    this.parameters = parameters;
    this.weightDecay = weightDecay;
    this.config = config;
    long size = config.stateSize(parameters.size());
    state = size == 0 ? Optional.empty() : Optional.of(Nd4j.zeros(DataType.FLOAT, 1, size));
    updater = instantiate(config, state.orElse(null), parameters.size());
  }

  private static GradientUpdater<?> instantiate(IUpdater config, INDArray state, int size) {
    if (config instanceof AdaBelief belief) {
      // works around ND4J 1.0.0-M2.1, whose instantiate reads a dimension that it has just reshaped
      // away
      AdaBeliefUpdater updater = new AdaBeliefUpdater(belief);
      updater.setStateViewArray(state, new long[] {1, size}, 'c', true);
      return updater;
    }
    return config.instantiate(state, true);
  }

  @Override
  public void apply(double learningRate, double gradientScale, int step) {
    if (config.hasLearningRate()) {
      config.setLrAndSchedule(learningRate, null);
    }
    INDArray gradient = engine.toArray(parameters.flatGradients()).muli(gradientScale);
    updater.applyUpdater(gradient, step - 1, 0);
    INDArray weights = engine.toArray(parameters.flat());
    if (weightDecay > 0) {
      weights.muli(1 - learningRate * weightDecay);
    }
    weights.subi(gradient);
    engine.write(parameters.flat(), weights);
    gradient.close();
    weights.close();
    parameters.changed();
  }

  @Override
  public Map<String, Integer> sizes() {
    return state
        .map(s -> ImmutableMap.of(STATE, Math.toIntExact(s.length())))
        .orElse(ImmutableMap.of());
  }

  @Override
  public Map<String, float[]> save() {
    return state
        .map(s -> ImmutableMap.of(STATE, s.dup('c').data().asFloat()))
        .orElse(ImmutableMap.of());
  }

  @Override
  public void restore(String name, float[] values) {
    INDArray kept = state.orElseThrow();
    try (INDArray saved = Nd4j.create(values, kept.shape(), 'c')) {
      kept.assign(saved);
    }
  }

  @Override
  public void close() {
    state.ifPresent(INDArray::close);
  }
}
