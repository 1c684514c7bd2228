package org.tune4j.core.data;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.BufferedWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.Task.Split;
import org.tune4j.core.text.ChatTemplate;
import org.tune4j.core.text.Tokenizer;

/** Data that lies in files because the heap has no room for it is the same data. */
class LargeDataTest {
  private static final Path TINY = Path.of("src/test/resources/tiny");

  @TempDir Path directory;

  /** Runs something with all data in files. */
  private static <T> T inFiles(Callable<T> work) throws Exception {
    System.setProperty(HeapShare.PROPERTY, "0");
    try {
      return work.call();
    } finally {
      System.clearProperty(HeapShare.PROPERTY);
    }
  }

  private Path file(String name, String content) throws IOException {
    return Files.writeString(directory.resolve(name), content);
  }

  private static void assertSame(TaskReader.Contents stored, TaskReader.Contents inHeap) {
    assertThat(stored.examples()).isInstanceOf(Stored.class).isEqualTo(inHeap.examples());
    assertThat(stored.labelled()).isEqualTo(inHeap.labelled());
    assertThat(stored.report()).isEqualTo(inHeap.report());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"prompt\": \"a \\u00e4\", \"completion\": \" b\", \"id\": 1e400}",
        "{\"text\": \"Once\"}",
        "{\"text\": \"Once\", \"label\": true}\n{\"text\": \"more\", \"label\": 7}",
        "{\"instruction\": \"i\", \"input\": \"\", \"output\": \"o\"}",
        "[{\"prompt\": \"p\", \"completion\": \"c\"},\n {\"prompt\": \"q\", \"completion\": \"d\"}]",
        "[{\"messages\": [{\"role\": \"user\", \"content\": \"u\", \"n\": 1e400, \"m\": -0.10},"
            + " {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"function\":"
            + " {\"name\": \"f\", \"arguments\": {\"x\": 123456789012345678901234567890}}}]}],"
            + " \"tools\": \"[{\\\"type\\\": \\\"function\\\"}]\", \"chat_template_kwargs\":"
            + " {\"k\": [1, 2.50, null]}}]",
        "{\"conversations\": [{\"from\": \"human\", \"value\": \"h\"}, {\"from\": \"gpt\","
            + " \"value\": \"g\", \"weight\": 1}]}",
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"u\"}], \"completion\": \"c\"}"
      })
  void rowsOfEveryFormatReadAlike(String content) throws Exception {
    Path path = file("train.jsonl", content);
    assertSame(
        inFiles(() -> TaskReader.detecting().readAll(path)), TaskReader.detecting().readAll(path));
    Path packed = directory.resolve("packed.jsonl.gz");
    try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(packed))) {
      out.write(content.getBytes(UTF_8));
    }
    assertSame(
        inFiles(() -> TaskReader.detecting().readAll(packed)),
        TaskReader.detecting().readAll(packed));
  }

  @Test
  void commaSeparatedValuesReadAlike() throws Exception {
    Path path = file("train.csv", "text,label,note\n\"a\nb\",x,1\n\"c,d\",y,2\ne,x,3\n");
    assertSame(
        inFiles(() -> TaskReader.detecting().readAll(path)), TaskReader.detecting().readAll(path));
  }

  @Test
  void badRowsAreLeftOutAlike() throws Exception {
    Path path =
        file(
            "train.jsonl",
            """
            {"text": "one", "label": "a"}
            {"text": "lost its label"}
            no JSON
            {"text": "two", "label": "b"}
            """);
    TaskReader reader = TaskReader.detecting().skippingBadRows();
    TaskReader.Contents stored = inFiles(() -> reader.readAll(path));
    assertSame(stored, reader.readAll(path));
    assertThat(stored.examples()).extracting(Example::completion).containsExactly("a", "b");
    assertThatThrownBy(() -> inFiles(() -> TaskReader.detecting().readAll(path)))
        .hasMessageContaining("line 3");
  }

  /** Rows with {@code answers} different completions. */
  private Path rows(int count, int answers) throws IOException {
    Random random = new Random(count);
    Path path = directory.resolve("rows-" + answers + ".jsonl");
    try (BufferedWriter out = Files.newBufferedWriter(path)) {
      for (int i = 0; i < count; i++) {
        out.write(
            "{\"prompt\": \"Number %d %d:\", \"completion\": \" %d\"}\n"
                .formatted(i, random.nextInt(9), random.nextInt(answers)));
      }
    }
    return path;
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3, 40, 1000})
  void tasksSplitAndEncodeAlike(int answers) throws Exception {
    Path path = rows(300, answers);
    Task inHeap = Task.fromFile("t", path);
    Task stored = inFiles(() -> Task.fromFile("t", path));
    assertThat(stored.type()).isEqualTo(inHeap.type());
    assertThat(stored.labels()).isEqualTo(inHeap.labels());
    int[] some = IntStream.range(0, 50).map(i -> 3 * i).toArray();
    try (Tokenizer tokenizer = Tokenizer.load(TINY)) {
      ExampleEncoder encoder =
          new ExampleEncoder(tokenizer, ChatTemplate.load(TINY), 12, LengthPolicy.SKIP);
      for (Split split : Split.values()) {
        assertThat(stored.split(split)).isInstanceOf(Stored.class).isEqualTo(inHeap.split(split));
        assertThat(stored.limit(20, 20, 20).split(split))
            .isInstanceOf(Stored.class)
            .isEqualTo(inHeap.limit(20, 20, 20).split(split));
        assertSame(inFiles(() -> encoder.encode(stored, split)), encoder.encode(inHeap, split));
      }
    }
    assertThat(stored.select(some, new int[] {2}).train())
        .isInstanceOf(Stored.class)
        .isEqualTo(inHeap.select(some, new int[] {2}).train());
  }

  private static void assertSame(TaskEncoder.Result stored, TaskEncoder.Result inHeap) {
    assertThat(stored.report()).isEqualTo(inHeap.report());
    assertThat(stored.examples()).isInstanceOf(Stored.class).hasSameSizeAs(inHeap.examples());
    for (int i = 0; i < inHeap.examples().size(); i++) {
      assertThat(stored.examples().get(i))
          .usingRecursiveComparison()
          .isEqualTo(inHeap.examples().get(i));
    }
  }

  // ---- memory

  /** Reads a file of rows and encodes them, and prints how many tokens there are. */
  static final class SmallHeap {
    private SmallHeap() {}

    public static void main(String[] arguments) throws IOException {
      Task task = Task.fromFile("t", Path.of(arguments[0]));
      try (Tokenizer tokenizer = Tokenizer.load(TINY)) {
        ExampleEncoder encoder =
            new ExampleEncoder(tokenizer, ChatTemplate.load(TINY), 1000, LengthPolicy.FAIL);
        TaskEncoder.Result train = encoder.encode(task, Split.TRAIN);
        long tokens = train.examples().stream().mapToLong(e -> e.ids().length).sum();
        System.out.println(
            "%d %b".formatted(train.examples().size(), tokens == train.report().tokens()));
      }
    }
  }

  private static String inSmallHeap(Path rows, String... options) throws Exception {
    ProcessBuilder child =
        new ProcessBuilder(ProcessHandle.current().info().command().orElseThrow());
    child.command().addAll(List.of("-Xmx24m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"));
    child.command().addAll(List.of(options));
    child
        .command()
        .addAll(
            List.of(
                "-cp",
                System.getProperty("java.class.path"),
                SmallHeap.class.getName(),
                rows.toString()));
    Process running = child.redirectErrorStream(true).start();
    return new String(running.getInputStream().readAllBytes(), UTF_8);
  }

  @Test
  void moreExamplesThanTheHeapHoldsAreReadAndEncoded() throws Exception {
    Path rows = rows(100_000, 1000);
    assertThat(inSmallHeap(rows)).endsWith("80000 true\n");
    assertThat(inSmallHeap(rows, "-D" + HeapShare.PROPERTY + "=" + (1L << 40)))
        .as("without files")
        .contains("OutOfMemoryError");
  }
}
