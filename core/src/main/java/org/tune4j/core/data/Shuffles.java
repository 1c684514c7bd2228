package org.tune4j.core.data;

import java.util.Arrays;
import java.util.Random;

/**
 * Shuffles arrays as {@link java.util.Collections#shuffle(java.util.List, Random)} shuffles lists.
 */
public final class Shuffles {
  private Shuffles() {}

  /** Returns the numbers from 0 to {@code size - 1} in a random order. */
  public static int[] numbers(int size, Random random) {
    int[] numbers = new int[size];
    Arrays.setAll(numbers, i -> i);
    shuffle(numbers, random);
    return numbers;
  }

  /** Shuffles in place. */
  public static void shuffle(int[] values, Random random) {
    for (int i = values.length; i > 1; i--) {
      int k = random.nextInt(i);
      int last = values[i - 1];
      values[i - 1] = values[k];
      values[k] = last;
    }
  }
}
