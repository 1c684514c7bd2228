package org.tune4j.core.engine;

/**
 * SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014, with the
 * constants of {@link java.util.SplittableRandom}) with random access: any number of the sequence
 * can be computed without those before it, so that random values need no state and do not depend on
 * the order or the number of threads.
 */
public final class SplitMix64 {
  /** The distance between the counters of consecutive numbers: 2^64 over the golden ratio, odd. */
  public static final long GAMMA = 0x9E3779B97F4A7C15L;

  private SplitMix64() {}

  /**
   * Returns a number of the sequence of a seed.
   *
   * @param index from 1: the first is what {@code new SplittableRandom(seed).nextLong()} gives
   */
  public static long at(long seed, long index) {
    return mix(seed + GAMMA * index);
  }

  /** A bijection that spreads a change of any bit over all bits; maps zero to zero. */
  private static long mix(long z) {
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }
}
