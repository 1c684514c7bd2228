package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.junit.jupiter.api.Test;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.text.Message;

/** Contradictions in training data against the best of all ways to answer. */
class AnswerConflictsTest {
  private static Task task(String name, Example... examples) {
    return Task.builder(name).train(List.of(examples)).type(Task.Type.GENERATION).build();
  }

  @Provide
  Arbitrary<List<List<Integer>>> tasks() {
    return Arbitraries.integers()
        .between(0, 8) // prompt and answer, three of each
        .list()
        .ofMinSize(1)
        .ofMaxSize(6)
        .list()
        .ofMinSize(1)
        .ofMaxSize(3);
  }

  /** Returns the best mean score of tasks over all ways to give each prompt one answer. */
  private static double bestOfAllAnswers(List<List<Integer>> tasks) {
    double best = 0;
    for (int way = 0; way < 27; way++) {
      int[] answer = {way % 3, way / 3 % 3, way / 9};
      double score = 0;
      for (List<Integer> t : tasks) {
        double right = t.stream().filter(e -> answer[e / 3] == e % 3).count();
        score += right / t.size() / tasks.size();
      }
      best = Math.max(best, score);
    }
    return best;
  }

  @Property(tries = 300)
  void boundsAreThoseOfTheBestAnswers(@ForAll("tasks") List<List<Integer>> drawn) {
    List<Task> tasks = new ArrayList<>();
    double apart = 0;
    for (List<Integer> t : drawn) {
      tasks.add(
          task(
              "t" + tasks.size(),
              t.stream()
                  .map(e -> Example.of("prompt " + e / 3, "answer " + e % 3))
                  .toArray(Example[]::new)));
      apart += bestOfAllAnswers(List.of(t)) / drawn.size();
    }
    AnswerConflicts found = AnswerConflicts.of(tasks);
    assertThat(found.apart()).isCloseTo(apart, within(1e-9));
    assertThat(found.shared()).isCloseTo(bestOfAllAnswers(drawn), within(1e-9));
    Map<String, Double> within = new HashMap<>();
    found.within().forEach(w -> within.put(w.task(), w.share()));
    for (int i = 0; i < drawn.size(); i++) {
      assertThat(within.getOrDefault("t" + i, 0.0))
          .isCloseTo(1 - bestOfAllAnswers(List.of(drawn.get(i))), within(1e-9));
    }
    for (AnswerConflicts.Between b : found.between()) {
      List<Integer> first = drawn.get(Integer.parseInt(b.first().substring(1)));
      List<Integer> second = drawn.get(Integer.parseInt(b.second().substring(1)));
      double each = (bestOfAllAnswers(List.of(first)) + bestOfAllAnswers(List.of(second))) / 2;
      assertThat(b.lost()).isCloseTo(each - bestOfAllAnswers(List.of(first, second)), within(1e-9));
      assertThat(b.firstAnswer()).isNotEqualTo(b.secondAnswer());
    }
  }

  @Test
  void contradictingLabelsForTheSamePromptsCostHalfOfTheScore() {
    Example[] a = new Example[20];
    Example[] b = new Example[20];
    for (int i = 0; i < 20; i++) {
      a[i] = Example.of("Is item " + i + " red?", i % 2 == 0 ? " yes" : " no");
      b[i] = Example.of("is  item " + i + " RED? ", i % 2 == 0 ? "no" : "yes");
    }
    AnswerConflicts found = AnswerConflicts.of(List.of(task("a", a), task("b", b)));
    assertThat(found.lost()).isCloseTo(0.5, within(1e-9));
    assertThat(found.within()).isEmpty();
    assertThat(found.between())
        .singleElement()
        .satisfies(
            c -> {
              assertThat(c.lost()).isCloseTo(0.5, within(1e-9));
              assertThat(List.of(c.first(), c.second())).containsExactly("a", "b");
              assertThat(c.prompt()).startsWith("Is item");
            });
    AnswerConflicts same = AnswerConflicts.of(List.of(task("a", a), task("again", a)));
    assertThat(same.lost()).isZero();
    assertThat(same.between()).isEmpty();
  }

  @Test
  void threeTasksMayDisagreeOfWhichEachTwoAgree() {
    List<Task> tasks =
        List.of(
            task("a", Example.of("p", "x"), Example.of("p", "y")),
            task("b", Example.of("p", "x"), Example.of("p", "z")),
            task("c", Example.of("p", "y"), Example.of("p", "z")));
    AnswerConflicts found = AnswerConflicts.of(tasks);
    assertThat(found.between()).isEmpty();
    assertThat(found.lost()).isCloseTo(1.0 / 6, within(1e-9));
  }

  @Test
  void otherPromptsAndFreeTextsContradictNothing() {
    Task texts = Task.builder("texts").train(List.of(Example.text("a"), Example.text("b"))).build();
    AnswerConflicts found =
        AnswerConflicts.of(
            List.of(
                task("a", Example.of("one", "x"), Example.of("two", "y")),
                task("b", Example.of("three", "y"), Example.of("four", "x")),
                texts));
    assertThat(found.apart()).isCloseTo(1, within(1e-9));
    assertThat(found.lost()).isZero();
    assertThat(found.within()).isEmpty();
    assertThat(found.between()).isEmpty();
  }

  @Test
  void ofAConversationThePromptIsAllBeforeTheLastAnswer() {
    Example first =
        Example.conversation(
            Message.user("Hello"),
            Message.assistant("Hi"),
            Message.user("Red?"),
            Message.assistant("Yes"));
    Example other =
        Example.conversation(
            Message.user("Hello"),
            Message.assistant("Hi"),
            Message.user("Red?"),
            Message.assistant("No"));
    Example elsewhere = Example.conversation(Message.user("Red?"), Message.assistant("No"));
    assertThat(AnswerConflicts.of(List.of(task("a", first), task("b", other))).lost())
        .isCloseTo(0.5, within(1e-9));
    assertThat(AnswerConflicts.of(List.of(task("a", first), task("b", elsewhere))).lost()).isZero();
  }

  @Test
  void ofManyExamplesThoseOfTheSamePromptsAreLookedAt() {
    int n = 2 * AnswerConflicts.MOST_EXAMPLES;
    List<Example> a = IntStream.range(0, n).mapToObj(i -> Example.of("p" + i, "x")).toList();
    List<Example> b = IntStream.range(0, n).mapToObj(i -> Example.of("p" + i, "y")).toList();
    AnswerConflicts found =
        AnswerConflicts.of(
            List.of(task("a", a.toArray(Example[]::new)), task("b", b.toArray(Example[]::new))));
    assertThat(found.lost()).isCloseTo(0.5, within(1e-6));
  }
}
