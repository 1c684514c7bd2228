package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.learning.config.NoOp;
import org.nd4j.linalg.schedule.ExponentialSchedule;
import org.nd4j.linalg.schedule.ScheduleType;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.LearnedTurns;

class HyperparametersTest {
  private static Arguments bad(String message, UnaryOperator<Hyperparameters.Builder> change) {
    return Arguments.of(message, change);
  }

  static Stream<Arguments> badValues() {
    return Stream.of(
        bad("learning rate is 0.0", b -> b.learningRate(0)),
        bad("learning rate is Infinity", b -> b.learningRate(Double.POSITIVE_INFINITY)),
        bad("betas are 0.9 and 1.0", b -> b.betas(0.9, 1)),
        bad("epsilon is 0.0", b -> b.epsilon(0)),
        bad("weight decay is -0.1", b -> b.weightDecay(-0.1)),
        bad("epochs is NaN", b -> b.epochs(Double.NaN)),
        bad("examples per step is 0", b -> b.examplesPerStep(0)),
        bad("tokens per pass is 31", b -> b.tokensPerPass(31)),
        bad("maximum gradient norm is 0.0", b -> b.maxGradientNorm(0)),
        bad("maximum length is 1", b -> b.maxLength(1)),
        bad("validateEvery is -1", b -> b.validateEvery(-1)),
        bad("validation examples is 0", b -> b.validationExamples(0)),
        bad("checkpointEvery is -1", b -> b.checkpointEvery(-1)),
        bad("patience is -1", b -> b.patience(-1)),
        bad("patience is 2, but validateEvery is 0", b -> b.patience(2)));
  }

  @ParameterizedTest
  @MethodSource("badValues")
  void badValuesAreNamed(String message, UnaryOperator<Hyperparameters.Builder> change) {
    Hyperparameters.Builder builder = change.apply(Hyperparameters.builder());
    assertThatThrownBy(builder::build)
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining(message);
  }

  @Property(tries = 100)
  void theOrderInWhichOptionsAreSetDoesNotMatter(@ForAll long seed) {
    List<UnaryOperator<Hyperparameters.Builder>> options =
        List.of(
            b -> b.learningRate(2e-4),
            b -> b.betas(0.8, 0.95),
            b -> b.epsilon(1e-6),
            b -> b.weightDecay(0.1),
            b -> b.epochs(2.5),
            b -> b.examplesPerStep(3),
            b -> b.tokensPerPass(100),
            b -> b.maxGradientNorm(0.5),
            b -> b.schedule(LearningRateSchedule.linear(0.1)),
            b -> b.maxLength(77),
            b -> b.lengthPolicy(LengthPolicy.FAIL),
            b -> b.learnedTurns(LearnedTurns.LAST),
            b -> b.validateEvery(7),
            b -> b.validationExamples(9),
            b -> b.patience(2),
            b -> b.checkpointEvery(11),
            b -> b.seed(13),
            b -> b.activationCheckpointing(true));
    List<UnaryOperator<Hyperparameters.Builder>> shuffled = new ArrayList<>(options);
    Collections.shuffle(shuffled, new Random(seed));
    Hyperparameters one = with(options);
    Hyperparameters other = with(shuffled);
    assertThat(other).isEqualTo(one).hasSameHashCodeAs(one);
    assertThat(one.toBuilder().build()).isEqualTo(one);
    for (UnaryOperator<Hyperparameters.Builder> option : options) {
      Hyperparameters.Builder b = Hyperparameters.builder().validateEvery(1);
      Hyperparameters without = b.build();
      Hyperparameters changed = option.apply(b).build();
      assertThat(changed).isNotEqualTo(without);
      assertThat(changed.toBuilder().build()).isEqualTo(changed);
      boolean sameBits =
          changed.checkpointEvery() != without.checkpointEvery()
              || changed.activationCheckpointing() != without.activationCheckpointing();
      assertThat(changed.fingerprint().equals(without.fingerprint()))
          .as("%s is the same run", changed)
          .isEqualTo(sameBits);
    }
  }

  private static Hyperparameters with(List<UnaryOperator<Hyperparameters.Builder>> options) {
    Hyperparameters.Builder b = Hyperparameters.builder();
    for (UnaryOperator<Hyperparameters.Builder> option : options) {
      b = option.apply(b);
    }
    return b.build();
  }

  @Test
  void schedulesAreToldApart() {
    Hyperparameters.Builder b = Hyperparameters.builder();
    String cosine = b.build().fingerprint();
    assertThat(b.schedule(LearningRateSchedule.cosine(0.05)).build().fingerprint())
        .isEqualTo(cosine);
    assertThat(
            Map.of(
                    "cosine",
                    cosine,
                    "linear",
                    b.schedule(LearningRateSchedule.linear(0.05)).build().fingerprint(),
                    "mine",
                    b.schedule("mine", (s, n) -> 1).build().fingerprint())
                .values())
        .doesNotHaveDuplicates();
    assertThatThrownBy(() -> b.schedule((step, steps) -> 1).build()).hasMessageContaining("name");
    assertThatThrownBy(() -> LearningRateSchedule.cosine(1.5)).hasMessageContaining("1.5");
  }

  @Test
  void anUpdatersRateIsTakenOver() {
    Hyperparameters.Builder b = Hyperparameters.builder().updater(new Adam(0.25));
    assertThat(b.build().learningRate()).isEqualTo(0.25);
    assertThat(b.learningRate(0.5).build().learningRate()).isEqualTo(0.5);
    assertThat(b.updater(new NoOp()).build().learningRate()).isEqualTo(0.5);
    assertThatThrownBy(
            () -> b.updater(new Adam(new ExponentialSchedule(ScheduleType.ITERATION, 0.1, 0.99))))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("has a schedule; pass it to");
  }
}
