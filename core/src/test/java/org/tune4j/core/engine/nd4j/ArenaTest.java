package org.tune4j.core.engine.nd4j;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.LongRange;

class ArenaTest {
  private static void assertApart(Arena.Block a, Arena.Block b) {
    if (a.slab == b.slab) {
      assertThat(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset)
          .as("%s+%s and %s+%s", a.offset, a.bytes, b.offset, b.bytes)
          .isTrue();
    }
  }

  @Property(tries = 20)
  void liveBlocksAreAlignedAndApart(@ForAll long seed) {
    Random random = new Random(seed);
    try (Arena arena = new Arena()) {
      for (int step = 0; step < 3; step++) {
        List<Arena.Block> live = new ArrayList<>();
        long used = 0;
        for (int i = 0; i < 150; i++) {
          if (!live.isEmpty() && random.nextInt(3) == 0) {
            Arena.Block block = live.remove(random.nextInt(live.size()));
            used -= block.bytes;
            arena.release(block);
            arena.release(block); // a second time: ignored
            continue;
          }
          long bytes = random.nextInt(random.nextInt(20) == 0 ? 20 << 20 : 100_000);
          Arena.Block block = arena.take(bytes);
          assertThat(block.bytes).isGreaterThanOrEqualTo(bytes);
          assertThat((block.slab.data().pointer().address() + block.offset) % 64).isZero();
          assertThat(block.offset + block.bytes).isLessThanOrEqualTo(4 * block.slab.length());
          live.forEach(other -> assertApart(other, block));
          live.add(block);
          used += block.bytes;
          assertThat(arena.peak()).isGreaterThanOrEqualTo(used);
          assertThat(arena.reserved()).isGreaterThanOrEqualTo(used);
        }
        arena.reset();
        live.forEach(arena::release); // after their step: ignored
        Arena.Block first = arena.take(1000);
        Arena.Block second = arena.take(1000);
        assertApart(first, second);
        arena.reset();
      }
    }
  }

  @Property(tries = 200)
  void blocksWasteAtMostAnEighth(@ForAll @LongRange(min = 0, max = 1L << 36) long bytes) {
    long rounded = Arena.roundUp(bytes);
    assertThat(rounded).isGreaterThanOrEqualTo(bytes);
    assertThat(rounded % 64).isZero();
    assertThat(rounded).isLessThanOrEqualTo(Math.max(bytes + 64, bytes + bytes / 8));
    assertThat(Arena.roundUp(rounded)).isEqualTo(rounded);
  }

  @Example
  void aReleasedBlockIsTakenAgain() {
    try (Arena arena = new Arena()) {
      Arena.Block block = arena.take(5000);
      arena.release(block);
      assertThat(arena.take(5001)).isSameAs(block);
      assertThat(arena.peak()).isEqualTo(block.bytes);
    }
  }

  @Property(tries = 5)
  void stepsOfVaryingShapesStayNearTheLargest(@ForAll long seed) {
    Random random = new Random(seed);
    try (Arena arena = new Arena()) {
      for (int step = 0; step < 300; step++) {
        // the activations of some layers, in the proportions of a transformer
        long row = 4L * 64 * (40 + random.nextInt(160));
        List<Arena.Block> kept = new ArrayList<>();
        for (int layer = 0; layer < 12; layer++) {
          for (int size : new int[] {1, 3, 1, 1, 4, 4, 1}) {
            kept.add(arena.take(size * row));
          }
        }
        kept.add(arena.take(40 * row)); // logits
        for (int i = kept.size() - 1; i >= 0; i--) {
          arena.release(kept.get(i));
          arena.release(arena.take(row + 64L * random.nextInt(100)));
        }
        arena.reset();
      }
      assertThat(arena.reserved()).isLessThan(2 * arena.peak() + (16L << 20));
    }
  }
}
