package org.tune4j.eval;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.Set;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;

/**
 * Metrics against their definitions, and against what sacrebleu 2.6.0 and scikit-learn 1.9.1 gave
 * on drawn texts (recorded.json).
 */
class MetricsTest {
  private static final Offset<Double> EXACT = Offset.offset(1e-9);
  private static final List<Metric> ALL =
      List.of(
          Metrics.accuracy(),
          Metrics.exactMatch(),
          Metrics.macroF1(),
          Metrics.rougeL(),
          Metrics.bleu());

  /** What was said, and what was to be said. */
  record Pair(String prediction, String reference) {}

  private static double score(Metric metric, List<Pair> pairs) {
    return metric.score(
        pairs.stream().map(Pair::prediction).toList(),
        pairs.stream().map(Pair::reference).toList());
  }

  private static double top(Metric metric) {
    return metric.name().equals(Metrics.BLEU) ? 100 : 1;
  }

  @Provide
  Arbitrary<List<Pair>> pairs() {
    Arbitrary<String> word =
        Arbitraries.of("the", "a", "cat", "sat", "on", "mat", "3.5", "it's", "&amp;", "Ünï", "");
    Arbitrary<String> text = word.list().ofMaxSize(7).map(w -> String.join(" ", w));
    return Combinators.combine(text, text).as(Pair::new).list().ofMinSize(1).ofMaxSize(6);
  }

  @Property(tries = 300)
  void staysInBounds(@ForAll("pairs") List<Pair> pairs) {
    for (Metric metric : ALL) {
      assertThat(score(metric, pairs)).as(metric.name()).isBetween(0.0, top(metric) + 1e-9);
      assertThat(metric.higherIsBetter()).isTrue();
    }
  }

  @Property(tries = 100)
  void doesNotDependOnTheOrderOfExamples(@ForAll("pairs") List<Pair> pairs, @ForAll long seed) {
    List<Pair> shuffled = new ArrayList<>(pairs);
    Collections.shuffle(shuffled, new Random(seed));
    for (Metric metric : ALL) {
      assertThat(score(metric, shuffled)).as(metric.name()).isCloseTo(score(metric, pairs), EXACT);
    }
  }

  @Property(tries = 100)
  void isHighestForWhatEqualsItsReference(@ForAll("pairs") List<Pair> pairs) {
    // four words and more, as BLEU wants n-grams up to four
    List<Pair> equal =
        pairs.stream()
            .map(p -> p.reference() + " one two three four")
            .map(t -> new Pair(t, t))
            .toList();
    for (Metric metric : ALL) {
      assertThat(score(metric, equal)).as(metric.name()).isCloseTo(top(metric), EXACT);
    }
  }

  @Property(tries = 100)
  void isZeroForWhatSharesNothing(@ForAll("pairs") List<Pair> pairs) {
    List<Pair> disjoint = pairs.stream().map(p -> new Pair("x" + "yz", p.reference())).toList();
    for (Metric metric : ALL) {
      assertThat(score(metric, disjoint)).as(metric.name()).isZero();
    }
  }

  @Property(tries = 100)
  void countsEachExampleOnce(@ForAll("pairs") List<Pair> pairs) {
    List<String> labels = pairs.stream().map(Pair::reference).distinct().sorted().toList();
    List<String> predictions = pairs.stream().map(Pair::prediction).toList();
    List<String> references = pairs.stream().map(Pair::reference).toList();
    var counts = Metrics.classification(labels, predictions, references);
    int total = 0;
    for (int c = 0; c < labels.size(); c++) {
      int actual = Collections.frequency(references, labels.get(c));
      assertThat(counts.getConfusion().getActualTotal(c)).isEqualTo(actual);
      assertThat(counts.getConfusion().getPredictedTotal(c))
          .isEqualTo(Collections.frequency(predictions, labels.get(c)));
      total += actual;
    }
    assertThat(total).isEqualTo(pairs.size());
    assertThat(counts.accuracy())
        .isCloseTo(Metrics.accuracy().score(predictions, references), EXACT);
  }

  private static JsonNode recorded(String part) throws IOException {
    try (InputStream in = MetricsTest.class.getResourceAsStream("/metrics/recorded.json")) {
      return new ObjectMapper().readTree(in).path(part);
    }
  }

  private static List<String> strings(JsonNode array) {
    List<String> all = new ArrayList<>();
    array.forEach(n -> all.add(n.asText()));
    return all;
  }

