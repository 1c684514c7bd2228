package org.tune4j.core.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.io.Floats;

class ParametersTest {
  /** Returns the precisions in which some engine runs here. */
  static Stream<Precision> precisions() {
    return Stream.of(Precision.values())
        .filter(p -> Engines.providers().stream().anyMatch(e -> e.unavailable(p).isEmpty()));
  }

  @ParameterizedTest
  @MethodSource("precisions")
  void liesInOneBufferInOrder(Precision precision) {
    try (Engine engine = Engines.create(precision)) {
      long before = engine.memory().persistent();
      Parameters.Builder builder = Parameters.builder(engine);
      Parameters.Slot a = builder.add("a", 2, 3);
      Parameters.Slot b = builder.add("b", 4, 3);
      Parameters.Slot c = builder.add("c", 1, 5);
      try (Parameters p = builder.build(true)) {
        assertThat(p.engine()).isSameAs(engine);
        assertThat(p.names()).containsExactly("a", "b", "c");
        assertThat(List.of(p.slot("a"), p.slot("b"), p.slot("c"))).containsExactly(a, b, c);
        assertThat(p.size()).isEqualTo(23);
        assertThat(p.trainable()).isTrue();
        assertThat(engine.read(p.flat())).containsOnly(0);
        assertThat(engine.read(p.flatGradients())).containsOnly(0);

        float[] values = new float[23];
        float[] rounded = new float[23];
        for (int i = 0; i < 23; i++) {
          values[i] = (float) Math.sin(i + 1);
          rounded[i] =
              precision == Precision.F32 ? values[i] : Floats.fromBf16(Floats.toBf16(values[i]));
        }
        engine.write(p.flat(), values);
        p.changed();
        assertThat(p.version()).isEqualTo(1);
        assertThat(engine.read(p.weight(b))).containsExactly(slice(values, 6, 18));
        assertThat(p.compute(b).dtype()).isEqualTo(precision.computeType());
        assertThat(engine.read(p.compute(b))).containsExactly(slice(rounded, 6, 18));
        // neighbours of equal columns, as one matrix
        Tensor both = p.compute(a, 6); // [6, 3]
        assertThat(both.rows()).isEqualTo(6);
        assertThat(both.cols()).isEqualTo(3);
        assertThat(engine.read(both)).containsExactly(slice(rounded, 0, 18));

        engine.fill(p.gradient(a, 6), 2);
        engine.fill(p.gradient(b), 3);
        float[] gradients = engine.read(p.flatGradients());
        assertThat(slice(gradients, 0, 6)).containsOnly(2);
        assertThat(slice(gradients, 6, 18)).containsOnly(3);
        assertThat(slice(gradients, 18, 23)).containsOnly(0);
        p.zeroGradients();
        assertThat(engine.read(p.flatGradients())).containsOnly(0);
        assertThat(engine.memory().persistent()).isGreaterThanOrEqualTo(before + 2 * 23 * 4);
      }
      assertThat(engine.memory().persistent()).isEqualTo(before);
    }
  }

  private static float[] slice(float[] values, int from, int to) {
    return java.util.Arrays.copyOfRange(values, from, to);
  }

  @Test
  void whatIsNotTrainedHasNoGradients() {
    try (Engine engine = Engines.create(Precision.F32)) {
      Parameters.Builder builder = Parameters.builder(engine);
      builder.add("a", 2, 3);
      long before = engine.memory().persistent();
      try (Parameters p = builder.build(false)) {
        assertThat(p.trainable()).isFalse();
        assertThat(p.flatGradients()).isNull();
        assertThat(engine.memory().persistent()).isEqualTo(before + 24);
      }
    }
  }

  @Test
  void namesAreUniqueAndKnown() {
    try (Engine engine = Engines.create(Precision.F32)) {
      Parameters.Builder builder = Parameters.builder(engine);
      builder.add("a", 2, 3);
      try (Parameters p = builder.build(true)) {
        assertThatThrownBy(() -> p.slot("b"))
            .isInstanceOf(IllegalArgumentException.class)
            .hasMessage("no parameter is named 'b'");
      }
      builder.add("a", 1, 1);
      assertThatThrownBy(() -> builder.build(true))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("two parameters are named 'a'");
    }
  }
}
