package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableList;
import java.util.Comparator;
import java.util.Map;
import java.util.OptionalDouble;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.tune4j.eval.advice.Scorecard.Evidence;
import org.tune4j.eval.advice.Scorecard.Factor;
import org.tune4j.eval.advice.Scorecard.Side;

class ScorecardTest {
  /** From plans that share nothing to plans that share an adapter. */
  private static int sharing(String candidate) {
    return switch (candidate) {
      case "independent" -> 0;
      case "sequential", "sequential-stacked" -> 1;
      case "sequential-replay", "multi-task" -> 2;
      default -> throw new IllegalArgumentException(candidate);
    };
  }

  private static String choose(double lean, boolean arriving, double forgetting) {
    Situation situation = Situations.of(lean, arriving, forgetting);
    return Situations.CANDIDATES.stream()
        .max(Comparator.comparingDouble(c -> c.rating(situation, 1)))
        .orElseThrow()
        .name();
  }

  @Property(tries = 200)
  void moreOfAnyEvidenceNeverMovesAwayFromMultiTask(
      @ForAll @DoubleRange(min = -1, max = 1) double similarity,
      @ForAll @IntRange(min = 1, max = 100_000) int examples,
      @ForAll @DoubleRange(min = -1, max = 1) double gain,
      @ForAll @DoubleRange(min = -1, max = 1) double agreement,
      @ForAll @DoubleRange(min = 0, max = 1) double more,
      @ForAll @IntRange(min = 0, max = 3) int what,
      @ForAll @DoubleRange(min = 0, max = 1) double maturity,
      @ForAll boolean arriving,
      @ForAll boolean pilot) {
    Evidence before = evidence(similarity, examples, gain, agreement, maturity, pilot);
    Evidence after =
        evidence(
            similarity + (what == 0 ? more * (1 - similarity) : 0),
            examples + (what == 1 ? (int) (more * 100_000) : 0),
            gain + (what == 2 ? more : 0),
            agreement + (what == 3 ? more * (1 - agreement) : 0),
            maturity,
            pilot);
    double was = Scorecard.of(before).lean();
    double is = Scorecard.of(after).lean();
    assertThat(is).isGreaterThanOrEqualTo(was);
    assertThat(sharing(choose(is, arriving, 0)))
        .isGreaterThanOrEqualTo(sharing(choose(was, arriving, 0)));
  }

  private static Evidence evidence(
      double similarity,
      int examples,
      double gain,
      double agreement,
      double maturity,
      boolean pilot) {
    return pilot
        ? new Evidence(
            similarity,
            examples,
            OptionalDouble.of(gain),
            OptionalDouble.of(agreement),
            maturity,
            0)
        : Evidence.of(similarity, examples);
  }

  @Property(tries = 200)
  void moreConflictsNeverMoveTowardsSharing(
      @ForAll @DoubleRange(min = -1, max = 1) double similarity,
      @ForAll @IntRange(min = 1, max = 100_000) int examples,
      @ForAll @DoubleRange(min = -1, max = 1) double gain,
      @ForAll @DoubleRange(min = -1, max = 1) double agreement,
      @ForAll @DoubleRange(min = 0, max = 0.5) double lost,
      @ForAll @DoubleRange(min = 0, max = 0.5) double more) {
    double without = withConflicts(similarity, examples, gain, agreement, 0);
    double some = withConflicts(similarity, examples, gain, agreement, Math.min(lost, more));
    double most = withConflicts(similarity, examples, gain, agreement, Math.max(lost, more));
    assertThat(some).isLessThanOrEqualTo(without + 1e-12);
    assertThat(most).isLessThanOrEqualTo(some + 1e-12);
    if (Math.max(lost, more) >= Scorecard.CONFLICT_RANGE) {
      assertThat(choose(most, false, 0)).isEqualTo("independent");
    }
  }

  private static double withConflicts(
      double similarity, int examples, double gain, double agreement, double lost) {
    return Scorecard.of(
            new Evidence(
                similarity,
                examples,
                OptionalDouble.of(gain),
                OptionalDouble.of(agreement),
                1,
                lost))
        .lean();
  }

  @Property(tries = 200)
  void leanIsTheWeightedMeanAndWithinBounds(
      @ForAll @DoubleRange(min = -1, max = 1) double similarity,
      @ForAll @IntRange(min = 1, max = 1_000_000) int examples,
      @ForAll @DoubleRange(min = -5, max = 1) double gain,
      @ForAll @DoubleRange(min = -1, max = 1) double agreement) {
    Scorecard card = Scorecard.of(evidence(similarity, examples, gain, agreement, 0.7, true));
    assertThat(card.factors())
        .extracting(Factor::name)
        .containsExactly("similarity", "data", "joint gain", "agreement");
    double sum = card.factors().stream().mapToDouble(f -> f.weight() * f.evidence()).sum();
    double weights = card.factors().stream().mapToDouble(Factor::weight).sum();
    assertThat(card.lean()).isBetween(-1.0, 1.0).isCloseTo(sum / weights, within(1e-12));
  }

