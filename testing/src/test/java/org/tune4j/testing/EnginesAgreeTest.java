package org.tune4j.testing;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.EnginePaths;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tape;

/** One network, whose weights every precision but 8-bit holds exactly, on two engines. */
class EnginesAgreeTest {
  static List<EnginePath> paths() {
    return EnginePaths.oneDnn();
  }

  @ParameterizedTest
  @MethodSource("paths")
  void oneDnnComputesWhatNd4jDoes(EnginePath path) {
    try (Engine fast = path.create();
        Engine plain = Engines.create("nd4j", Precision.F32)) {
      for (int seed = 0; seed < 4; seed++) {
        try (TestNetwork a = new TestNetwork(fast, 9, 0, 0, new Random(seed));
            TestNetwork b = new TestNetwork(plain, 9, 0, 0, new Random(seed))) {
          double[] losses = Reference.doubles(b.losses(Tape.inference(plain)));
          Operands.assertCloseThroughout(
              "losses", a.losses(Tape.inference(fast)), losses, path.precision());
          double[] gradients = Reference.doubles(b.gradients(Tape.recording(plain)));
          Operands.assertCloseThroughout(
              "gradients", a.gradients(Tape.recording(fast)), gradients, path.precision());
        }
      }
    }
  }
}
