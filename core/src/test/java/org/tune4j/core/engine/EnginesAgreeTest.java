package org.tune4j.core.engine;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** One network, whose weights every precision but 8-bit holds exactly, on two engines. */
class EnginesAgreeTest {
  @ParameterizedTest
  @EnumSource(Precision.class)
  void oneDnnComputesWhatNd4jDoes(Precision precision) {
    EngineProvider provider =
        Engines.providers().stream()
            .filter(p -> p.name().equals("onednn"))
            .findFirst()
            .orElseThrow();
    Optional<String> why = provider.unavailable(precision);
    assumeTrue(why.isEmpty(), () -> "no onednn in " + precision + ": " + why.get());
    try (Engine fast = provider.create(precision);
        Engine plain = Engines.create("nd4j", Precision.F32)) {
      for (int seed = 0; seed < 4; seed++) {
        try (TestNetwork a = new TestNetwork(fast, 9, 0, 0, new Random(seed));
            TestNetwork b = new TestNetwork(plain, 9, 0, 0, new Random(seed))) {
          double[] losses = Reference.doubles(b.losses(Tape.inference(plain)));
          Operands.assertCloseThroughout(
              "losses", a.losses(Tape.inference(fast)), losses, precision);
          double[] gradients = Reference.doubles(b.gradients(Tape.recording(plain)));
          Operands.assertCloseThroughout(
              "gradients", a.gradients(Tape.recording(fast)), gradients, precision);
        }
      }
    }
  }
}
