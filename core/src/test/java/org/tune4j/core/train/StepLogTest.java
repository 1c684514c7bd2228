package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.io.MalformedFileException;

class StepLogTest {
  @TempDir Path output;

  private static StepRecord step(int stage, int step) {
    Random random = new Random(stage * 31L + step);
    return new StepRecord(
        "stage \"" + stage + "\" 数\n",
        stage,
        step,
        100,
        ImmutableMap.of("a task", random.nextDouble(), "b", 1e-300 * random.nextDouble()),
        random.nextDouble() / 3,
        ImmutableMap.of("x", 1e30 * random.nextDouble()),
        16,
        random.nextInt(5000) + (1L << 40),
        random.nextInt(100),
        random.nextDouble());
  }

  private static List<StepRecord> write(StepLog log, int stage, int from, int to)
      throws IOException {
    List<StepRecord> all = new ArrayList<>();
    for (int i = from; i <= to; i++) {
      all.add(step(stage, i));
      log.add(all.get(all.size() - 1));
    }
    return all;
  }

  @Test
  void recordsAreReadAsTheyWereWritten() throws IOException {
    List<StepRecord> all = new ArrayList<>();
    try (StepLog log = StepLog.begin(output)) {
      all.addAll(write(log, 0, 1, 5));
      assertThat(log.records().list()).as("while it is written").isEqualTo(all);
      all.addAll(write(log, 1, 1, 3));
      assertThat(log.records().list()).isEqualTo(all);
      assertThat(log.records().ofStage(1)).isEqualTo(all.subList(5, 8));
      assertThat(log.totals(1).steps()).isEqualTo(3);
      assertThat(log.totals().tokens()).isEqualTo(all.stream().mapToLong(StepRecord::tokens).sum());
      assertThat(log.totals().examples()).isEqualTo(8 * 16);
    }
    assertThat(StepRecords.in(output).list()).isEqualTo(all);
    assertThat(StepRecords.in(output.resolve("other")).list()).isEmpty();
  }

  @Test
  void goesOnFromACheckpointAndForgetsWhatCameAfter() throws IOException {
    List<StepRecord> before;
    StepLog.Position at;
    try (StepLog log = StepLog.begin(output)) {
      before = write(log, 0, 1, 6);
      at = log.sync();
      write(log, 0, 7, 9);
    }
    Files.writeString(output.resolve("steps.jsonl"), "{\"sta", StandardOpenOption.APPEND);
    List<StepRecord> all = new ArrayList<>(before);
    StepLog.Position end;
    try (StepLog log = StepLog.resume(output, at)) {
      assertThat(log.totals(0).steps()).isEqualTo(6);
      assertThat(log.sync()).isEqualTo(at);
      all.addAll(write(log, 0, 7, 8));
      assertThat(log.records().list()).isEqualTo(all);
      end = log.sync();
    }
    StepLog.resume(output, end).close();
    assertThat(StepRecords.in(output).list()).isEqualTo(all);
    StepLog.begin(output).close();
    assertThat(StepRecords.in(output).list()).isEmpty();
  }

  @Test
  void whatWasAlteredIsRefused() throws IOException {
    StepLog.Position at;
    try (StepLog log = StepLog.begin(output)) {
      write(log, 0, 1, 6);
      at = log.sync();
    }
    Path file = output.resolve("steps.jsonl");
    String text = Files.readString(file);
    for (String other :
        List.of(
            text.replace("\"examples\":16", "\"examples\":17"),
            text.substring(0, text.length() - 9),
            text.replace("\"lr\"", "\"l\""),
            "")) {
      Files.writeString(file, other);
      assertThatThrownBy(() -> StepLog.resume(output, at))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining(file.toString());
      assertThat(file).as("left for whoever looks into it").hasContent(other);
    }
    assertThatThrownBy(() -> new StepRecords(file, 3).list())
        .isInstanceOf(UncheckedIOException.class)
        .hasMessageContaining(file.toString());
  }

  /** All of a run's output but the steps' own file, which is only appended to. */
  private static long bytes(Path checkpoint) throws IOException {
    try (Stream<Path> files = Files.list(checkpoint)) {
      return files.mapToLong(p -> p.toFile().length()).sum();
    }
  }

  @Test
  void aCheckpointIsAsLargeAfterTenThousandStepsAsAfterAHundred() throws IOException {
    List<Long> sizes = new ArrayList<>();
    try (StepLog log = StepLog.begin(output)) {
      int done = 0;
      for (int steps : new int[] {100, 10_000}) {
        write(log, 0, done + 1, steps);
        done = steps;
        new Checkpoint(
                "a run",
                0,
                steps,
                1,
                Map.of(),
                log.sync(),
                List.of(),
                List.of(),
                Map.of("w.a", new float[9]))
            .write(output);
        sizes.add(bytes(output.resolve("checkpoint")));
        assertThat(Checkpoint.read(output).orElseThrow().steps().steps()).isEqualTo(steps);
      }
    }
    assertThat(sizes.get(1) - sizes.get(0)).as("digits of counters").isBetween(0L, 10L);
  }
}
