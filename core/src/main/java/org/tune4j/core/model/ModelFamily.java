package org.tune4j.core.model;

import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/**
 * A family of decoder-only models, by the {@code model_type} of their {@code config.json}; found by
 * {@link java.util.ServiceLoader}.
 */
public interface ModelFamily {
  /** Returns the value of {@code model_type}. */
  String modelType();

  /** Returns the class in transformers, as {@code architectures} lists it. */
  String className();

  /**
   * Reads what a {@code config.json} of this family means. Absent keys have the family's defaults
   * in transformers; what would change the output and is not implemented is refused by name.
   *
   * @param fields of the file
   * @param json its text
   * @throws MalformedFileException if it is malformed or describes what cannot be run
   */
  ModelConfig read(JsonFields fields, String json) throws MalformedFileException;
}
