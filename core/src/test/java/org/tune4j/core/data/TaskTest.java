package org.tune4j.core.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableMultiset;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.zip.GZIPOutputStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.io.MalformedFileException;

class TaskTest {
  @TempDir Path directory;

  private static List<Example> labelled(int count, int labels) {
    return IntStream.range(0, count)
        .mapToObj(i -> Example.of("text " + i, "label " + i % labels))
        .toList();
  }

  private static Task.Builder task() {
    return Task.builder("t").train(labelled(10, 2));
  }

  @Test
  void kindsAreInferred() {
    assertThat(task().build().type()).isEqualTo(Task.Type.CLASSIFICATION);
    assertThat(task().build().labels()).containsExactly("label 0", "label 1");
    assertThat(Task.builder("t").train(labelled(10, 10)).build().type())
        .as("each completion occurs once")
        .isEqualTo(Task.Type.GENERATION);
    assertThat(Task.builder("t").train(labelled(100, 41)).build().type())
        .isEqualTo(Task.Type.GENERATION);
    assertThat(
            Task.builder("t").train(List.of(Example.text("a"), Example.text("b"))).build().type())
        .isEqualTo(Task.Type.TEXT);
    assertThat(task().test(labelled(3, 3)).build().type())
        .as("labels that nobody declared are none if other parts have others")
        .isEqualTo(Task.Type.GENERATION);
    assertThat(task().type(Task.Type.GENERATION).build().labels()).isEmpty();
    assertThat(Task.builder("t").train(labelled(100, 41)).labels(labels(41)).build().labels())
        .hasSize(41);
  }

  @Test
  void oneLabelIsAClassificationIfItWasGiven() throws IOException {
    Task given = Task.builder("t").train(labelled(4, 1)).labels(Set.of("label 0")).build();
    assertThat(given.type()).isEqualTo(Task.Type.CLASSIFICATION);
    assertThat(given.labels()).containsExactly("label 0");
    assertThat(given.limit(1, 0, 0).labels()).containsExactly("label 0");
    Path file = directory.resolve("same.csv");
    Files.writeString(file, "text,label\na,spam\nb,spam\nc,spam\n");
    Task read = Task.fromFile("same", file);
    assertThat(read.type()).isEqualTo(Task.Type.CLASSIFICATION);
    assertThat(read.labels()).hasSize(1);
    assertThat(Task.builder("t").train(labelled(4, 1)).build().type())
        .as("equal completions alone make no labels")
        .isEqualTo(Task.Type.GENERATION);
  }

  @Test
  void aClassificationWithoutALabelSetHasAllCompletionsAsLabels() {
    Task task =
        Task.builder("t")
            .type(Task.Type.CLASSIFICATION)
            .train(labelled(3, 3))
            .test(List.of(Example.of("a", "label 7")))
            .build();
    assertThat(task.labels()).containsExactly("label 0", "label 1", "label 2", "label 7");
  }

  @Test
  void otherExamplesKeepWhatATaskIs() {
    Task task = task().labels(labels(3)).completionOnlyLoss(false).build();
    Task other = task.withExamples(labelled(2, 1), labelled(3, 3), List.of());
    assertThat(other.name()).isEqualTo("t");
    assertThat(other.labels()).hasSize(3);
    assertThat(other.completionOnlyLoss()).isFalse();
    assertThat(other.train()).hasSize(2);
    assertThat(other.validation()).hasSize(3);
    assertThatThrownBy(() -> task.withExamples(labelled(5, 5), List.of(), List.of()))
        .hasMessageContaining("'label 3' is not in the label set");
  }

  private static Set<String> labels(int n) {
    Set<String> all = new HashSet<>();
    IntStream.range(0, n).forEach(i -> all.add("label " + i));
    return all;
  }

