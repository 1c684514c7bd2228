package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.function.UnaryOperator;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;

class GenerationConfigTest {
  /** Ways to set one option each. */
  private static final List<UnaryOperator<GenerationConfig.Builder>> OPTIONS =
      List.of(
          b -> b.maxNewTokens(7),
          b -> b.temperature(0.5),
          b -> b.topK(20),
          b -> b.topP(0.75),
          b -> b.stop("end", "stop"),
          b -> b.seed(11),
          b -> b.endTokens(Set.of(3, 5)));

  private static GenerationConfig with(List<UnaryOperator<GenerationConfig.Builder>> options) {
    GenerationConfig.Builder b = GenerationConfig.builder();
    for (UnaryOperator<GenerationConfig.Builder> option : options) {
      b = option.apply(b);
    }
    return b.build();
  }

  @Property(tries = 100)
  void theOrderInWhichOptionsAreSetDoesNotMatter(@ForAll long seed) {
    List<UnaryOperator<GenerationConfig.Builder>> shuffled = new ArrayList<>(OPTIONS);
    Collections.shuffle(shuffled, new Random(seed));
    GenerationConfig one = with(OPTIONS);
    GenerationConfig other = with(shuffled);
    assertThat(other).isEqualTo(one).hasSameHashCodeAs(one).hasToString(one.toString());
  }

  @Test
  void everyOptionCountsInEqualityAndIsCopied() {
    assertThat(OPTIONS)
        .as("one way to set each")
        .hasSize(GenerationConfig.class.getRecordComponents().length);
    for (UnaryOperator<GenerationConfig.Builder> option : OPTIONS) {
      GenerationConfig.Builder b = GenerationConfig.builder().temperature(1);
      GenerationConfig without = b.build();
      GenerationConfig changed = option.apply(b).build();
      assertThat(changed).isNotEqualTo(without);
      assertThat(changed.toBuilder().build()).isEqualTo(changed).hasSameHashCodeAs(changed);
    }
  }

  @Test
  void equalityIsByValue() {
    GenerationConfig defaults = GenerationConfig.builder().build();
    assertThat(GenerationConfig.builder().build()).isEqualTo(defaults).hasSameHashCodeAs(defaults);
    assertThat(GenerationConfig.greedy(128)).isEqualTo(defaults);
    assertThat(defaults.endingWith(Set.of(4), List.of("."))).isNotEqualTo(defaults);
  }
}
