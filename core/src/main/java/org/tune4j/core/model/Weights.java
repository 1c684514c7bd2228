package org.tune4j.core.model;

import java.io.IOException;
import org.tune4j.core.engine.MatrixSource;

/** The source of a model's weights, by their names in transformers. */
interface Weights extends AutoCloseable {
  /** Returns a matrix stored as {@code [rows, cols]}. */
  MatrixSource matrix(String name, int rows, int cols);

  /** Returns a matrix stored as {@code [cols, rows]} as {@code [rows, cols]}. */
  MatrixSource transposed(String name, int rows, int cols);

  /** Returns a bias or a norm's weight: {@code [length]}. */
  float[] vector(String name, int length);

  /** Closes the files; nothing can be read afterwards. */
  @Override
  default void close() throws IOException {}
}
