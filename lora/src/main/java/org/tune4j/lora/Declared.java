package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import org.tune4j.core.model.Projection;

/**
 * The declaration of an adapter's parameter, with PEFT's name and shape.
 *
 * @param name as in PEFT's files, without the prefix
 * @param shape one or two dimensions, as in PEFT's files
 * @param of the module that it belongs to
 * @param rankAt index of the dimension that is the rank; -1 for none
 * @param transposed whether it is held transposed, as an embedding's A, whose columns are looked up
 * @param frozen whether it is not trained
 */
record Declared(
    String name,
    ImmutableList<Integer> shape,
    Projection of,
    int rankAt,
    boolean transposed,
    boolean frozen) {

  /** Returns the declaration of a matrix {@code [rows, cols]} or, with one dimension, a vector. */
  static Declared of(Projection p, String ending, int rankAt, Integer... shape) {
    return new Declared(
        p.name() + "." + ending, ImmutableList.copyOf(shape), p, rankAt, false, false);
  }

  /** Returns a copy that is held transposed. */
  Declared heldTransposed() {
    return new Declared(name, shape, of, rankAt, true, frozen);
  }

  /** Returns a copy that is frozen or not. */
  Declared frozen(boolean value) {
    return new Declared(name, shape, of, rankAt, transposed, value);
  }

  /** Returns the number of rows as held in memory. */
  int rows() {
    return shape.size() == 1 ? 1 : shape.get(transposed ? 1 : 0);
  }

  /** Returns the number of columns as held in memory. */
  int cols() {
    return shape.get(shape.size() == 1 || transposed ? 0 : 1);
  }

  long size() {
    return (long) rows() * cols();
  }
}
