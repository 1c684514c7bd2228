package org.tune4j.core.data;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.Size;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;
import org.tune4j.core.io.MalformedFileException;

/** The first bad row fails, or bad rows are left out, counted and listed. */
class BadRowsTest {
  /** In Latin 1, so that one is not UTF-8. */
  private static final List<String> BAD =
      List.of(
          "{\"prompt\": \"a\"",
          "{\"prompt\": \"\u00e4\", \"completion\": \"b\"}",
          "[1]",
          "7 8",
          "{\"prompt\": \"a\", \"completion\": 3}",
          "{\"prompt\": \"a\", \"completion\": \" \"}",
          "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}",
          "{\"prompt\": \"a\", \"completion\": \"b\", \"tools\": [{\"name\": \"f\"}]}",
          "{\"prompt\": \"a\", \"rejected\": \"b\", \"odd\": 1}");

  private static Path directory;

  @BeforeContainer
  static void create() throws IOException {
    directory = Files.createTempDirectory("rows");
  }

  @AfterContainer
  static void delete() throws IOException {
    com.google.common.io.MoreFiles.deleteRecursively(directory);
  }

  private static Path file(String name, String content) throws IOException {
    return Files.write(directory.resolve(name), content.getBytes(ISO_8859_1));
  }

  private static String good(int i) {
    return "{\"prompt\": \"a" + i + "\", \"completion\": \"b\", \"messages\": null, \"id\": 1}";
  }

  @Property(tries = 100)
  void whatIsLeftOutIsListed(@ForAll @Size(max = 40) List<Boolean> isGood) throws IOException {
    List<String> lines = new ArrayList<>();
    List<String> places = new ArrayList<>();
    Path file = directory.resolve("t.jsonl");
    int good = 1;
    lines.add(good(0));
    for (boolean g : isGood) {
      lines.add(g ? good(good++) : BAD.get(places.size() % BAD.size()));
      if (!g) {
        places.add(file + ", line " + lines.size());
      }
    }
    file("t.jsonl", String.join("\n", lines));

    TaskReader.Contents contents = TaskReader.detecting().skippingBadRows().readAll(file);
    FileReport report = contents.report();
    assertThat(contents.examples())
        .extracting(Example::prompt)
        .containsExactlyElementsOf(
            java.util.stream.IntStream.range(0, good).mapToObj(i -> "a" + i).toList());
    assertThat(report.rows()).isEqualTo(lines.size());
    assertThat(report.badRows()).isEqualTo(places.size());
    assertThat(report.unusedFields())
        .as("of good rows")
        .containsOnly(java.util.Map.entry("id", good));
    assertThat(report.firstBad()).hasSize(Math.min(10, places.size()));
    for (int i = 0; i < report.firstBad().size(); i++) {
      assertThat(report.firstBad().get(i)).startsWith(places.get(i)).contains("found", "expected");
    }
    if (places.isEmpty()) {
      assertThat(TaskReader.detecting().read(file)).isEqualTo(contents.examples());
    } else {
      assertThat(report.warnings().get(0))
          .contains("left out %d bad rows of %d".formatted(places.size(), lines.size()));
      assertThatThrownBy(() -> TaskReader.detecting().read(file))
          .isInstanceOf(MalformedFileException.class)
          .hasMessage(report.firstBad().get(0));
    }
    assertThat(report.warnings().toString().contains("and " + (places.size() - 10) + " more"))
        .isEqualTo(places.size() > 10);
  }

  @net.jqwik.api.Example
  void rowsOfOtherFilesToo() throws IOException {
    TaskReader skipping = TaskReader.detecting().skippingBadRows();
    TaskReader.Contents csv = skipping.readAll(file("t.csv", "text,label\na,x\nb\n,y\nc,\nd,z\n"));
    assertThat(csv.examples()).extracting(Example::completion).containsExactly("x", "z");
    assertThat(csv.report().badRows()).isEqualTo(3);
    assertThat(csv.report().firstBad().get(1)).contains("t.csv, line 4, field 'text'");
    TaskReader.Contents array =
        skipping.readAll(file("t.json", "[{\"text\": \"a\"}, 3, {\"text\": \"\"},\n {}]"));
    assertThat(array.examples()).hasSize(1);
    assertThat(array.report().firstBad().get(2)).contains("t.json, element 4 (line 2)");
  }

  @net.jqwik.api.Example
  void callersMayRequireMore() throws IOException {
    TaskReader requiring =
        TaskReader.detecting()
            .requiring(
                e -> {
                  if (e.prompt().equals("a1")) {
                    throw new IllegalArgumentException("not this");
                  }
                });
    Path file = file("t.jsonl", good(0) + "\n" + good(1) + "\n" + good(2));
    assertThatThrownBy(() -> requiring.read(file))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(file + ", line 2: ")
        .hasMessageContaining("not this");
    assertThat(requiring.skippingBadRows().read(file)).hasSize(2);
  }

  @net.jqwik.api.Example
  void filesWithoutAGoodRowFail() throws IOException {
    TaskReader skipping = TaskReader.detecting().skippingBadRows();
    Path bad = file("t.jsonl", "{\n}\n");
    assertThatThrownBy(() -> skipping.read(bad))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("only bad rows")
        .hasMessageContaining("line 1");
    Path array = file("t.json", "[{\"text\": \"a\"}, {\"text\": ");
    assertThatThrownBy(() -> skipping.read(array))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("no valid JSON");
    Path csv = file("t.csv", "text,label\na,b\nc,\"d\n");
    assertThatThrownBy(() -> skipping.read(csv)).isInstanceOf(MalformedFileException.class);
  }

  @net.jqwik.api.Example
  void aTasksFilesTellWhatWasNotUsed() throws IOException {
    Path task = Files.createDirectories(directory.resolve("task"));
    Files.writeString(task.resolve("train.jsonl"), good(0) + "\n{}\n" + good(1));
    Files.writeString(task.resolve("validation.jsonl"), good(2) + "\n{}\n{}\n");
    Task read = Task.fromDirectory(task, TaskReader.detecting().skippingBadRows());
    assertThat(read.reports()).extracting(FileReport::badRows).containsExactly(1, 2);
    assertThat(read.limit(1, 1, 1).reports()).isEqualTo(read.reports());
  }
}
