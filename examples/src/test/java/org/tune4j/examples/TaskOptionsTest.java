package org.tune4j.examples;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.examples.common.ModelOptions;
import picocli.CommandLine;

/** What the command line reads is what the library reads. */
class TaskOptionsTest {
  @TempDir private Path directory;
  private final StringWriter err = new StringWriter();
  private ModelOptions model = new ModelOptions();

  private Task read(String... arguments) throws IOException {
    return CommandLine.populateCommand(new TaskOptions(), arguments)
        .read(model, new PrintWriter(err))
        .get(0);
  }

  private void requireSame(Task actual, Task expected) {
    assertThat(actual.name()).isEqualTo(expected.name());
    assertThat(actual.type()).isEqualTo(expected.type());
    assertThat(actual.labels()).isEqualTo(expected.labels());
    for (Task.Split split : Task.Split.values()) {
      assertThat(actual.split(split)).as("%s", split).isEqualTo(expected.split(split));
    }
  }

  @Test
  void labelsAreThoseOfTheFile() throws IOException {
    StringBuilder rows = new StringBuilder("text,label\n");
    for (int i = 0; i < 200; i++) {
      rows.append("text ").append(i).append(",intent ").append(i < 100 ? i % 50 : i).append('\n');
    }
    Path file = Files.writeString(directory.resolve("intents.csv"), rows);
    Task library = Task.fromFile("intents", file);
    assertThat(library.type()).isEqualTo(Task.Type.CLASSIFICATION);
    assertThat(library.labels()).hasSize(150);
    requireSame(read("--task", file.toString()), library);
    requireSame(read("--task", "other=" + file), Task.fromFile("other", file));
  }

  @Test
  void directoriesKeepTheirLabelsUnderAnotherName() throws IOException {
    Files.writeString(directory.resolve("train.csv"), "text,label\na,x\nb,y\n");
    Files.writeString(directory.resolve("test.csv"), "text,label\nc,rare\n");
    Task named = read("--task", "mine=" + directory);
    assertThat(named.name()).isEqualTo("mine");
    assertThat(named.labels()).containsExactly("rare", "x", "y");
    requireSame(read("--task", directory.toString()), Task.fromDirectory(directory));
  }

  @Test
  void badRowsAndUnusedFieldsArePrinted() throws IOException {
    Path file =
        Files.writeString(
            directory.resolve("t.jsonl"),
            "{\"text\": \"a\", \"id\": 1}\n{\"text\": 3}\n{\"text\": \"b\"}\n");
    assertThatThrownBy(() -> read("--task", file.toString()))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(file + ", line 2, field 'text'");
    assertThat(read("--task", file.toString(), "--skip-bad-rows").train()).isNotEmpty();
    assertThat(err.toString())
        .contains(file + ": left out 1 bad rows of 3:")
        .contains("  " + file + ", line 2, field 'text': found 3, expected a string")
        .contains("'id' (1 times)");
  }

  @Test
  void rowsThatTheTemplateRefusesAreBad() throws IOException {
    Files.writeString(
        directory.resolve("chat_template.jinja"),
        "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}{{ m.content }}{% endfor %}");
    model = CommandLine.populateCommand(new ModelOptions(), "--model", directory.toString());
    String row =
        "{\"messages\": [{\"role\": \"%s\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}%n";
    Path file =
        Files.writeString(
            directory.resolve("t.jsonl"), row.formatted("user") + row.formatted("tool"));
    assertThat(read("--task", file.toString(), "--skip-bad-rows").train()).hasSize(1);
    assertThat(err.toString()).contains(file + ", line 2: ", "no tools here");
  }
}
