package org.tune4j.examples.wordnet;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.common.base.Splitter;
import com.google.common.collect.ImmutableSet;
import com.google.common.collect.Iterables;
import com.google.common.collect.Sets;
import java.io.IOException;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.text.Tokenizer;
import org.tune4j.examples.common.Bundled;
import org.tune4j.examples.common.WordNetTasks;
import org.tune4j.examples.wordnet.Splits.Candidate;

/** What comparisons need of the tasks' data as it is bundled. */
class BundledTasksTest {
  private static final int MOST_TOKENS = 64;

  /** Questions that begin with a word and a colon; others' colons are those of glosses. */
  private static final ImmutableSet<String> WORD_AND_GLOSS =
      ImmutableSet.of("verb-hypernym", "verb-frame", "verb-pattern");

  /** Open answers that questions of several splits share, as labels do. */
  private static final ImmutableSet<String> COMMON_ANSWERS = ImmutableSet.of("verb-hypernym");

  static List<String> names() {
    return WordNetTasks.NAMES;
  }

  @Test
  void mostAreClassifications() throws IOException {
    int classifications = 0;
    for (String name : names()) {
      classifications += WordNetTasks.load(name).type() == Task.Type.CLASSIFICATION ? 1 : 0;
    }
    assertThat(names()).hasSizeGreaterThanOrEqualTo(14);
    assertThat(classifications).isGreaterThan(names().size() / 2);
  }

  @ParameterizedTest
  @MethodSource("names")
  void splitsAreLargeAndShareNoWordAskedAbout(String name) throws IOException {
    Task task = WordNetTasks.load(name);
    assertThat(task.train()).hasSizeGreaterThanOrEqualTo(2_000);
    assertThat(task.validation()).hasSizeGreaterThanOrEqualTo(300);
    assertThat(task.test()).hasSizeGreaterThanOrEqualTo(500);
    Set<String> train = subjects(task, Task.Split.TRAIN);
    Set<String> validation = subjects(task, Task.Split.VALIDATION);
    Set<String> test = subjects(task, Task.Split.TEST);
    assertThat(Sets.intersection(train, validation)).isEmpty();
    assertThat(Sets.intersection(train, test)).isEmpty();
    assertThat(Sets.intersection(validation, test)).isEmpty();
    long prompts = all(task).map(Example::prompt).distinct().count();
    assertThat(prompts).isEqualTo(all(task).count());
  }

  private static Stream<Example> all(Task task) {
    return Stream.of(Task.Split.values()).flatMap(split -> task.split(split).stream());
  }

  /** The words, or where there are none the glosses, of questions, and the words that answer. */
  private static Set<String> subjects(Task task, Task.Split split) {
    Set<String> subjects = new HashSet<>();
    for (Example example : task.split(split)) {
      String question = Iterables.get(Splitter.on('\n').split(example.prompt()), 0);
      String subject =
          WORD_AND_GLOSS.contains(task.name())
              ? question.substring(0, question.indexOf(": "))
              : question;
      for (String part : Splitter.on(" / ").split(subject)) {
        subjects.add(part.toLowerCase(Locale.ROOT));
      }
      if (task.type() == Task.Type.GENERATION && !COMMON_ANSWERS.contains(task.name())) {
        subjects.add(example.completion().strip().toLowerCase(Locale.ROOT));
      }
    }
    return subjects;
  }

  @Test
  void examplesAreShort() throws IOException {
    try (Tokenizer tokenizer = Tokenizer.load(Bundled.baseModel())) {
      for (String name : names()) {
        int[] lengths =
            WordNetTasks.load(name).test().stream()
                .mapToInt(e -> tokenizer.encode(e.prompt() + e.completion(), true).length)
                .sorted()
                .toArray();
        assertThat(lengths[lengths.length * 95 / 100]).as(name).isLessThanOrEqualTo(MOST_TOKENS);
      }
    }
  }

  /** Neither the commonest label nor a text's length, order and capitals get far. */
  @ParameterizedTest
  @MethodSource("names")
  void labelsAreBalancedAndCannotBeReadOff(String name) throws IOException {
    Task task = WordNetTasks.load(name);
    if (task.type() == Task.Type.GENERATION) {
      return;
    }
    assertThat(task.labels()).hasSizeBetween(2, 10);
    Shortcuts shortcuts = Shortcuts.of(candidates(task.train()), candidates(task.test()));
    assertThat(shortcuts.majority()).isLessThan(0.6);
    assertThat(shortcuts.shape()).isLessThan(shortcuts.majority() + 0.2);
    assertThat(shortcuts.trigrams()).isLessThan(0.85);
  }

  private static List<Candidate> candidates(List<Example> examples) {
    return examples.stream()
        .map(e -> new Candidate(e.prompt(), e.completion(), e.completion(), ImmutableSet.of()))
        .toList();
  }

  @Test
  void shortcutsAreFoundWhereThereAreSome() {
    List<Candidate> byLength =
        Stream.iterate(1, i -> i + 1)
            .limit(200)
            .map(
                i ->
                    new Candidate(
                        "a".repeat(i % 20 + 1) + "\nQ:",
                        i % 20 < 10 ? " s" : " l",
                        "",
                        ImmutableSet.of()))
            .toList();
    assertThat(Shortcuts.of(byLength, byLength).shape()).isGreaterThan(0.9);
    List<Candidate> byEnding =
        Stream.iterate(1, i -> i + 1)
            .limit(200)
            .map(
                i ->
                    new Candidate(
                        "word" + i + (i % 3 == 0 ? "ness" : "able") + "\nQ:",
                        i % 3 == 0 ? " n" : " a",
                        "",
                        ImmutableSet.of()))
            .toList();
    Shortcuts shortcuts = Shortcuts.of(byEnding, byEnding);
    assertThat(shortcuts.trigrams()).isEqualTo(1);
    assertThat(shortcuts.majority()).isEqualTo(0.67);
  }
}
