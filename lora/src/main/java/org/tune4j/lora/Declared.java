package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import org.tune4j.core.model.Projection;

/**
 * A parameter of an adapter, as PEFT names and shapes it.
 *
 * @param name as in PEFT's files, without their prefix
 * @param shape one or two dimensions, as in PEFT's files
 * @param of the module that it belongs to
 * @param rankAt which dimension is the rank of the module's update; -1 for none
 * @param transposed whether it is kept transposed: columns of an embedding's A are looked up
 * @param frozen whether training leaves it as it is
 */
record Declared(
    String name,
    ImmutableList<Integer> shape,
    Projection of,
    int rankAt,
    boolean transposed,
    boolean frozen) {

  /** Returns a matrix {@code [rows, cols]} or, with one dimension, a vector. */
  static Declared of(Projection p, String ending, int rankAt, Integer... shape) {
    return new Declared(
        p.name() + "." + ending, ImmutableList.copyOf(shape), p, rankAt, false, false);
  }

  /** Returns the same, kept transposed. */
  Declared keptTransposed() {
    return new Declared(name, shape, of, rankAt, true, frozen);
  }

  /** Returns the same, frozen if so. */
  Declared frozen(boolean value) {
    return new Declared(name, shape, of, rankAt, transposed, value);
  }

  /** Returns the rows as it is kept. */
  int rows() {
    return shape.size() == 1 ? 1 : shape.get(transposed ? 1 : 0);
  }

  /** Returns the columns as it is kept. */
  int cols() {
    return shape.get(shape.size() == 1 || transposed ? 0 : 1);
  }

  long size() {
    return (long) rows() * cols();
  }
}