  @Test
  void badExamplesAreNamed() {
    assertThatThrownBy(() -> Task.builder("t").build())
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'t' has no training examples");
    assertThatThrownBy(() -> Task.builder(" ").train(labelled(2, 2)).build())
        .hasMessageContaining("needs a name");
    assertThatThrownBy(() -> task().validation(List.of(Example.of("a", " \n"))).build())
        .hasMessageContaining("'t'")
        .hasMessageContaining("VALIDATION")
        .hasMessageContaining("empty completion");
    assertThatThrownBy(() -> task().labels(Set.of("label 0", "label 2")).build())
        .hasMessageContaining("'label 1' is not in the label set [label 0, label 2]");
    Task one = task().build();
    assertThatThrownBy(() -> Task.requireDistinctNames(List.of(one, one)))
        .hasMessageContaining("two tasks are named 't'");
    assertThatThrownBy(() -> Task.requireDistinctNames(List.of())).hasMessageContaining("no tasks");
  }

  @Property(tries = 100)
  void splitsShareOutEverything(
      @ForAll @IntRange(min = 1, max = 400) int count,
      @ForAll @IntRange(min = 1, max = 60) int labels,
      @ForAll @DoubleRange(min = 0, max = 0.45) double validation,
      @ForAll @DoubleRange(min = 0, max = 0.45) double test,
      @ForAll long seed) {
    List<Example> examples = labelled(count, labels);
    Task task = Task.builder("t").split(examples, validation, test, seed).build();
    List<Example> all = new ArrayList<>(task.train());
    all.addAll(task.validation());
    all.addAll(task.test());
    assertThat(ImmutableMultiset.copyOf(all)).isEqualTo(ImmutableMultiset.copyOf(examples));
    int distinct = Math.min(labels, count);
    int groups = distinct > Task.MOST_INFERRED_LABELS || 2 * distinct > count ? 1 : distinct;
    if (count >= 8 * groups) {
      assertThat((double) task.validation().size())
          .isBetween(count * validation - groups, count * validation + 1);
      assertThat((double) task.test().size()).isBetween(count * test - groups, count * test + 1);
      if (groups > 1) {
        Set<String> trained = new HashSet<>();
        task.train().forEach(e -> trained.add(e.completion()));
        assertThat(trained).as("every label is learned").isEqualTo(labels(labels));
      }
    }
    Task again = Task.builder("t").split(examples, validation, test, seed).build();
    assertThat(again.train()).isEqualTo(task.train());
    assertThat(again.test()).isEqualTo(task.test());
  }

  /** Many labels of few examples each: rounding each alone would leave nothing to validate on. */
  @Test
  void smallLabelsTogetherGetTheirShare() {
    Task task = Task.builder("t").split(labelled(120, 30), 0.1, 0.1, 3).build();
    assertThat(task.validation()).hasSize(12);
    assertThat(task.test()).hasSize(12);
  }

  /** Whoever takes the first examples of a part gets all labels, not those that came first. */
  @Test
  void partsAreMixed() {
    Task task = Task.builder("t").split(labelled(400, 4), 0.25, 0.25, 3).build();
    for (Task.Split split : Task.Split.values()) {
      assertThat(task.split(split).subList(0, 25).stream().map(Example::completion).distinct())
          .hasSize(4);
    }
  }

  private void write(String name, String content) throws IOException {
    Files.writeString(directory.resolve(name), content);
  }

  private static String lines(int count) {
    StringBuilder all = new StringBuilder();
    labelled(count, 2)
        .forEach(
            e ->
                all.append(
                    "{\"prompt\": \"%s\", \"completion\": \"%s\"}%n"
                        .formatted(e.prompt(), e.completion())));
    return all.toString();
  }

