package org.tune4j.core.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class EnginesTest {
  private final String before = System.getProperty(Engines.PROPERTY);

  @AfterEach
  void restoreProperty() {
    if (before == null) {
      System.clearProperty(Engines.PROPERTY);
    } else {
      System.setProperty(Engines.PROPERTY, before);
    }
  }

  /** The fastest of all, if it ran; registered for tests. */
  public static final class Elsewhere implements EngineProvider {
    @Override
    public String name() {
      return "elsewhere";
    }

    @Override
    public int priority() {
      return Integer.MAX_VALUE;
    }

    @Override
    public Optional<String> unavailable(Precision precision) {
      return Optional.of("there is no such device");
    }

    @Override
    public Engine create(Precision precision) {
      throw new AssertionError("created although unavailable");
    }
  }

  @Test
  void theFastestThatRunsHereIsChosen() {
    List<EngineProvider> providers = Engines.providers();
    assertThat(providers)
        .isSortedAccordingTo(Comparator.comparingInt(EngineProvider::priority).reversed());
    assertThat(providers).extracting(EngineProvider::name).startsWith("elsewhere").contains("nd4j");
    String fastest =
        providers.stream()
            .filter(p -> p.unavailable(Precision.F32).isEmpty())
            .findFirst()
            .orElseThrow()
            .name();
    System.clearProperty(Engines.PROPERTY);
    try (Engine engine = Engines.create(Precision.F32)) {
      assertThat(engine.name()).isEqualTo(fastest);
      assertThat(engine.precision()).isEqualTo(Precision.F32);
    }
  }

  @Test
  void thePropertyNamesAnEngine() {
    System.setProperty(Engines.PROPERTY, "nd4j");
    try (Engine engine = Engines.create(Precision.F32)) {
      assertThat(engine.name()).isEqualTo("nd4j");
    }
    System.setProperty(Engines.PROPERTY, "fast");
    assertThatThrownBy(() -> Engines.create(Precision.F32))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("no engine is named 'fast'; there are: elsewhere, ")
        .hasMessageContaining("nd4j");
    // a name given by the caller comes first
    try (Engine engine = Engines.create("nd4j", Precision.F32)) {
      assertThat(engine.name()).isEqualTo("nd4j");
    }
  }

  @Test
  void anEngineThatCannotRunSaysWhy() {
    assertThatThrownBy(() -> Engines.create("elsewhere", Precision.F32))
        .isInstanceOf(IllegalStateException.class)
        .hasMessage("engine 'elsewhere' cannot run here in F32: there is no such device");
    assertThatThrownBy(() -> Engines.create("nd4j", Precision.BF16))
        .isInstanceOf(IllegalStateException.class)
        .hasMessage("engine 'nd4j' cannot run here in BF16: ND4J's products are F32 only");
  }

  @Test
  void eachPrecisionIsAvailableOrRefusedWithAllReasons() {
    System.clearProperty(Engines.PROPERTY);
    for (Precision precision : Precision.values()) {
      if (Engines.providers().stream().anyMatch(p -> p.unavailable(precision).isEmpty())) {
        try (Engine engine = Engines.create(precision)) {
          assertThat(engine.precision()).isEqualTo(precision);
          assertThat(engine.computeType()).isEqualTo(precision.computeType());
        }
      } else {
        assertThatThrownBy(() -> Engines.create(precision))
            .isInstanceOf(IllegalStateException.class)
            .hasMessageStartingWith("no engine can run here in " + precision)
            .hasMessageContaining("elsewhere: there is no such device")
            .hasMessageContaining("nd4j: ");
      }
    }
  }
}
