package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.tune4j.eval.advice.Situations.card;
import static org.tune4j.eval.advice.Situations.losses;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.List;
import java.util.Set;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.tune4j.core.train.Hyperparameters;

/** What is said follows from what is recommended. */
class ExplanationTest {
  private static final Hyperparameters H = Hyperparameters.defaults();

  /** A pilot in which a and b conflict, and c came out worse by joint training. */
  private static Pilot pilot(double alone) {
    return Situations.pilot(
        losses(alone, alone, alone),
        losses(alone / 2, alone / 2, alone * 1.5),
        losses(alone, alone, alone));
  }

  private static Explanation explanation(Scorecard card, boolean arriving, Pilot pilot) {
    return new Explanation(
        Situations.of(card, arriving, pilot),
        ImmutableList.of(),
        H,
        ComputeBudget.unlimited(),
        Long.MAX_VALUE);
  }

  private static Assessment assessment(Candidate candidate, double share) {
    return new Assessment(
        candidate,
        H,
        Estimate.of(0, 0.01),
        Estimate.of(0.5, 0.1),
        0.2,
        true,
        share,
        new PlanPrice(1, 1, 1, 1, 1, 1),
        "");
  }

  @Example
  void aConflictIsWatchedWhereTasksShareAnAdapterAndSaidNowhereElse() {
    Explanation e = explanation(card(0.5), false, pilot(0.3));
    for (Candidate candidate : Situations.CANDIDATES) {
      List<String> warnings = e.warnings(Set.of(), assessment(candidate, 1));
      if (candidate.joint()) {
        assertThat(warnings)
            .hasSize(2)
            .anyMatch(w -> w.contains("a and b") && w.contains("-0.60"))
            .anyMatch(w -> w.startsWith("Task c") && w.contains("50 % higher"))
            .noneMatch(w -> w.contains("keep them") || w.contains("give it"));
      } else {
        assertThat(warnings).isEmpty();
      }
    }
  }

  @Property(tries = 200)
  void noVerdictClaimsALeanThatIsNotThere(
      @ForAll @DoubleRange(min = -50, max = 50) double lean,
      @ForAll @IntRange(max = 4) int best,
      @ForAll @IntRange(max = 4) int other,
      @ForAll boolean arriving,
      @ForAll @DoubleRange(min = 0.01, max = 1) double share) {
    Explanation e = explanation(card(lean), arriving, pilot(0.3));
    Assessment chosen = assessment(Situations.CANDIDATES.get(best), share);
    for (String said :
        List.of(
            e.inFavour(chosen),
            e.against(assessment(Situations.CANDIDATES.get(other), share), chosen))) {
      assertThat(said).isNotBlank();
      if (lean <= 0) {
        assertThat(said).doesNotContain("leans to sharing");
      }
      if (lean >= 0) {
        assertThat(said).doesNotContain("leans to task-specific");
      }
    }
  }

  @Example
  void lossesThatAreAsGoodAsNothingAreNotCompared() {
    Pilot learned =
        new Pilot(
            Situations.TASKS,
            ImmutableMap.of("a", 9, "b", 9, "c", 9),
            losses(0, 0, 0),
            losses(0, 0, 0),
            losses(0, 0, 1e-9),
            losses(0, 1e-6, 0),
            losses(0, 0, 5e-3),
            new double[3][3],
            new SimilarityMatrix(
                Situations.TASKS,
                new double[][] {
                  {1, Double.NaN, Double.NaN},
                  {Double.NaN, 1, Double.NaN},
                  {Double.NaN, Double.NaN, 1}
                }));
    assertThat(learned.jointGain()).isZero();
    assertThat(learned.forgetting()).isZero();
    assertThat(learned.maturity()).isEqualTo(1);
    assertThat(learned.agreement().mean()).isNaN();
    assertThat(learned.agreement().toString()).contains("-").doesNotContain("NaN");
  }
}
