package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.Map;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tensor;

/**
 * What is done to an adapter's gradients between the backward pass and clipping. A regulariser
 * (elastic weight consolidation, say) adds the gradient of its penalty; gradient surgery (PCGrad)
 * replaces the sum over tasks by what it makes of their gradients one by one; training on several
 * machines replaces them by the mean over all machines.
 *
 * <p>A {@linkplain Stage.Builder#gradients stage} carries hooks, which run in order for each of its
 * adapters, in each step that the adapter trains. {@code toString} says all that determines one: it
 * is shown in the plan, and a run is only resumed with hooks that say the same.
 */
public interface GradientHook {
  /** Returns its name: stages whose hooks have the same name share their states. */
  String name();

  /**
   * Returns whether it is to have the gradients of each task by themselves. The tasks of an adapter
   * are then run in passes apart, which takes more time where they are small, and as much memory
   * more as the adapter's gradients, for each task.
   */
  default boolean byTask() {
    return false;
  }

  /**
   * Returns how many copies of an adapter's parameters in F32 its state holds outside the heap,
   * beside the {@linkplain #byTask gradients of each task}: for the estimate of memory.
   */
  default int copies() {
    return 0;
  }

  /**
   * Returns how many examples it {@linkplain State#stageEnds looks at} when a stage has ended, for
   * the price of a plan; at most those that the stage drew.
   */
  default int examplesAtEnd() {
    return 0;
  }

  /**
   * Returns its state for an adapter, made when a stage first trains that adapter with this hook,
   * and kept until the run ends.
   *
   * @param parameters as the first stage finds them
   */
  State start(Parameters parameters);

  /**
   * What a hook knows of an adapter. All of it is part of every checkpoint: what is made by {@link
   * GradientHook#start} and given back what was saved goes on with the same bits.
   *
   * <p>All calls but {@link #close} are made by one who holds the engine's lock. The {@link
   * Parameters} of an adapter may be others in another stage, of the same size.
   */
  interface State extends AutoCloseable {
    /** A stage begins to train the adapter; not told again when a run is resumed within it. */
    default void stageBegins(Stage stage, Parameters parameters) {}

    /** Changes the gradients of a step, in place. */
    void apply(Gradients gradients);

    /**
     * A stage has trained the adapter, which has the values that it keeps from it; told only if a
     * later stage trains the adapter with this hook.
     *
     * @param examples those that the stage drew
     */
    default void stageEnds(Stage stage, Parameters parameters, ExampleGradients examples) {}

    /** Returns what must be kept for an exact resume, by name. */
    default Map<String, float[]> save() {
      return Map.of();
    }

    /** Takes back what {@link #save} returned. */
    default void restore(Map<String, float[]> saved) {}

    /** Returns what it found out, for people: part of the run's result. */
    default ImmutableList<Figure> figures() {
      return ImmutableList.of();
    }

    /** Frees what it holds outside the heap. */
    @Override
    default void close() {}
  }

  /** Forms the gradients of single examples at the adapter's present values. */
  interface ExampleGradients {
    /**
     * Runs examples one by one, the first that the stage drew, which are a random sample of its
     * data. Before each call of {@code then}, {@link Parameters#flatGradients()} holds the gradient
     * of the sum of an example's losses in nats, over all its learned tokens, with dropout if the
     * adapter has any.
     *
     * @param count at most
     * @return how many there were
     */
    int each(int count, Runnable then);
  }

  /**
   * The gradients of an adapter in a step.
   *
   * @param stage the stage
   * @param step from 1, within the stage
   * @param parameters the adapter's: {@link Parameters#flatGradients()} is what is clipped and
   *     given to the optimizer afterwards, the gradient of the mean loss over all tokens of the
   *     step that are learned
   * @param below of the frozen adapters under it, in the order of {@link Stage#below()}
   * @param byTask for a hook that asks {@linkplain GradientHook#byTask() for them}, the part of
   *     each task that is in this step, F32 {@code [1, size]}; their sum is what {@code
   *     flatGradients} holds at first, and a hook that changes one changes the other for the hooks
   *     after it
   * @param lossByTask of each of the adapter's tasks in this step, in nats per learned token
   */
  record Gradients(
      Stage stage,
      int step,
      Parameters parameters,
      ImmutableList<Parameters> below,
      ImmutableMap<String, Tensor> byTask,
      ImmutableMap<String, Double> lossByTask) {
    /**
     * Makes the gradients of each task so many times what they are, and the whole their sum.
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
   * A number that a hook found out.
   *
   * @param name what it is, as {@code weight}
   * @param tasks of which; may be none
   */
  record Figure(String name, ImmutableList<String> tasks, double value) {}
}
