package org.tune4j.strategies;

import java.util.HashMap;
import java.util.Map;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.train.GradientHook;
import org.tune4j.core.train.Stage;

/**
 * A gradient hook as a user writes one: draws parameters back to where the stage found them, each
 * the stronger the larger its gradients have been, as elastic weight consolidation does online
 * (Schwarz et al. 2018): adds {@code strength * importance * (w - start)}. What it knows of
 * importance it keeps from stage to stage.
 */
record ToStart(float strength) implements GradientHook {
  @Override
  public String name() {
    return "to start";
  }

  @Override
  public State start(Parameters parameters) {
    return new Kept(parameters.size());
  }

  private final class Kept implements State {
    private float[] start;
    private float[] importance;

    Kept(int size) {
      start = new float[size];
      importance = new float[size];
    }

    @Override
    public void stageBegins(Stage stage, Parameters parameters) {
      start = parameters.engine().read(parameters.flat());
    }

    @Override
    public void apply(Gradients g) {
      Engine engine = g.parameters().engine();
      float[] gradients = engine.read(g.parameters().flatGradients());
      float[] weights = engine.read(g.parameters().flat());
      for (int i = 0; i < gradients.length; i++) {
        importance[i] = 0.9f * importance[i] + gradients[i] * gradients[i];
        gradients[i] += strength * importance[i] * (weights[i] - start[i]);
      }
      engine.write(g.parameters().flatGradients(), gradients);
    }

    @Override
    public Map<String, float[]> save() {
      Map<String, float[]> all = new HashMap<>();
      all.put("start", start.clone());
      all.put("importance", importance.clone());
      return all;
    }

    @Override
    public void restore(Map<String, float[]> saved) {
      start = saved.get("start").clone();
      importance = saved.get("importance").clone();
    }
  }
}
