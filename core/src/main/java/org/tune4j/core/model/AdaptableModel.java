package org.tune4j.core.model;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.LearnedTurns;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.io.ElementType;

/**
 * A frozen model that adapters are trained on, as a trainer sees it. {@link LanguageModel} is one;
 * another kind of network implements this, with an {@link AdapterFactory} for its layers, to be
 * trained, validated, checkpointed and resumed in the same way.
 *
 * <p>Callers of the methods of a step, {@link #addGradients} and {@link #losses}, hold the engine's
 * {@linkplain Engine#lock() lock} and reset its arena afterwards. The same calls give the same
 * bits.
 */
public interface AdaptableModel extends AutoCloseable {
  /** Returns the name for messages. */
  String name();

  /**
   * Returns everything that determines what it computes, on one line: its kind, size and weights. A
   * run is only resumed on a model with the same fingerprint.
   */
  String fingerprint();

  /** Returns the engine that it runs on and that holds the parameters of its adapters. */
  Engine engine();

  /** Returns the groups of named weights that adapters can be attached to. */
  ImmutableList<ProjectionGroup> groups();

  /**
   * Checks that the model can be used.
   *
   * @throws IllegalStateException if it is closed
   */
  void requireOpen();

  /** Returns the directory that it can be loaded from again, if any. */
  default Optional<Path> source() {
    return Optional.empty();
  }

  // ---- data

  /**
   * Returns an encoder of tasks for this model. A network whose inputs are not tokens can encode
   * only the {@linkplain org.tune4j.core.data.EncodedExample#example index} of examples and look up
   * the rest.
   *
   * @param maxLength most tokens of an example
   * @param policy what happens to longer ones
   * @param turns which turns of a conversation are learned
   */
  TaskEncoder encoder(int maxLength, LengthPolicy policy, LearnedTurns turns);

  // ---- steps

  /**
   * Runs a pass forward and backward and adds the gradient of {@code sum over targets (weight of
   * the lane * loss)} to the gradients of all {@linkplain Adapter#trainable() trainable} adapters.
   *
   * @param weights factor of each lane's losses
   * @param mode {@link Tape.Mode#RECORDING}, or {@link Tape.Mode#CHECKPOINTING} to recompute
   *     activations instead of keeping them
   * @param seed determines dropout, if there is any
   * @param pause run between operations: it may let other steps run, or abort this one by an
   *     exception
   * @return the losses, unweighted
   */
  PassLosses addGradients(Pass pass, float[] weights, Tape.Mode mode, long seed, Runnable pause);

  /**
   * Computes the losses of a pass, without dropout.
   *
   * @param pause as in {@link #addGradients}
   */
  PassLosses losses(Pass pass, Runnable pause);

  /** Computes the losses of a pass, without dropout, as a step of its own. */
  default PassLosses losses(Pass pass) {
    engine().lock().lock();
    try {
      requireOpen();
      return losses(pass, () -> {});
    } finally {
      if (engine().lock().getHoldCount() == 1) {
        engine().resetArena();
      }
      engine().lock().unlock();
    }
  }

  /**
   * Estimates the memory that training takes in addition to the loaded model; empty if unknown.
   *
   * @param rows tokens of a pass
   * @param longest tokens of the longest example
   * @param trainable number of trained parameters
   * @param merges number of times that adapters are {@linkplain #withMerged merged}
   */
  default Optional<MemoryEstimate> trainingMemory(
      int rows, int longest, long trainable, Tape.Mode mode, int merges) {
    return Optional.empty();
  }

  // ---- answers

  /** Says what a model answers to examples. */
  @FunctionalInterface
  interface Answers {
    /**
     * Returns the answers, in order, as the examples' completions are written.
     *
     * @param task of the examples
     * @param adapters applied in order
     */
    List<String> of(Task task, List<Example> examples, List<? extends Adapter> adapters);
  }

  /**
   * Returns what says its answers, of a model that gives them at once, as a classifier does;
   * nothing of a language model, whose answers are found among texts by their likelihood, or
   * generated.
   */
  default Optional<Answers> answers() {
    return Optional.empty();
  }

  // ---- models that share weights

  /**
   * Returns a model of the same kind with adapters merged into its weights, in order; this one is
   * unchanged. The caller closes it before this one.
   *
   * @param directory where it is or will be saved, which its adapters will name as their base
   * @throws UnsupportedOperationException if adapters cannot be merged, so that strategies which
   *     merge do not support this model
   */
  default AdaptableModel withMerged(List<? extends Adapter> adapters, Path directory) {
    throw new UnsupportedOperationException(name() + " cannot have adapters merged into it");
  }

  /**
   * Saves the model, replacing what was there once everything is written.
   *
   * @throws UnsupportedOperationException if it cannot be saved
   */
  default void save(Path directory, ElementType type) throws IOException {
    throw new UnsupportedOperationException(name() + " cannot be saved");
  }

  @Override
  void close();
}