  @Test
  void bleuIsSacrebleus() throws IOException {
    int cases = 0;
    for (JsonNode c : recorded("bleu")) {
      List<List<String>> references = new ArrayList<>();
      c.path("references").forEach(r -> references.add(strings(r)));
      List<String> predictions = strings(c.path("predictions"));
      double expected = c.path("bleu").asDouble();
      assertThat(Metrics.bleu(predictions, references))
          .as(predictions.toString())
          .isCloseTo(expected, Offset.offset(1e-8));
      if (references.stream().allMatch(r -> r.size() == 1)) {
        assertThat(
                Metrics.bleu().score(predictions, references.stream().map(r -> r.get(0)).toList()))
            .isCloseTo(expected, Offset.offset(1e-8));
      }
      cases++;
    }
    assertThat(cases).isEqualTo(40);
  }

  @Test
  void tokensAreThoseOf13a() throws IOException {
    for (JsonNode c : recorded("tokens")) {
      assertThat(Metrics.tokenize13a(c.path("text").asText())).isEqualTo(strings(c.path("tokens")));
    }
  }

  @Test
  void bleuOfSacrebleusDocumentation() {
    List<String> predictions =
        List.of("The dog bit the man.", "It wasn't surprising.", "The man had just bitten him.");
    List<List<String>> references =
        List.of(
            List.of("The dog bit the man.", "The dog had bit the man."),
            List.of("It was not unexpected.", "No one was surprised."),
            List.of("The man bit him first.", "The man had bitten the dog."));
    assertThat(Metrics.bleu(predictions, references)).isCloseTo(48.530827, Offset.offset(1e-6));
    assertThat(Metrics.bleu(List.of("", "", ""), references)).isZero();
  }

  @Test
  void accuracyAndMacroF1AreScikitLearns() throws IOException {
    for (JsonNode c : recorded("classification")) {
      List<String> predictions = strings(c.path("predictions"));
      List<String> references = strings(c.path("references"));
      assertThat(Metrics.accuracy().score(predictions, references))
          .isCloseTo(c.path("accuracy").asDouble(), EXACT);
      assertThat(Metrics.macroF1().score(predictions, references))
          .isCloseTo(c.path("macroF1").asDouble(), EXACT);
    }
  }

  @Test
  void macroF1OfAGivenLabelSetCountsWhatElseIsSaidAsMissed() {
    // a: TP 1, FN 1 -> 2/3; b: TP 1 -> 1; c occurs nowhere
    assertThat(
            Metrics.macroF1(Set.of("a", "b", "c"))
                .score(List.of("a", "b", "something"), List.of("a", "b", "a")))
        .isCloseTo((2.0 / 3 + 1) / 2, EXACT);
  }

  @Test
  void rougeLOfLin2004() {
    // section 3.1, with beta = 1
    String reference = "police killed the gunman";
    assertThat(rougeL("police kill the gunman", reference)).isCloseTo(0.75, EXACT);
    assertThat(rougeL("the gunman kill police", reference)).isCloseTo(0.5, EXACT);
    assertThat(rougeL("the gunman police killed", reference)).isCloseTo(0.5, EXACT);
  }

  @Test
  void rougeLAsThePackageRougeScore() {
    assertThat(rougeL("testing one", "testing one two")).isCloseTo(0.8, EXACT);
    assertThat(rougeL("testing two", "testing one two")).isCloseTo(0.8, EXACT);
    assertThat(rougeL("", "testing one two")).isZero();
    assertThat(rougeL("/", "w1 w2")).isZero();
    assertThat(rougeL("It's GOOD-looking!", "it s good looking")).isEqualTo(1);
  }

  @Test
  void rougeLKeepsLettersOfAnyScript() {
    assertThat(rougeL("Größe zählt", "größe zählt")).isEqualTo(1);
  }

  private static double rougeL(String prediction, String reference) {
    return Metrics.rougeL().score(List.of(prediction), List.of(reference));
  }

  @Test
  void exactMatchIgnoresSpaceAroundAndAccuracyDoesNot() {
    assertThat(Metrics.exactMatch().score(List.of(" yes\n"), List.of("yes"))).isEqualTo(1);
    assertThat(Metrics.accuracy().score(List.of(" yes\n"), List.of("yes"))).isZero();
  }

  @Test
  void perplexityOfAUniformGuessIsTheNumberOfChoices() {
    assertThat(Metrics.perplexity(12 * Math.log(1.0 / 7), 12)).isCloseTo(7, EXACT);
    assertThatThrownBy(() -> Metrics.perplexity(0, 0)).hasMessageContaining("0 tokens");
  }

  @Test
  void refusesWhatIsNoPairs() {
    for (Metric metric : ALL) {
      assertThatThrownBy(() -> metric.score(List.of("a"), List.of("a", "b")))
          .hasMessageContaining("1 predictions for 2 references");
      assertThatThrownBy(() -> metric.score(List.of(), List.of()))
          .hasMessageContaining("0 predictions for 0 references");
    }
    assertThatThrownBy(() -> Metrics.bleu(List.of("a"), List.of(List.of())))
        .hasMessageContaining("prediction 0 has no reference");
  }
}
