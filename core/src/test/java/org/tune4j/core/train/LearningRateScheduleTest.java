package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;

import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.assertj.core.data.Offset;
import org.nd4j.linalg.schedule.ExponentialSchedule;
import org.nd4j.linalg.schedule.ScheduleType;

class LearningRateScheduleTest {
  private static final Offset<Double> TIGHT = Offset.offset(1e-12);

  @Property(tries = 200)
  void warmsUpThenOnlyFalls(
      @ForAll @IntRange(min = 1, max = 500) int steps,
      @ForAll @DoubleRange(min = 0, max = 1) double share) {
    for (LearningRateSchedule s :
        new LearningRateSchedule[] {
          LearningRateSchedule.cosine(share),
          LearningRateSchedule.linear(share),
          LearningRateSchedule.constant(share)
        }) {
      int warmup = (int) Math.ceil(share * steps);
      for (int step = 0; step < steps; step++) {
        double factor = s.factor(step, steps);
        assertThat(factor).isBetween(0.0, 1.0);
        if (step < warmup) {
          assertThat(factor).isCloseTo((step + 1.0) / warmup, TIGHT);
        } else if (step > warmup) {
          assertThat(factor).isLessThanOrEqualTo(s.factor(step - 1, steps));
        } else {
          assertThat(factor).isCloseTo(1, TIGHT);
        }
      }
    }
  }

  @Example
  void shapes() {
    assertThat(LearningRateSchedule.cosine(0.1).factor(55, 100)).isCloseTo(0.5, TIGHT);
    assertThat(LearningRateSchedule.cosine(0).factor(25, 100))
        .isCloseTo((1 + Math.sqrt(0.5)) / 2, TIGHT);
    assertThat(LearningRateSchedule.linear(0.1).factor(55, 100)).isCloseTo(0.5, TIGHT);
    assertThat(LearningRateSchedule.constant(0.1).factor(99, 100)).isEqualTo(1);
    assertThat(
            LearningRateSchedule.of(new ExponentialSchedule(ScheduleType.ITERATION, 0.4, 0.5), 0.8)
                .factor(3, 100))
        .isCloseTo(0.5 * 0.125, TIGHT);
  }
}
