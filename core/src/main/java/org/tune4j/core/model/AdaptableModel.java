package org.tune4j.core.model;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.LearnedTurns;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.io.ElementType;

/**
 * A frozen model that adapters are trained on: all that a trainer asks of one. {@link
 * LanguageModel} is one; a network of another kind implements this, with an {@link AdapterFactory}
 * for its layers, and is trained, validated, checkpointed and resumed like it.
 *
 * <p>The methods of a step, {@link #addGradients} and {@link #losses}, are called by one who holds
 * the engine's {@linkplain Engine#lock() lock} and resets its arena afterwards. The same calls give
 * the same bits.
 */
public interface AdaptableModel extends AutoCloseable {
  /** Returns what messages call it. */
  String name();

  /**
   * Returns all that determines what it computes, on one line: its kind, size and weights. A run is
   * only resumed on a model that says the same.
   */
  String fingerprint();

  /** Returns what it runs on, and what the parameters of its adapters lie in. */
  Engine engine();

  /** Returns what adapters can be attached to; the members of each have names. */
  ImmutableList<ProjectionGroup> groups();

  /**
   * Checks that the model can be used.
   *
   * @throws IllegalStateException if it is closed
   */
  void requireOpen();

  /** Returns where it can be loaded from again, if anywhere. */
  default Optional<Path> source() {
    return Optional.empty();
  }

  // ---- data

  /**
   * Returns what encodes tasks for it. A network whose inputs are no tokens can give examples their
   * {@linkplain org.tune4j.core.data.EncodedExample#example index} alone and look the rest up.
   *
   * @param maxLength most tokens of an example
   * @param policy what happens to longer ones
   * @param turns which turns of a conversation are learned
   */
  TaskEncoder encoder(int maxLength, LengthPolicy policy, LearnedTurns turns);

  // ---- steps

  /**
   * Runs a pass forward and backward and adds the gradient of {@code sum over targets (weight of
   * the lane * loss)} to those of all {@linkplain Adapter#trainable() trainable} adapters.
   *
   * @param weights of each lane's losses
   * @param mode {@link Tape.Mode#RECORDING}, or {@link Tape.Mode#CHECKPOINTING} to keep little and
   *     compute it again
   * @param seed determines dropout, if there is any
   * @param pause run between operations: it lets others have turns, and may end the step by an
   *     exception
   * @return the losses, unweighted
   */
  PassLosses addGradients(Pass pass, float[] weights, Tape.Mode mode, long seed, Runnable pause);

  /**
   * Runs a pass for its losses, without dropout.
   *
   * @param pause as in {@link #addGradients}
   */
  PassLosses losses(Pass pass, Runnable pause);

  /** Runs a pass for its losses, as a step of its own. */
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
   * Reckons the memory that training takes beyond the model as it is; nothing if that is not known.
   *
   * @param rows tokens of a pass
   * @param longest tokens of the longest example
   * @param trainable parameters in training
   * @param merges how often adapters are {@linkplain #withMerged merged}
   */
  default Optional<MemoryEstimate> trainingMemory(
      int rows, int longest, long trainable, Tape.Mode mode, int merges) {
    return Optional.empty();
  }

  // ---- models that share weights

  /**
   * Returns a model of the same kind with adapters merged into its weights, in order; this one is
   * left alone. It is closed before this one.
   *
   * @param directory where it is or will be saved: what its adapters name as their base
   * @throws UnsupportedOperationException if that cannot be done: strategies that merge are not for
   *     this model
   */
  default AdaptableModel withMerged(List<? extends Adapter> adapters, Path directory) {
    throw new UnsupportedOperationException(name() + " cannot have adapters merged into it");
  }

  /**
   * Saves it, replacing what was there once all is written.
   *
   * @throws UnsupportedOperationException if it cannot be saved
   */
  default void save(Path directory, ElementType type) throws IOException {
    throw new UnsupportedOperationException(name() + " cannot be saved");
  }

  @Override
  void close();
}
