package org.tune4j.core.data;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_16LE;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.tuple;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.text.Message;

/** Files as people have them, good and bad. */
class TaskReaderTest {
  @TempDir Path directory;

  private Path file(String name, String content) throws IOException {
    return Files.writeString(directory.resolve(name), content);
  }

  private List<Example> read(String name, String content) throws IOException {
    return TaskReader.detecting().read(file(name, content));
  }

  @Test
  void promptAndCompletion() throws IOException {
    List<Example> examples =
        read(
            "train.jsonl",
            """
            {"prompt": "Say \\u00e4:\\n", "completion": " ä", "id": 7}

            {"prompt": "", "completion": "only this"}
            """);
    assertThat(examples).hasSize(2);
    assertThat(examples.get(0).prompt()).isEqualTo("Say ä:\n");
    assertThat(examples.get(0).completion()).isEqualTo(" ä");
    assertThat(examples.get(1).origin()).isEqualTo(directory.resolve("train.jsonl") + ", line 3");
  }

  @Test
  void freeText() throws IOException {
    assertThat(read("t.jsonl", "{\"text\": \"Once upon a time.\"}"))
        .extracting(Example::prompt, Example::completion)
        .containsExactly(tuple("", "Once upon a time."));
  }

  @Test
  void messages() throws IOException {
    Example e =
        read(
                "t.jsonl",
                """
                {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
                """)
            .get(0);
    assertThat(e.isConversation()).isTrue();
    assertThat(e.messages())
        .containsExactly(
            new Message("system", "Be brief."),
            new Message("user", "Hi"),
            new Message("assistant", "Hello"));
    assertThat(e.allText()).isEqualTo("Be brief.\nHi\nHello\n");
  }

  @Test
  void shareGpt() throws IOException {
    Example e =
        read(
                "t.json",
                """
                [
                  {"id": "x_0", "conversations": [
                    {"from": "human", "value": "Hi"},
                    {"from": "gpt", "value": "Hello"}]}
                ]
                """)
            .get(0);
    assertThat(e.messages())
        .containsExactly(new Message("user", "Hi"), new Message("assistant", "Hello"));
    assertThat(e.origin()).endsWith("t.json, element 1");
  }

  @Test
  void alpaca() throws IOException {
    List<Example> examples =
        read(
            "alpaca.json",
            """
            [{"instruction": "Add.", "input": "1 2", "output": "3"},
             {"instruction": "Greet.", "input": "", "output": "Hi"},
             {"instruction": "Greet.", "output": "Hi"}]
            """);
    assertThat(examples.get(0).prompt())
        .isEqualTo("### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n");
    assertThat(examples.get(0).completion()).isEqualTo("3");
    assertThat(examples.get(1).prompt())
        .isEqualTo("### Instruction:\nGreet.\n\n### Response:\n")
        .isEqualTo(examples.get(2).prompt());
  }

  @Test
  void csvFromSpreadsheetsAndPandas() throws IOException {
    List<Example> examples =
        read(
            "reviews.csv",
            "\uFEFF,text,label\r\n0,\"Good, and\r\n\"\"cheap\"\"\",positive\r\n\r\n1,Bad,negative\r\n");
    assertThat(examples)
        .extracting(Example::prompt, Example::completion)
        .containsExactly(tuple("Good, and\r\n\"cheap\"\n", "positive"), tuple("Bad\n", "negative"));
    assertThat(examples).extracting(Example::origin).allMatch(o -> o.contains("reviews.csv, line"));
    assertThat(examples.get(1).origin()).endsWith("line 5");
  }

  @Test
  void textWithLabelInJsonIsAsInCsv() throws IOException {
    assertThat(read("t.jsonl", "{\"text\": \"Bad\", \"label\": \"negative\"}").get(0))
        .extracting(Example::prompt, Example::completion)
        .containsExactly("Bad\n", "negative");
    assertThat(read("t.jsonl", "{\"text\": \"Bad\", \"label\": 0}").get(0).completion())
        .isEqualTo("0");
  }

  @Test
  void jsonFilesMayHoldLines() throws IOException {
    String lines = "{\"text\": \"a\"}\n{\"text\": \"b\"}\n";
    assertThat(read("t.json", lines)).hasSize(2);
    assertThat(read("t.json", "  \n[{\"text\": \"a\"}]")).hasSize(1);
  }

