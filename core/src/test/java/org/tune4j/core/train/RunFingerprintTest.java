package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.tune4j.core.data.EncodedExample;

class RunFingerprintTest {
  private static EncodedExample example(int token, boolean learned) {
    return new EncodedExample(new int[] {1, token}, new boolean[] {false, learned}, 1, 0);
  }

  private static String data(List<EncodedExample> train, List<EncodedExample> validation) {
    TrainingData data = new TrainingData(Map.of("a", train), Map.of("a", validation), Map.of(), 2);
    return RunFingerprint.describe(data);
  }

  @Test
  void everyTokenItsLossTheOrderAndTheSplitCount() {
    EncodedExample one = example(5, true);
    EncodedExample two = example(6, true);
    EncodedExample unlearned = example(5, false);
    List<String> all =
        List.of(
            data(List.of(one, two), List.of()),
            data(List.of(two, one), List.of()),
            data(List.of(one, unlearned), List.of()),
            data(List.of(one), List.of()),
            data(List.of(one), List.of(two)),
            data(List.of(one), List.of(one)));
    Set<String> different = new HashSet<>(all);
    assertThat(different).hasSameSizeAs(all);
    assertThat(data(List.of(example(5, true)), List.of(example(6, true))))
        .as("equal tokens in other arrays")
        .isEqualTo(all.get(4));
  }

  @Test
  void anotherRunsCheckpointIsRefusedWithBothFingerprints() {
    RunFingerprint run = new RunFingerprint("this run");
    assertThatCode(() -> run.requireSame("this run", Path.of("out"))).doesNotThrowAnyException();
    assertThatThrownBy(() -> run.requireSame("that run", Path.of("out")))
        .isInstanceOf(IOException.class)
        .hasMessageContainingAll("out", "another run", "that run", "this run");
  }
}
