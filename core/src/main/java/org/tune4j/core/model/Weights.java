package org.tune4j.core.model;

import org.tune4j.core.engine.MatrixSource;

/** Where a model's weights come from, by the names that transformers gives them. */
interface Weights {
  /** Returns a matrix stored {@code [rows, cols]}. */
  MatrixSource matrix(String name, int rows, int cols);

  /** Returns as {@code [rows, cols]} a matrix stored {@code [cols, rows]}. */
  MatrixSource transposed(String name, int rows, int cols);

  /** Returns a vector. */
  float[] vector(String name, int length);
}
