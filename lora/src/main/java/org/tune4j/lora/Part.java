package org.tune4j.lora;

import com.google.common.collect.ImmutableMap;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import org.tune4j.core.engine.MatrixSource;

/**
 * What an adapter is in one group of its model. It is a {@link
 * org.tune4j.core.engine.ProjectionAdapter} too, on linear layers and the output head, or an {@link
 * org.tune4j.core.engine.EmbeddingAdapter}: that is its forward and backward pass.
 */
interface Part {
  /**
   * Gives its parameters their initial values.
   *
   * @param begin those of A and B by target, to be asked for in order
   */
  void initialise(Function<Target, Factors> begin);

  /**
   * Returns the group's weights with it merged in, computed as they are read.
   *
   * @param sources what to merge into, one per member of the group
   */
  List<MatrixSource> merged(List<MatrixSource> sources);

  /**
   * Returns the factors of what it adds to a module's own weights, without its scale; nothing if
   * what it does is no sum.
   */
  default Optional<Factors> update(Target target) {
    return Optional.empty();
  }

  /** Returns what is stored in place of the values of parameters, by name: where these differ. */
  default ImmutableMap<String, LoraAdapter.Stored> storedOtherwise() {
    return ImmutableMap.of();
  }

  /** Frees what it holds besides parameters. */
  default void free() {}
}
