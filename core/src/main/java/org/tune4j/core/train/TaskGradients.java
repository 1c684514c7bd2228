package org.tune4j.core.train;

import com.google.common.collect.ImmutableMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tensor;

/** The gradients of an adapter in a step, by task: what a lane has whose hooks ask for them. */
final class TaskGradients implements AutoCloseable {
  private final Parameters parameters;
  private final Engine engine;
  private final Map<String, Tensor> storage = new LinkedHashMap<>();
  private final Map<String, Tensor> ofStep = new LinkedHashMap<>();

  TaskGradients(Parameters parameters) {
    this.parameters = parameters;
    engine = parameters.engine();
  }

  /** Begins a step. */
  void clear() {
    ofStep.clear();
  }

  /** Takes the gradients that were formed since the last call as those of a task. */
  void take(String task) {
    Tensor kept =
        storage.computeIfAbsent(task, t -> engine.persistent(1, parameters.size(), DType.F32));
    engine.copy(parameters.flatGradients(), kept);
    ofStep.put(task, kept);
    parameters.zeroGradients();
  }

  /** Makes the adapter's gradients their sum. */
  void sum() {
    ofStep.values().forEach(g -> engine.add(g, parameters.flatGradients()));
  }

  /** Returns those of the step. */
  ImmutableMap<String, Tensor> ofStep() {
    return ImmutableMap.copyOf(ofStep);
  }

  @Override
  public void close() {
    storage.values().forEach(engine::free);
  }
}
