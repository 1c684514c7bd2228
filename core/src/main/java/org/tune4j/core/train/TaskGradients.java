package org.tune4j.core.train;

import com.google.common.collect.ImmutableMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tensor;

/**
 * The separate gradients of an adapter in a step, by task; only for lanes whose hooks need them.
 */
final class TaskGradients implements AutoCloseable {
  private final Parameters parameters;
  private final Engine engine;
  private final Map<String, Tensor> storage = new LinkedHashMap<>();
  private final Map<String, Tensor> ofStep = new LinkedHashMap<>();

  TaskGradients(Parameters parameters) {
    this.parameters = parameters;
    engine = parameters.engine();
  }

  /** Starts a step. */
  void clear() {
    ofStep.clear();
  }

  /** Stores the gradients accumulated since the last call as those of a task, and clears them. */
  void store(String task) {
    Tensor kept =
        storage.computeIfAbsent(task, t -> engine.persistent(1, parameters.size(), DType.F32));
    engine.copy(parameters.flatGradients(), kept);
    ofStep.put(task, kept);
    parameters.zeroGradients();
  }

  /** Adds all to the adapter's gradients, which are zero before. */
  void sum() {
    ofStep.values().forEach(g -> engine.add(g, parameters.flatGradients()));
  }

  ImmutableMap<String, Tensor> ofStep() {
    return ImmutableMap.copyOf(ofStep);
  }

  @Override
  public void close() {
    storage.values().forEach(engine::free);
  }
}