  @Property(tries = 300)
  void aTighterBudgetNeverMovesToADearerPlan(
      @ForAll @DoubleRange(min = -1, max = 1) double lean,
      @ForAll boolean arriving,
      @ForAll @DoubleRange(min = 0, max = 2) double forgetting,
      @ForAll @IntRange(min = 1, max = 1000) int a,
      @ForAll @IntRange(min = 1, max = 1000) int b,
      @ForAll @IntRange(min = 1, max = 1000) int c,
      @ForAll @IntRange(min = 1, max = 1000) int budget,
      @ForAll @DoubleRange(min = 0.01, max = 1) double tightened) {
    Map<String, Double> seconds =
        Map.of(
            "multi-task", (double) a,
            "independent", (double) b,
            "sequential", (double) c,
            "sequential-replay", a + 1.0,
            "sequential-stacked", (a + b) / 2.0);
    double before = spent(lean, arriving, forgetting, seconds, budget);
    double after = spent(lean, arriving, forgetting, seconds, budget * tightened);
    assertThat(after).isLessThanOrEqualTo(before * (1 + 1e-12));
  }

  /** Returns the seconds that the plan chosen takes, cut to the budget. */
  private static double spent(
      double lean,
      boolean arriving,
      double forgetting,
      Map<String, Double> seconds,
      double budget) {
    Situation situation = Situations.of(lean, arriving, forgetting);
    Candidate best = null;
    double top = 0;
    double spent = 0;
    for (Candidate c : Situations.CANDIDATES) {
      PlanPrice price = new PlanPrice(1, 1, 1, seconds.get(c.name()), 1, 1);
      double share = ComputeBudget.ofSeconds(budget).share(price);
      double score = c.rating(situation, share);
      if (best == null || score > top) {
        best = c;
        top = score;
        spent = share * price.seconds();
      }
    }
    return spent;
  }

  @Example
  void choosesAsTheEvidenceLeans() {
    assertThat(choose(0.5, false, 0)).isEqualTo("multi-task");
    assertThat(choose(-0.5, false, 0)).isEqualTo("independent");
    assertThat(choose(0.9, true, 0)).isEqualTo("sequential-replay");
    assertThat(choose(0.2, true, 0)).isEqualTo("sequential-stacked");
    assertThat(choose(-0.5, true, 0)).isEqualTo("independent");
  }

  @Example
  void plainSequentialTrainingIsNeverChosenWhereAnAdapterEachIsPossible() {
    for (double lean = -1; lean <= 1; lean += 0.01) {
      assertThat(choose(lean, false, 0)).isNotEqualTo("sequential");
      assertThat(choose(lean, true, 0)).isNotEqualTo("sequential");
    }
  }

  private static double rating(String candidate, double lean, double share) {
    return Situations.CANDIDATES.stream()
        .filter(c -> c.name().equals(candidate))
        .findFirst()
        .orElseThrow()
        .rating(Situations.of(lean, false, 0), share);
  }

  @Example
  void aBudgetThatCutsPlansFavoursTaskSpecificTraining() {
    double mild = 0.1;
    assertThat(rating("multi-task", mild, 1)).isGreaterThan(rating("independent", mild, 1));
    assertThat(rating("multi-task", mild, 0.2)).isLessThan(rating("independent", mild, 0.2));
  }

  @Example
  void confidenceGrowsWithTheLead() {
    assertThat(Decision.confidence(0)).isEqualTo(0.5);
    assertThat(Decision.confidence(0.2)).isBetween(0.76, 0.78);
    assertThat(Decision.confidence(2)).isGreaterThan(0.99);
  }

  @Example
  void saysWhatFavoursWhom() {
    Scorecard card = Scorecard.of(evidence(0.9, 20_000, -0.3, 0, 1, true));
    assertThat(card.factors())
        .extracting(Factor::favours)
        .containsExactly(Side.MULTI_TASK, Side.MULTI_TASK, Side.TASK_SPECIFIC, Side.NEITHER);
    assertThat(card.factors().get(0).sentence()).contains("0.90");
    assertThat(card.factors().get(1).sentence()).contains("20,000");
    assertThat(card.factors().get(2).sentence()).contains("30.0 % higher");
    assertThat(card.toString()).contains("joint gain").contains("task-specific").contains("lean");
    assertThat(new Scorecard(ImmutableList.of()).lean()).isZero();
  }

  @Example
  void whatAnImmaturePilotShowsForSharingCountsLess() {
    assertThat(Scorecard.of(evidence(0.5, 1000, 0.1, 0.5, 0, true)).lean()).isZero();
    assertThat(Scorecard.of(evidence(0.5, 1000, 0.1, 0.5, 1, true)).lean()).isPositive();
    assertThat(Scorecard.of(evidence(0.5, 1000, -0.1, -0.5, 0, true)).lean())
        .isNegative()
        .isEqualTo(Scorecard.of(evidence(0.5, 1000, -0.1, -0.5, 1, true)).lean());
  }

  @Example
  void refusesEvidenceOutOfRange() {
    assertThatThrownBy(() -> new Factor("odd", 3, 1.5, 1, "?"))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'odd'")
        .hasMessageContaining("1.5");
    assertThatThrownBy(() -> new Factor("odd", 3, 1, -1, "?"))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("weight");
  }
}
