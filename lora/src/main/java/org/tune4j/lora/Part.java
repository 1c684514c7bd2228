package org.tune4j.lora;

import com.google.common.collect.ImmutableMap;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import org.tune4j.core.engine.MatrixSource;

/**
 * The part of an adapter in one group of its model. It also implements {@link
 * org.tune4j.core.engine.ProjectionAdapter} for linear layers and the output head, or {@link
 * org.tune4j.core.engine.EmbeddingAdapter}, which are its forward and backward pass.
 */
interface Part {
  /**
   * Sets its parameters to their initial values.
   *
   * @param initialValues of A and B by target; called in order
   */
  void initialise(Function<Target, Factors> initialValues);

  /**
   * Returns the group's weights with it merged in, computed as they are read.
   *
   * @param sources what to merge into, one per member of the group
   */
  List<MatrixSource> merged(List<MatrixSource> sources);

  /**
   * Returns the factors of the update to a module's own weights, without the scale; empty if its
   * effect is not a sum.
   */
  default Optional<Factors> update(Target target) {
    return Optional.empty();
  }

  /**
   * Returns the tensors to store instead of the values of parameters, by name, where these differ.
   */
  default ImmutableMap<String, LoraAdapter.Stored> storedReplacements() {
    return ImmutableMap.of();
  }

  /** Frees everything except parameters. */
  default void free() {}
}