  @Test
  void columnsMayBeRemapped() throws IOException {
    TaskReader reader =
        TaskReader.detecting().column("prompt", "question").column("completion", "answer");
    assertThat(reader.read(file("q.jsonl", "{\"question\": \"1+1?\", \"answer\": \"2\"}")).get(0))
        .extracting(Example::prompt, Example::completion)
        .containsExactly("1+1?", "2");
    assertThat(
            TaskReader.of(DataFormat.CSV)
                .column("text", "review")
                .column("label", "stars")
                .read(file("r.txt", "stars,review\n5,Nice\n"))
                .get(0))
        .extracting(Example::prompt, Example::completion)
        .containsExactly("Nice\n", "5");
    assertThat(
            TaskReader.detecting()
                .column("messages", "dialogue")
                .column("role", "who")
                .column("content", "says")
                .read(
                    file(
                        "d.jsonl",
                        "{\"dialogue\": [{\"who\": \"assistant\", \"says\": \"Hello\"}]}"))
                .get(0)
                .messages())
        .containsExactly(new Message("assistant", "Hello"));
    assertThatThrownBy(() -> TaskReader.detecting().column("answer", "completion"))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'answer'")
        .hasMessageContaining("completion");
  }

  static Stream<Arguments> badFiles() {
    return Stream.of(
        Arguments.of(
            "t.jsonl",
            "{\"text\": \"a\"}\n{\"text\": \"b\n",
            List.of("line 2", "column", "no valid JSON")),
        Arguments.of("t.jsonl", "{\"text\": \"a\"} {\"text\": \"b\"}", List.of("line 1", "JSON")),
        Arguments.of(
            "t.jsonl", "{\"text\": \"a\"}\n\n[1]\n", List.of("line 3", "array", "a JSON object")),
        Arguments.of(
            "t.jsonl",
            "{\"prompt\": \"a\"}",
            List.of("line 1", "field 'completion'", "nothing", "a string")),
        Arguments.of(
            "t.jsonl",
            "{\"prompt\": \"a\", \"completion\": 3}",
            List.of("line 1", "field 'completion'", "found 3", "a string")),
        Arguments.of(
            "t.jsonl",
            "{\"prompt\": \"a\", \"completion\": \" \"}",
            List.of("line 1", "field 'completion'", "an empty string")),
        Arguments.of("t.jsonl", "{\"text\": \"\"}", List.of("line 1", "'text'", "empty")),
        Arguments.of(
            "t.jsonl",
            "{\"prompt\": \"a\", \"completion\": null}",
            List.of("line 1", "'completion'")),
        Arguments.of(
            "t.jsonl",
            "{\"prompt\": null, \"text\": null}",
            List.of("line 1", "[prompt (null), text (null)]")),
        Arguments.of(
            "t.jsonl",
            "{\"text\": \"a\", \"text\": \"b\"}",
            List.of("line 1", "Duplicate", "text")),
        Arguments.of("t.json", "[{\"text\": \"a\"}] 7", List.of("line 1", "after the array")),
        Arguments.of("t.json", "[{\"text\": \"a\"}", List.of("line 1", "no valid JSON")),
        Arguments.of(
            "t.json",
            "[{\"text\":\n\"a\"},\n\n{\"text\": 7}]",
            List.of("element 2 (line 4), field 'text'")),
        Arguments.of(
            "t.jsonl", "{\"text\": \"a\", \"label\": 0.5}", List.of("line 1", "'label'", "0.5")),
        Arguments.of(
            "t.jsonl",
            "{\"question\": \"a\"}",
            List.of("line 1", "[question]", "prompt and completion")),
        Arguments.of(
            "t.jsonl", "{\"messages\": []}", List.of("line 1", "'messages'", "[]", "turns")),
        Arguments.of(
            "t.jsonl",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}",
            List.of("line 1", "no assistant turn")),
        Arguments.of(
            "t.jsonl",
            "{\"messages\": [{\"role\": \"assistant\", \"content\": \"\"}]}",
            List.of("line 1", "messages[0]", "'content'", "empty")),
        Arguments.of(
            "t.jsonl",
            "{\"conversations\": [{\"from\": \"gpt\"}]}",
            List.of("line 1", "conversations[0]", "'value'")),
        Arguments.of(
            "t.jsonl",
            "{\"instruction\": \"a\", \"input\": [], \"output\": \"b\"}",
            List.of("line 1", "'input'", "[]", "a string")),
        Arguments.of(
            "t.json", "[{\"text\": \"a\"},\n 7]", List.of("element 2", "number", "a JSON object")),
        Arguments.of("t.json", "[{\"text\": \"a\"},\n{]", List.of("line 2", "no valid JSON")),
        Arguments.of("t.jsonl", "\n \n", List.of("no examples", "at least one")),
        Arguments.of("t.json", "[]", List.of("no examples", "at least one")),
        Arguments.of("t.csv", "text,label\n", List.of("no examples")),
        Arguments.of("t.csv", "", List.of("no examples")),
        Arguments.of("t.csv", "text,stars\na,b\n", List.of("line 1", "stars", "'label'")),
        Arguments.of("t.csv", "text,label,label\na,b,c\n", List.of("line 1", "one column 'label'")),
        Arguments.of(
            "t.csv", "text,label\na,b\na,b,c\n", List.of("line 3", "3 fields", "2, as in")),
        Arguments.of("t.csv", "text,label\na,b\nc,\n", List.of("line 3", "'label'", "empty")),
        Arguments.of("t.csv", "text,label\n,b\n", List.of("line 2", "'text'", "empty")),
        Arguments.of("t.csv", "text,label\na,b\n\"c\" d,e\n", List.of("line 3", "comma-separated")),
        Arguments.of("t.csv", "text,label\na,\"b\n", List.of("line", "comma-separated")));
  }

  @ParameterizedTest
  @MethodSource("badFiles")
  void badFilesAreNamedWithThePlace(String name, String content, List<String> message)
      throws IOException {
    Path file = file(name, content);
    assertThatThrownBy(() -> TaskReader.detecting().read(file))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageStartingWith(file.toString())
        .message()
        .contains(message);
  }

  @ParameterizedTest
  @ValueSource(strings = {"t.jsonl", "t.csv", "t.json"})
  void otherEncodingsAreNamedWithTheLine(String name) throws IOException {
    String good = "{\"text\": \"" + "a".repeat(20_000) + "\"}\n";
    String content =
        switch (name) {
          case "t.csv" -> "text,label\n" + "a,b\n".repeat(9_999) + "ü,b\n";
          case "t.json" -> "[\n" + "{\"text\": \"a\"},\n".repeat(9_999) + "{\"text\": \"ü\"}]";
          default -> good.repeat(10_000 / 100) + "{\"text\": \"ü\"}\n";
        };
    Path file = Files.write(directory.resolve(name), content.getBytes(ISO_8859_1));
    long line =
        1 + content.substring(0, content.indexOf('ü')).chars().filter(c -> c == '\n').count();
    assertThatThrownBy(() -> TaskReader.detecting().read(file))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(file + ", line " + line)
        .hasMessageContaining("not UTF-8");
  }

  @Test
  void nullsAreAbsent() throws IOException {
    List<Example> extra =
        read(
            "t.jsonl",
            """
            {"prompt": "a:", "completion": " b", "messages": null, "text": null}
            {"prompt": "c:", "completion": " d", "messages": null, "text": null}
            """);
    assertThat(extra)
        .extracting(Example::prompt, Example::completion)
        .containsExactly(tuple("a:", " b"), tuple("c:", " d"));
    Example merged =
        read(
                "t.jsonl",
                "{\"instruction\": \"Say hi.\", \"input\": \"\", \"output\": \"hi\", \"conversations\": null, \"prompt\": null, \"messages\": [], \"system\": \"\", \"history\": []}")
            .get(0);
    assertThat(merged.prompt()).isEqualTo("### Instruction:\nSay hi.\n\n### Response:\n");
    assertThat(read("t.jsonl", "{\"text\": \"a\", \"label\": null, \"messages\": null}"))
        .extracting(Example::prompt, Example::completion)
        .containsExactly(tuple("", "a"));
  }

  @Test
  void otherFieldsAreCounted() throws IOException {
    TaskReader.Contents contents =
        TaskReader.detecting()
            .readAll(
                file(
                    "t.jsonl",
                    """
                    {"instruction": "a", "output": "b", "id": 1, "text": "a b", "score": null}
                    {"instruction": "a", "output": "b", "id": 2}
                    """));
    assertThat(contents.report().unusedFields()).isEqualTo(Map.of("id", 2, "text", 1));
    assertThat(contents.report().warnings())
        .containsExactly(
            directory.resolve("t.jsonl")
                + ": fields that were not used: 'id' (2 times), 'text' (1 times)");
    assertThat(
            TaskReader.detecting()
                .readAll(file("t.csv", "id,text,label,system\n1,a,b,\n2,c,d,\n"))
                .report()
                .unusedFields())
        .isEqualTo(Map.of("id", 2));
    assertThat(
            TaskReader.detecting()
                .readAll(file("t.jsonl", "{\"text\": \"a\"}"))
                .report()
                .warnings())
        .isEmpty();
  }

  @Test
  void aNamedFormatLeavesOthersFieldsOut() throws IOException {
    String both =
        "{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\"}], \"prompt\": \"a\", \"completion\": \"b\", \"label\": 1}";
    assertThatThrownBy(() -> read("t.jsonl", both))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("line 1")
        .hasMessageContaining("MESSAGES")
        .hasMessageContaining("PROMPT_COMPLETION");
    TaskReader.Contents contents =
        TaskReader.of(DataFormat.PROMPT_COMPLETION).readAll(file("t.jsonl", both));
    assertThat(contents.examples().get(0).prompt()).isEqualTo("a");
    assertThat(contents.report().unusedFields()).isEqualTo(Map.of("messages", 1, "label", 1));
  }

  @Test
  void preferencesAreRefusedUnlessMapped() throws IOException {
    String row = "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}";
    assertThatThrownBy(() -> read("t.jsonl", row))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("line 1")
        .hasMessageContaining("'chosen'")
        .hasMessageContaining("'rejected'");
    TaskReader.Contents chosen =
        TaskReader.detecting().column("completion", "chosen").readAll(file("t.jsonl", row));
    assertThat(chosen.examples().get(0).completion()).isEqualTo("b");
    assertThat(chosen.report().unusedFields()).isEqualTo(Map.of("rejected", 1));
  }

  @Test
  void newerFieldsMayBeRemappedToo() throws IOException {
    Example e =
        TaskReader.detecting()
            .column("tools", "functions")
            .column("reasoning_content", "reasoning")
            .column("weight", "loss")
            .read(
                file(
                    "t.jsonl",
                    "{\"functions\": [{\"name\": \"f\"}], \"messages\": [{\"role\": \"assistant\", \"content\": \"x\", \"reasoning\": \"r\", \"loss\": 1}]}"))
            .get(0);
    assertThat(e.options().tools()).contains(List.of(Map.of("name", "f")));
    assertThat(e.messages().get(0).field("reasoning_content")).isEqualTo("r");
    assertThat(e.learned()).containsExactly(true);
  }

  @Test
  void aTextThatLostItsLabelIsNoText() throws IOException {
    String rows =
        "{\"text\": \"a\", \"label\": null}\n{\"text\": \"b\", \"label\": true}\n{\"text\": \"c\", \"label\": false}\n";
    assertThatThrownBy(() -> read("t.jsonl", rows))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("t.jsonl, line 1, field 'label'")
        .hasMessageContaining("2 other rows");
    TaskReader.Contents contents =
        TaskReader.detecting().skippingBadRows().readAll(file("t.jsonl", rows));
    assertThat(contents.labelled()).isTrue();
    assertThat(contents.examples())
        .extracting(Example::completion)
        .containsExactly("true", "false");
    assertThat(contents.report().badRows()).isEqualTo(1);
  }

  @Test
  void filesComeInManyWrappings() throws IOException {
    String rows = "\uFEFF{\"text\": \"a\"}\r\n\r\n{\"text\": \"b\"}";
    for (String name : List.of("t.jsonl", "t.json", "t.txt")) {
      List<Example> examples = read(name, rows);
      assertThat(examples).extracting(Example::completion).containsExactly("a", "b");
      assertThat(examples.get(1).origin()).endsWith(name + ", line 3");
      assertThat(read(name, "\n [{\"text\": \"a\"}]")).hasSize(1);
    }
    Path packed = directory.resolve("t.jsonl.gz");
    try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(packed))) {
      out.write(rows.getBytes(UTF_8));
    }
    assertThat(TaskReader.detecting().read(packed)).hasSize(2);
    assertThat(
            TaskReader.of(DataFormat.CSV)
                .readAll(file("t.jsonl", "{\"text\": \"a\", \"label\": \"x\"}"))
                .labelled())
        .isTrue();
  }

  @Test
  void whatIsNoTextIsNamed() throws IOException {
    Map<String, byte[]> files =
        Map.of(
            "Parquet",
            "PAR1....".getBytes(UTF_8),
            "zip",
            "PK\003\004....".getBytes(UTF_8),
            "UTF-16",
            "\uFEFF{}".getBytes(UTF_16LE),
            "zstd",
            new byte[] {0x28, (byte) 0xb5, 0x2f, (byte) 0xfd, 0},
            "damaged gzip",
            new byte[] {0x1f, (byte) 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9});
    for (Map.Entry<String, byte[]> f : files.entrySet()) {
      Path file = Files.write(directory.resolve("t.jsonl"), f.getValue());
      assertThatThrownBy(() -> TaskReader.detecting().read(file))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining(file + ": found ")
          .hasMessageContaining(f.getKey());
    }
  }

  @Test
  void missingFilesAreNamed() {
    assertThatThrownBy(() -> TaskReader.detecting().read(directory.resolve("none.jsonl")))
        .isInstanceOf(NoSuchFileException.class)
        .hasMessageContaining("none.jsonl");
  }
}