  @Test
  void directoriesHaveAFileForEachPart() throws IOException {
    write("train.jsonl", lines(20));
    write("dev.jsonl", lines(4));
    write("test.json", "[{\"prompt\": \"text\", \"completion\": \"label 1\"}]");
    Task task = Task.fromDirectory(directory);
    assertThat(task.name()).isEqualTo(directory.getFileName().toString());
    assertThat(task.train()).hasSize(20);
    assertThat(task.validation()).hasSize(4);
    assertThat(task.test()).hasSize(1);
    assertThat(task.type()).isEqualTo(Task.Type.CLASSIFICATION);
    assertThat(task)
        .asString()
        .contains("classification, 2 labels; 20 train, 4 validation, 1 test");
    assertThat(task.limit(3, 2, 0).train()).isEqualTo(task.train().subList(0, 3));
    assertThat(task.limit(3, 2, 0).labels()).isEqualTo(task.labels());
  }

  @Test
  void withoutAValidationFileAPartOfTheTrainingDataIsSetAside() throws IOException {
    write("train.jsonl", lines(40));
    Task task = Task.fromDirectory(directory);
    assertThat(task.train()).hasSize(36);
    assertThat(task.validation()).hasSize(4).doesNotContainAnyElementsOf(task.train());
    assertThat(task.test()).isEmpty();
    Task one = Task.fromFile("one", directory.resolve("train.jsonl"));
    assertThat(one.train()).hasSize(32);
    assertThat(one.validation()).hasSize(4);
    assertThat(one.test()).hasSize(4);
    assertThat(Task.fromFile("one", directory.resolve("train.jsonl")).test()).isEqualTo(one.test());
  }

  @Test
  void aLabelColumnMakesAClassification() throws IOException {
    StringBuilder csv = new StringBuilder("text,label\n");
    IntStream.range(0, 60)
        .forEach(i -> csv.append("text ").append(i).append(",intent ").append(i).append('\n'));
    write("train.csv", csv.toString());
    write("test.csv", "text,label\nsome,rare\n");
    Task task = Task.fromDirectory(directory);
    assertThat(task.type()).isEqualTo(Task.Type.CLASSIFICATION);
    assertThat(task.labels()).hasSize(61).contains("rare");
    assertThat(Task.fromFile("f", directory.resolve("train.csv")).labels()).hasSize(60);
  }

  @Test
  void missingAndBadFilesAreNamed() throws IOException {
    assertThatThrownBy(() -> Task.fromDirectory(directory))
        .isInstanceOf(NoSuchFileException.class)
        .hasMessageContaining(directory.toString())
        .hasMessageContaining("train.jsonl");
    write("train.jsonl", lines(20));
    write("test.jsonl", "{\"prompt\": \"a\"}\n");
    assertThatThrownBy(() -> Task.fromDirectory(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("test.jsonl, line 1");
  }

  @Test
  void filesAndDirectoriesNameTheirTasks() throws IOException {
    String rows = "{\"text\": \"a\"}\n{\"text\": \"b\"}\n";
    TaskReader reader = TaskReader.detecting();
    Path folder = Files.createDirectories(directory.resolve("my.task"));
    Files.writeString(folder.resolve("train.jsonl"), rows);
    assertThat(Task.read(folder, reader).name()).isEqualTo("my.task");
    assertThat(Task.read(folder.resolve("../my.task/."), reader).name()).isEqualTo("my.task");
    assertThat(Task.read("other", folder, reader).name()).isEqualTo("other");
    Path file = Files.writeString(directory.resolve("reviews.v2.jsonl"), rows);
    assertThat(Task.read(file, reader).name()).isEqualTo("reviews.v2");
    Path packed = directory.resolve("packed.jsonl.gz");
    try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(packed))) {
      out.write(rows.getBytes(StandardCharsets.UTF_8));
    }
    assertThat(Task.read(packed, reader).name()).isEqualTo("packed");
    assertThat(Task.read("f", file, reader).train())
        .isEqualTo(Task.fromFile("f", file).train())
        .isNotEmpty();
    assertThatThrownBy(() -> Task.read(directory.resolve("none.csv"), reader))
        .isInstanceOf(NoSuchFileException.class)
        .hasMessageContaining("none.csv")
        .hasMessageContaining("no such task file or directory");
  }
}
