package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.Map;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tensor;

/**
 * Modifies an adapter's gradients between the backward pass and clipping. A regulariser (such as
 * elastic weight consolidation) adds the gradient of its penalty; gradient surgery (PCGrad)
 * replaces the sum over tasks by another combination of their gradients; training on several
 * machines replaces them by the mean over all machines.
 *
 * <p>The hooks of a {@linkplain Stage.Builder#gradients stage} run in order for each of its
 * adapters, in each step that the adapter trains. {@code toString} describes everything that
 * determines a hook: it is shown in the plan, and a run is only resumed with hooks of the same
 * description.
 */
public interface GradientHook {
  /** Returns the name: hooks of the same name in several stages share their state. */
  String name();

  /**
   * Returns whether it needs the gradients of each task separately. The tasks of an adapter are
   * then run in separate passes, which takes more time if they are small, and additional memory for
   * one copy of the adapter's gradients per task.
   */
  default boolean byTask() {
    return false;
  }

  /**
   * Returns how many off-heap F32 copies of an adapter's parameters its state holds, besides the
   * {@linkplain #byTask gradients of each task}; for estimating memory.
   */
  default int copies() {
    return 0;
  }

  /**
   * Returns the most examples that it {@linkplain State#stageEnds runs} at the end of a stage, for
   * estimating the cost of a plan; no more than the stage drew.
   */
  default int examplesAtEnd() {
    return 0;
  }

  /**
   * Creates the state for an adapter when a stage first trains that adapter with this hook; it is
   * kept until the run ends.
   *
   * @param parameters as they are at the start of that stage
   */
  State start(Parameters parameters);

  /**
   * The state of a hook for an adapter. Checkpoints include it: a state created by {@link
   * GradientHook#start} and {@linkplain #restore restored} continues with the same bits.
   *
   * <p>All methods except {@link #close} are called under the engine's lock. The {@link Parameters}
   * of an adapter may be a different object of the same size in another stage.
   */
  interface State extends AutoCloseable {
    /**
     * Called when a stage starts to train the adapter, but not when a run is resumed within the
     * stage.
     */
    default void stageBegins(Stage stage, Parameters parameters) {}

    /** Modifies the gradients of a step in place. */
    void apply(Gradients gradients);

    /**
     * Called when a stage has trained the adapter, which has its final values of the stage; only if
     * a later stage trains the adapter with this hook.
     *
     * @param examples access to the examples that the stage drew
     */
    default void stageEnds(Stage stage, Parameters parameters, ExampleGradients examples) {}

    /** Returns the state needed for an exact resume, by name. */
    default Map<String, float[]> save() {
      return Map.of();
    }

    /** Restores what {@link #save} returned. */
    default void restore(Map<String, float[]> saved) {}

    /** Returns figures of interest to users, which are part of the run's result. */
    default ImmutableList<Figure> figures() {
      return ImmutableList.of();
    }

    /** Frees off-heap memory. */
    @Override
    default void close() {}
  }

  /** Computes the gradients of single examples at the adapter's current values. */
  interface ExampleGradients {
    /**
     * Runs the first examples that the stage drew, which are a random sample of its data, one by
     * one. Before each call of {@code then}, {@link Parameters#flatGradients()} holds the gradient
     * of the example's loss in nats, summed over its learned tokens, with dropout if the adapter
     * has any.
     *
     * @param count most examples
     * @return the number of examples run
     */
    int each(int count, Runnable then);
  }

  /**
   * The gradients of an adapter in a step.
   *
   * @param step from 1, within the stage
   * @param parameters the adapter's, whose {@link Parameters#flatGradients()} are clipped and
   *     passed to the optimizer afterwards: the gradient of the mean loss over all learned tokens
   *     of the step
   * @param below parameters of the frozen adapters below it, in the order of {@link Stage#below()}
   * @param byTask for hooks that {@linkplain GradientHook#byTask() need them}, the contribution of
   *     each task in this step, F32 {@code [1, size]}. Initially {@code flatGradients} is their
   *     sum; a hook that modifies either should modify both, for later hooks
   * @param lossByTask loss of each of the adapter's tasks in this step, in nats per learned token
   */
  record Gradients(
      Stage stage,
      int step,
      Parameters parameters,
      ImmutableList<Parameters> below,
      ImmutableMap<String, Tensor> byTask,
      ImmutableMap<String, Double> lossByTask) {
    /**
     * Scales the gradients of each task, and sets the adapter's gradients to their sum.
     *
     * @param factors in the order of {@link #byTask}
     */
    public void combine(double[] factors) {
      Engine engine = parameters.engine();
      parameters.zeroGradients();
      int i = 0;
      for (Tensor own : byTask.values()) {
        engine.scale(own, (float) factors[i++]);
        engine.add(own, parameters.flatGradients());
      }
    }
  }

  /**
   * A number reported by a hook.
   *
   * @param name such as {@code weight}
   * @param tasks the tasks that it concerns; may be empty
   */
  record Figure(String name, ImmutableList<String> tasks, double value) {}
}
