package org.tune4j.eval;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;
import org.tune4j.core.train.Stage;

class StageMatrixTest {
  private static final Offset<Double> EXACT = Offset.offset(1e-12);

  private static StageMatrix matrix(
      List<Integer> learnedIn, List<Double> untuned, List<List<Double>> scores) {
    return new StageMatrix(
        names("stage", scores.size()),
        names("task", untuned.size()),
        ImmutableList.copyOf(learnedIn),
        ImmutableList.copyOf(untuned),
        scores.stream().map(ImmutableList::copyOf).collect(ImmutableList.toImmutableList()));
  }

  private static ImmutableList<String> names(String prefix, int n) {
    return IntStream.range(0, n).mapToObj(i -> prefix + i).collect(ImmutableList.toImmutableList());
  }

  @Provide
  Arbitrary<StageMatrix> matrices() {
    return Combinators.combine(
            Arbitraries.integers().between(1, 5),
            Arbitraries.integers().between(1, 5),
            Arbitraries.longs())
        .as(
            (stages, tasks, seed) -> {
              Random random = new Random(seed);
              List<List<Double>> scores = new ArrayList<>();
              for (int i = 0; i < stages; i++) {
                scores.add(random.doubles(tasks).boxed().toList());
              }
              return matrix(
                  random.ints(tasks, 0, stages).boxed().toList(),
                  random.doubles(tasks).boxed().toList(),
                  scores);
            });
  }

  @Property(tries = 300)
  void staysInBounds(@ForAll("matrices") StageMatrix m) {
    assertThat(m.averageAccuracy()).isBetween(0.0, 1.0);
    assertThat(m.backwardTransfer()).isBetween(-1.0, 1.0);
    assertThat(m.forwardTransfer()).isBetween(-1.0, 1.0);
    // the best score before the end is at least the one right after the task's own stage
    assertThat(m.forgetting()).isBetween(-m.backwardTransfer() - 1e-12, 1.0);
  }

  @Property(tries = 200)
  void doesNotDependOnTheOrderOfTasks(@ForAll("matrices") StageMatrix m, @ForAll long seed) {
    List<Integer> order = new ArrayList<>(IntStream.range(0, m.tasks().size()).boxed().toList());
    Collections.shuffle(order, new Random(seed));
    StageMatrix permuted =
        matrix(
            order.stream().map(m.learnedIn()::get).toList(),
            order.stream().map(m.untuned()::get).toList(),
            m.scores().stream().map(r -> order.stream().map(r::get).toList()).toList());
    assertThat(permuted.averageAccuracy()).isCloseTo(m.averageAccuracy(), EXACT);
    assertThat(permuted.backwardTransfer()).isCloseTo(m.backwardTransfer(), EXACT);
    assertThat(permuted.forwardTransfer()).isCloseTo(m.forwardTransfer(), EXACT);
    assertThat(permuted.forgetting()).isCloseTo(m.forgetting(), EXACT);
  }

  @Property(tries = 100)
  void whereNothingChangesNothingIsTransferredOrForgotten(@ForAll("matrices") StageMatrix m) {
    StageMatrix still =
        matrix(m.learnedIn(), m.untuned(), Collections.nCopies(m.stages().size(), m.untuned()));
    assertThat(still.backwardTransfer()).isZero();
    assertThat(still.forwardTransfer()).isZero();
    assertThat(still.forgetting()).isZero();
  }

  @Property(tries = 100)
  void equalsThePapersFormulasWhereEachTaskHasItsStage(@ForAll long seed, @ForAll("sizes") int n) {
    Random random = new Random(seed);
    double[][] r = new double[n][n];
    double[] b = random.doubles(n).toArray();
    List<List<Double>> rows = new ArrayList<>();
    for (double[] row : r) {
      List<Double> values = new ArrayList<>();
      for (int j = 0; j < n; j++) {
        row[j] = random.nextDouble();
        values.add(row[j]);
      }
      rows.add(values);
    }
    double acc = 0;
    double bwt = 0;
    double fwt = 0;
    double forgetting = 0;
    for (int i = 0; i < n; i++) {
      acc += r[n - 1][i] / n;
      if (i < n - 1) {
        bwt += (r[n - 1][i] - r[i][i]) / (n - 1);
        double most = 0;
        for (int l = 0; l < n - 1; l++) {
          most = Math.max(most, r[l][i]);
        }
        forgetting += (most - r[n - 1][i]) / (n - 1);
      }
      if (i > 0) {
        fwt += (r[i - 1][i] - b[i]) / (n - 1);
      }
    }
    StageMatrix m =
        matrix(
            IntStream.range(0, n).boxed().toList(),
            java.util.Arrays.stream(b).boxed().toList(),
            rows);
    assertThat(m.averageAccuracy()).isCloseTo(acc, EXACT);
    assertThat(m.backwardTransfer()).isCloseTo(bwt, EXACT);
    assertThat(m.forwardTransfer()).isCloseTo(fwt, EXACT);
    assertThat(m.forgetting()).isCloseTo(forgetting, EXACT);
  }

  @Provide
  Arbitrary<Integer> sizes() {
    return Arbitraries.integers().between(2, 6);
  }

  @Test
  void oneStageHasNoTransfer() {
    StageMatrix m = matrix(List.of(0, 0), List.of(0.1, 0.2), List.of(List.of(0.9, 0.4)));
    assertThat(m.averageAccuracy()).isCloseTo(0.65, EXACT);
    assertThat(m.backwardTransfer()).isZero();
    assertThat(m.forwardTransfer()).isZero();
    assertThat(m.forgetting()).isZero();
  }

  @Test
  void isATableForReading() {
    StageMatrix m =
        matrix(List.of(0, 1), List.of(0.1, 0.2), List.of(List.of(0.9, 0.3), List.of(0.5, 0.8)));
    assertThat(m.toString().lines())
        .containsExactly(
            "after      task0  task1",
            "(untuned)  0.100  0.200",
            "stage0     0.900  0.300",
            "stage1     0.500  0.800",
            "average 0.650, backward transfer -0.400, forward transfer +0.100, forgetting 0.400");
  }

  @Test
  void findsTheStageThatFirstTrainsATask() {
    List<Stage> stages =
        List.of(
            Stage.named("one").train("a", "x", 3).build(),
            Stage.named("two").train("a", "x", 1).train("b", "x", 3).build());
    assertThat(StageMatrix.learnedIn(stages, List.of("b", "a"))).containsExactly(1, 0);
    assertThatThrownBy(() -> StageMatrix.learnedIn(stages, List.of("c")))
        .hasMessageContaining("no stage trains task 'c'");
  }

  @Test
  void refusesWhatDoesNotFit() {
    assertThatThrownBy(() -> matrix(List.of(0), List.of(0.1, 0.2), List.of(List.of(0.9, 0.3))))
        .hasMessageContaining("2 tasks, learned in 1 stages");
    assertThatThrownBy(() -> matrix(List.of(1), List.of(0.1), List.of(List.of(0.9))))
        .hasMessageContaining("stage 1 of 1");
    assertThatThrownBy(() -> matrix(List.of(0), List.of(0.1), List.of(List.of(0.9, 0.3))))
        .hasMessageContaining("1 stages x 1 tasks");
  }
}
