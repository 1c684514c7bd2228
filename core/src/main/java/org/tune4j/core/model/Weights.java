package org.tune4j.core.model;

import java.io.IOException;
import org.tune4j.core.engine.MatrixSource;

/** Where a model's weights come from, by the names that transformers gives them. */
interface Weights extends AutoCloseable {
  /** Returns a matrix stored {@code [rows, cols]}. */
  MatrixSource matrix(String name, int rows, int cols);

  /** Returns as {@code [rows, cols]} a matrix stored {@code [cols, rows]}. */
  MatrixSource transposed(String name, int rows, int cols);

  /** Returns a bias or a norm's weight: {@code [length]}. */
  float[] vector(String name, int length);

  /** Lets go of the files; what has not been read no longer can be. */
  @Override
  default void close() throws IOException {}
}
