package org.tune4j.core.model;

import static java.util.stream.Collectors.joining;

import com.google.common.collect.ImmutableList;
import java.util.Optional;
import java.util.ServiceLoader;

/** All families on the class path. */
final class ModelFamilies {
  // loaded once, so that configurations of the same family are equal
  private static final ImmutableList<ModelFamily> ALL =
      ImmutableList.copyOf(
          ServiceLoader.load(ModelFamily.class, ModelFamilies.class.getClassLoader()));

  private ModelFamilies() {}

  /** Returns the family of a {@code model_type}. */
  static Optional<ModelFamily> of(String modelType) {
    return ALL.stream().filter(f -> f.modelType().equals(modelType)).findFirst();
  }

  /** Returns all {@code model_type}s, for messages. */
  static String supported() {
    return ALL.stream().map(ModelFamily::modelType).collect(joining(", "));
  }
}
