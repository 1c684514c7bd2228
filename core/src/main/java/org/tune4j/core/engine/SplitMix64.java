package org.tune4j.core.engine;

/**
 * SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014, with the
 * constants of {@link java.util.SplittableRandom}) by place instead of by turn: any number of the
 * sequence can be had without those before it, so that what is random needs no state and comes out
 * the same in any order and on any number of threads.
 */
public final class SplitMix64 {
  /** The distance between the counters of consecutive numbers: 2^64 over the golden ratio, odd. */
  public static final long GAMMA = 0x9E3779B97F4A7C15L;

  private SplitMix64() {}

  /**
   * Returns a number of the sequence of a seed.
   *
   * @param place from 1 on: the first is what {@code new SplittableRandom(seed).nextLong()} gives
   */
  public static long at(long seed, long place) {
    return mix(seed + GAMMA * place);
  }

  /** Spreads a change of any bit over all: one to one, and zero stays zero. */
  private static long mix(long z) {
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }
}
