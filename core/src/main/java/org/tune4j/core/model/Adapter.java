package org.tune4j.core.model;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.tune4j.core.engine.EmbeddingAdapter;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.ProjectionAdapter;

/**
 * A set of small trainable changes to a frozen {@link AdaptableModel}, one per adapted projection,
 * embedding or output head. Several may be loaded on one model and chosen per call. Implementations
 * pass {@code AdapterContract}.
 *
 * <p>Not thread-safe while it is trained; any number of threads may use it for inference otherwise.
 * Closing frees its parameters.
 */
public interface Adapter extends AutoCloseable {
  /** Returns its name, unique among the adapters of a run. */
  String name();

  /** Returns the model that it was made for and works on. */
  AdaptableModel model();

  /** Returns its parameters, in one flat buffer. */
  Parameters parameters();

  /**
   * Returns what it does to a group's output; nothing if it leaves the group alone, or if the group
   * is an embedding.
   */
  Optional<ProjectionAdapter> on(ProjectionGroup group);

  /** Returns what it does to rows of an embedding; nothing if it leaves that alone. */
  default Optional<EmbeddingAdapter> onRows(ProjectionGroup embedding) {
    return Optional.empty();
  }

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
    model().engine().lock().lock();
    try {
      for (ProjectionGroup group : model().groups()) {
        List<MatrixSource> sources = merged(group, group.sources());
        if (!sources.equals(group.sources())) {
          group.merge(sources);
        }
      }
    } finally {
      model().engine().lock().unlock();
    }
  }

  /**
   * Returns a group's weights with this adapter merged in, computed when they are read; {@code
   * sources} themselves where it leaves the group alone.
   *
   * @param group of {@link #model()}
   * @param sources what to merge into, one per member of the group: its own weights, or those with
   *     other adapters in them
   * @throws UnsupportedOperationException if this kind of adapter cannot be merged
   */
  default List<MatrixSource> merged(ProjectionGroup group, List<MatrixSource> sources) {
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
