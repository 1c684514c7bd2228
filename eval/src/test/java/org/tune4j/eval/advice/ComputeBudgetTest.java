package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.LongRange;
import org.junit.jupiter.api.Test;

class ComputeBudgetTest {
  private static final PlanPrice PRICE = new PlanPrice(100, 2000, 10, 40, 1 << 20, 4096);

  @Property(tries = 100)
  void shareIsWhatTheScarcestLimitPays(
      @ForAll @LongRange(min = 1, max = 10_000) long tokens,
      @ForAll @DoubleRange(min = 0.1, max = 200) double seconds) {
    double share = ComputeBudget.ofTokens(tokens).withSeconds(seconds).share(PRICE);
    assertThat(share).isGreaterThan(0).isLessThanOrEqualTo(1);
    assertThat(share * PRICE.tokens()).isLessThanOrEqualTo(tokens * (1 + 1e-9));
    assertThat(share * PRICE.seconds()).isLessThanOrEqualTo(seconds * (1 + 1e-9));
    if (share < 1) {
      assertThat(Math.min(tokens / 2000.0, seconds / 40)).isCloseTo(share, within(1e-12));
    }
  }

  @Test
  void withoutLimitsEverythingIsPaid() {
    assertThat(ComputeBudget.unlimited().share(PRICE)).isEqualTo(1);
    assertThat(ComputeBudget.ofMemory(1).share(PRICE)).isEqualTo(1);
    assertThat(ComputeBudget.unlimited()).hasToString("no limit");
    assertThat(ComputeBudget.ofTokens(2_000_000).withSeconds(90).withMemory(3L << 30))
        .hasToString("2,000,000 tokens, 90.0 s, 3.00 GiB");
  }

  @Test
  void limitsArePositive() {
    assertThatThrownBy(() -> ComputeBudget.ofTokens(0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("0 tokens");
    assertThatThrownBy(() -> ComputeBudget.ofSeconds(-1))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("-1.0 seconds");
    assertThatThrownBy(() -> ComputeBudget.ofMemory(0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("0 bytes");
  }
}
