package org.tune4j.core.train;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableList;
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/**
 * The steps of a run, in order, read on demand from {@code steps.jsonl} in its output directory, as
 * long runs have too many to hold in memory.
 *
 * @param file one record per line
 * @param count number of leading lines that belong to the run
 */
public record StepRecords(Path file, long count) {
  /** Returns the steps of a run that has ended or was stopped. */
  public static StepRecords in(Path output) {
    Path file = RunDirectory.steps(output);
    if (!Files.exists(file)) {
      return new StepRecords(file, 0);
    }
    try (BufferedReader lines = reader(file)) {
      return new StepRecords(file, lines.lines().count());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns the same steps after the run's output directory was moved. */
  public StepRecords movedTo(Path output) {
    return new StepRecords(RunDirectory.steps(output), count);
  }

  /**
   * Returns a lazy stream of the steps, which the caller closes.
   *
   * @throws UncheckedIOException here or while reading, if the file is missing, damaged or too
   *     short
   */
  public Stream<StepRecord> stream() {
    if (count == 0) {
      return Stream.empty();
    }
    BufferedReader lines;
    try {
      lines = reader(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return Stream.iterate(1L, i -> i <= count, i -> i + 1)
        .map(i -> next(lines, i))
        .onClose(
            () -> {
              try {
                lines.close();
              } catch (IOException e) {
                throw new UncheckedIOException(e);
              }
            });
  }

  /** Opens the file, not through a channel, which an interrupt would close. */
  private static BufferedReader reader(Path file) throws IOException {
    return new BufferedReader(
        new InputStreamReader(new FileInputStream(file.toFile()), StandardCharsets.UTF_8));
  }

  private StepRecord next(BufferedReader lines, long number) {
    try {
      String line = lines.readLine();
      if (line == null) {
        throw new MalformedFileException(
            file, "", (number - 1) + " lines", count + " lines, one for each step");
      }
      return parse(line, file, number);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Returns all steps.
   *
   * @throws UncheckedIOException if the file is missing, damaged or too short
   */
  public ImmutableList<StepRecord> list() {
    try (Stream<StepRecord> all = stream()) {
      return all.collect(ImmutableList.toImmutableList());
    }
  }

  /** Returns the steps of a stage. */
  ImmutableList<StepRecord> ofStage(int index) {
    try (Stream<StepRecord> all = stream()) {
      return all.filter(s -> s.stageIndex() == index).collect(ImmutableList.toImmutableList());
    }
  }

  // ---- format of a line

  /** Returns a step as a line, including the line break. */
  static byte[] line(StepRecord r) {
    ObjectNode s = JsonNodeFactory.instance.objectNode();
    s.put("stage", r.stage())
        .put("stageIndex", r.stageIndex())
        .put("step", r.step())
        .put("steps", r.steps());
    put(s.putObject("loss"), r.lossByTask());
    s.put("lr", r.learningRate());
    put(s.putObject("gradientNorm"), r.gradientNorm());
    s.put("examples", r.examples())
        .put("tokens", r.tokens())
        .put("lossTokens", r.lossTokens())
        .put("seconds", r.seconds());
    return (s + "\n").getBytes(StandardCharsets.UTF_8);
  }

  private static void put(ObjectNode node, Map<String, Double> values) {
    values.forEach(node::put);
  }

  /**
   * Parses a line.
   *
   * @param number of the line, for messages
   * @throws MalformedFileException if it is not a step
   */
  static StepRecord parse(String line, Path file, long number) throws MalformedFileException {
    JsonFields s = JsonFields.parseLine(line, file, number);
    return new StepRecord(
        s.text("stage"),
        s.integer("stageIndex"),
        s.integer("step"),
        s.integer("steps"),
        s.numbersByName("loss"),
        s.number("lr"),
        s.numbersByName("gradientNorm"),
        s.integer("examples"),
        s.longInteger("tokens"),
        s.longInteger("lossTokens"),
        s.number("seconds"));
  }
}
