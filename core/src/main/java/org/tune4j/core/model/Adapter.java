package org.tune4j.core.model;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.ProjectionAdapter;

/**
 * A set of small trainable changes to a frozen {@link LanguageModel}, one per adapted projection.
 * Several may be loaded on one model and chosen per call. Implementations pass {@code
 * AdapterContract}.
 *
 * <p>Not thread-safe while it is trained; any number of threads may use it for inference otherwise.
 * Closing frees its parameters.
 */
public interface Adapter extends AutoCloseable {
  /** Returns its name, unique among the adapters of a run. */
  String name();

  /** Returns its parameters, in one flat buffer. */
  Parameters parameters();

  /** Returns what it does to a group's output; nothing if it leaves the group alone. */
  Optional<ProjectionAdapter> on(ProjectionGroup group);

  /** Returns whether gradients of its parameters are formed. */
  boolean trainable();

  /**
   * Stops (or resumes) the forming of gradients: a frozen adapter takes part in the forward pass
   * only.
   */
  void setTrainable(boolean trainable);

  /**
   * Adds it to the model's own weights, on top of what was merged before; run the model without it
   * from then on. {@link ProjectionGroup#restore()} undoes all merges.
   *
   * @throws UnsupportedOperationException if this kind of adapter cannot be merged
   */
  default void mergeIntoModel() {
    throw new UnsupportedOperationException(
        getClass().getSimpleName() + " cannot be merged into weights");
  }

  /**
   * Writes it to a directory in its ecosystem's format (PEFT), replacing what was there only once
   * all is written.
   */
  void save(Path directory) throws IOException;

  @Override
  void close();
}
