package org.tune4j.core.model;

import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/**
 * A family of decoder-only models, identified by the {@code model_type} of their {@code
 * config.json}; found by {@link java.util.ServiceLoader}.
 */
public interface ModelFamily {
  /** Returns the value of {@code model_type}. */
  String modelType();

  /** Returns the class in transformers, as {@code architectures} lists it. */
  String className();

  /**
   * Interprets a {@code config.json} of this family. Absent keys have the family's defaults in
   * transformers; anything that would change the output and is not implemented is refused by name.
   *
   * @param fields the file's fields
   * @param json the file's text
   * @throws MalformedFileException if it is malformed or describes an unsupported model
   */
  ModelConfig read(JsonFields fields, String json) throws MalformedFileException;
}
