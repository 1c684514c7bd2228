package org.tune4j.core.data;

import java.util.List;

/**
 * The encoded examples of a split, by number: in the heap, or read where they are stored as they
 * are asked for. A run asks for the same one again in each epoch, in an order of its own, and from
 * one thread at a time.
 */
public interface EncodedExamples {
  /** Returns how many there are. */
  int size();

  /**
   * Returns one of them.
   *
   * @param index from 0, below {@link #size()}
   */
  EncodedExample get(int index);

  /** Returns the examples of a list. */
  static EncodedExamples of(List<EncodedExample> examples) {
    return new EncodedExamples() {
      @Override
      public int size() {
        return examples.size();
      }

      @Override
      public EncodedExample get(int index) {
        return examples.get(index);
      }
    };
  }
}
