package org.tune4j.core.train;

import com.google.common.collect.ImmutableMap;
import java.util.Map;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tensor;

/** AdamW (Loshchilov and Hutter 2019), run by the {@linkplain Engine#adamW engine}. */
final class AdamW implements Optimizer {
  static final Optimizer.Factory FACTORY =
      new Optimizer.Factory() {
        @Override
        public Optimizer create(Parameters parameters, Hyperparameters h) {
          return new AdamW(parameters, h);
        }

        @Override
        public String toString() {
          return "AdamW";
        }
      };

  private final Engine engine;
  private final Parameters parameters;
  private final Hyperparameters h;
  private final ImmutableMap<String, Tensor> moments;

  private AdamW(Parameters parameters, Hyperparameters h) {
    this.engine = parameters.engine();
    this.parameters = parameters;
    this.h = h;
    moments =
        ImmutableMap.of(
            "m", engine.persistent(1, parameters.size(), DType.F32),
            "v", engine.persistent(1, parameters.size(), DType.F32));
  }

  @Override
  public void apply(double learningRate, double gradientScale, int step) {
    engine.adamW(
        parameters.flat(),
        parameters.flatGradients(),
        moments.get("m"),
        moments.get("v"),
        (float) gradientScale,
        (float) learningRate,
        (float) h.beta1(),
        (float) h.beta2(),
        (float) h.epsilon(),
        (float) h.weightDecay(),
        step);
    parameters.changed();
  }

  @Override
  public Map<String, Integer> sizes() {
    return Map.of("m", parameters.size(), "v", parameters.size());
  }

  @Override
  public Map<String, float[]> save() {
    ImmutableMap.Builder<String, float[]> state = ImmutableMap.builder();
    moments.forEach((name, values) -> state.put(name, engine.read(values)));
    return state.buildOrThrow();
  }

  @Override
  public void restore(String name, float[] values) {
    engine.write(moments.get(name), values);
  }

  @Override
  public void close() {
    moments.values().forEach(engine::free);
  }
}
