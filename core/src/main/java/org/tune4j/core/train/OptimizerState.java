package org.tune4j.core.train;

import java.util.LinkedHashMap;
import java.util.Map;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.AdaBeliefUpdater;
import org.nd4j.linalg.learning.GradientUpdater;
import org.nd4j.linalg.learning.config.AdaBelief;
import org.nd4j.linalg.learning.config.IUpdater;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tensor;

/**
 * The optimizer of one adapter: AdamW in the engine, or an ND4J updater on copies of the flat
 * buffers.
 */
final class OptimizerState implements AutoCloseable {
  private final Engine engine;
  private final Parameters parameters;
  private final Hyperparameters h;
  private final Tensor m;
  private final Tensor v;
  private final IUpdater config;
  private final INDArray updaterState;
  private final GradientUpdater<?> updater;

  OptimizerState(Parameters parameters, Hyperparameters h) {
    this.engine = parameters.engine();
    this.parameters = parameters;
    this.h = h;
    if (h.updater() == null) {
      m = engine.persistent(1, parameters.size(), DType.F32);
      v = engine.persistent(1, parameters.size(), DType.F32);
      config = null;
      updaterState = null;
      updater = null;
    } else {
      m = null;
      v = null;
      config = h.updater().clone();
      long size = config.stateSize(parameters.size());
      updaterState =
          size == 0 ? null : Nd4j.zeros(org.nd4j.linalg.api.buffer.DataType.FLOAT, 1, size);
      updater = instantiate(config, updaterState, parameters.size());
    }
  }

  private static GradientUpdater<?> instantiate(IUpdater config, INDArray state, int size) {
    if (config instanceof AdaBelief belief) {
      // ND4J 1.0.0-M2.1: its own instantiate reads a dimension that it has just reshaped away
      AdaBeliefUpdater updater = new AdaBeliefUpdater(belief);
      updater.setStateViewArray(state, new long[] {1, size}, 'c', true);
      return updater;
    }
    return config.instantiate(state, true);
  }

  /** Applies the gradients; {@code step} counts from 1. */
  void apply(double learningRate, double gradientScale, int step) {
    if (updater == null) {
      engine.adamW(
          parameters.flat(),
          parameters.flatGradients(),
          m,
          v,
          (float) gradientScale,
          (float) learningRate,
          (float) h.beta1(),
          (float) h.beta2(),
          (float) h.epsilon(),
          (float) h.weightDecay(),
          step);
    } else {
      if (config.hasLearningRate()) {
        config.setLrAndSchedule(learningRate, null);
      }
      INDArray gradient = engine.toArray(parameters.flatGradients()).muli(gradientScale);
      updater.applyUpdater(gradient, step - 1, 0);
      INDArray weights = engine.toArray(parameters.flat());
      if (h.weightDecay() > 0) {
        weights.muli(1 - learningRate * h.weightDecay());
      }
      weights.subi(gradient);
      engine.write(parameters.flat(), weights);
      gradient.close();
      weights.close();
    }
    parameters.changed();
  }

  /** Returns what must be kept for an exact resume. */
  Map<String, float[]> save() {
    Map<String, float[]> state = new LinkedHashMap<>();
    if (updater == null) {
      state.put("m", engine.read(m));
      state.put("v", engine.read(v));
    } else if (updaterState != null) {
      state.put("u", updaterState.dup('c').data().asFloat());
    }
    return state;
  }

  /** Returns the names of what {@link #save} returns, with the number of values. */
  Map<String, Integer> sizes() {
    if (updater == null) {
      return Map.of("m", parameters.size(), "v", parameters.size());
    }
    return updaterState == null ? Map.of() : Map.of("u", Math.toIntExact(updaterState.length()));
  }

  /** Takes back a part of what {@link #save} returned. */
  void restore(String name, float[] values) {
    switch (name) {
      case "m" -> engine.write(m, values);
      case "v" -> engine.write(v, values);
      default -> {
        try (INDArray saved = Nd4j.create(values, updaterState.shape(), 'c')) {
          updaterState.assign(saved);
        }
      }
    }
  }

  @Override
  public void close() {
    if (m != null) {
      engine.free(m);
      engine.free(v);
    }
    if (updaterState != null) {
      updaterState.close();
    }
  }
}
