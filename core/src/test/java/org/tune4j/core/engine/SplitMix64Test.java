package org.tune4j.core.engine;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.SplittableRandom;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;

class SplitMix64Test {
  @Property
  void itIsTheGeneratorOfTheJdk(@ForAll long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    for (int place = 1; place <= 20; place++) {
      assertThat(SplitMix64.at(seed, place)).isEqualTo(random.nextLong());
    }
  }

  /** The values that the reference implementation in C is checked with. */
  @Example
  void knownValues() {
    assertThat(SplitMix64.at(1234567, 1)).isEqualTo(6457827717110365317L);
    assertThat(SplitMix64.at(1234567, 2)).isEqualTo(3203168211198807973L);
    assertThat(Long.toUnsignedString(SplitMix64.at(1234567, 3))).isEqualTo("9817491932198370423");
  }
}
