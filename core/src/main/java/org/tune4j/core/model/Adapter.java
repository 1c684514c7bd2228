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
 * embedding or output head. A model may have several, chosen per call. Implementations pass {@code
 * AdapterContract}.
 *
 * <p>Not thread-safe while it is trained; otherwise any number of threads may use it for inference.
 * Closing it frees its parameters.
 */
public interface Adapter extends AutoCloseable {
  /** Returns the name, which is unique among the adapters of a run. */
  String name();

  /** Returns the model that it was created for. */
  AdaptableModel model();

  /** Returns all parameters, in one flat buffer. */
  Parameters parameters();

  /**
   * Returns its effect on a group's output; empty if it does not adapt the group, or if the group
   * is an embedding.
   */
  Optional<ProjectionAdapter> on(ProjectionGroup group);

  /** Returns its effect on rows of an embedding; empty if it does not adapt it. */
  default Optional<EmbeddingAdapter> onRows(ProjectionGroup embedding) {
    return Optional.empty();
  }

  /** Returns whether its parameters receive gradients. */
  boolean trainable();

  /** Freezes or unfreezes the adapter: a frozen one only takes part in the forward pass. */
  void setTrainable(boolean trainable);

  /**
   * Merges it into the model's own weights, on top of earlier merges; run the model without it from
   * then on. {@link ProjectionGroup#restore()} undoes all merges.
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
   * sources} itself if it does not adapt the group.
   *
   * @param group of {@link #model()}
   * @param sources the weights to merge into, one per member of the group; other adapters may
   *     already be merged into them
   * @throws UnsupportedOperationException if this kind of adapter cannot be merged
   */
  default List<MatrixSource> merged(ProjectionGroup group, List<MatrixSource> sources) {
    throw new UnsupportedOperationException(
        getClass().getSimpleName() + " cannot be merged into weights");
  }

  /**
   * Saves it to a directory in the format of its ecosystem (PEFT), replacing what was there once
   * everything is written.
   */
  void save(Path directory) throws IOException;

  @Override
  void close();
}
