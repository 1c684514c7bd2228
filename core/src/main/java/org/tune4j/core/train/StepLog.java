package org.tune4j.core.train;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import org.tune4j.core.io.MalformedFileException;

/**
 * Writes the steps of a run to {@code steps.jsonl}. A checkpoint contains the length of the file
 * and its checksum rather than the steps, so that its cost does not grow with them; a resumed run
 * truncates the file to that length and continues.
 */
final class StepLog implements AutoCloseable {
  /**
   * A position in the file.
   *
   * @param steps number of lines before it
   * @param bytes length of these lines
   * @param sha256 hexadecimal checksum of these bytes
   */
  record Position(long steps, long bytes, String sha256) {}

  /** Totals over the steps of a stage. */
  record Totals(int steps, long examples, long tokens, double seconds) {
    private static final Totals NONE = new Totals(0, 0, 0, 0);

    private Totals plus(Totals o) {
      return new Totals(
          steps + o.steps, examples + o.examples, tokens + o.tokens, seconds + o.seconds);
    }
  }

  private final Path file;
  private final Map<Integer, Totals> byStage = new TreeMap<>();
  private final MessageDigest digest = sha256();
  private long steps;
  private long bytes;
  private final FileOutputStream out;

  private StepLog(Path output, Position from) throws IOException {
    file = RunDirectory.steps(output);
    if (from.steps() > 0) {
      readTo(from);
    }
    Files.createDirectories(output);
    try (RandomAccessFile truncated = new RandomAccessFile(file.toFile(), "rw")) {
      truncated.setLength(bytes);
    }
    // no channel, which an interrupt would close
    out = new FileOutputStream(file.toFile(), true);
  }

  /** Starts a new file, replacing an existing one. */
  static StepLog begin(Path output) throws IOException {
    return new StepLog(output, new Position(0, 0, ""));
  }

  /**
   * Continues from a checkpoint.
   *
   * @throws MalformedFileException if the file was modified before that position
   */
  static StepLog resume(Path output, Position from) throws IOException {
    return new StepLog(output, from);
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
  }

  private void readTo(Position from) throws IOException {
    if (!Files.isRegularFile(file)) {
      throw new MalformedFileException(
          file,
          "",
          "no such file",
          "the steps before the checkpoint; the run can only be started over");
    }
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    try (InputStream in = new BufferedInputStream(new FileInputStream(file.toFile()), 1 << 16)) {
      for (int b = 0; bytes < from.bytes() && (b = in.read()) >= 0; ) {
        line.write(b);
        bytes++;
        if (b == '\n') {
          digest.update(line.toByteArray());
          String text = line.toString(StandardCharsets.UTF_8);
          line.reset();
          count(StepRecords.parse(text, file, steps + 1));
        }
      }
    }
    if (!position().equals(from)) {
      throw new MalformedFileException(
          file,
          "",
          "%s steps in %s bytes with SHA-256 %s".formatted(steps, bytes, position().sha256()),
          "%s in %s with %s, according to the checkpoint; the file was modified or damaged"
              .formatted(from.steps(), from.bytes(), from.sha256()));
    }
  }

  private void count(StepRecord r) {
    byStage.merge(
        r.stageIndex(), new Totals(1, r.examples(), r.tokens(), r.seconds()), Totals::plus);
    steps++;
  }

  /** Appends a step. */
  void add(StepRecord r) throws IOException {
    byte[] line = StepRecords.line(r);
    out.write(line);
    digest.update(line);
    bytes += line.length;
    count(r);
  }

  /** Forces all steps to disk and returns the position at the end of the file. */
  Position sync() throws IOException {
    out.getFD().sync();
    return position();
  }

  private Position position() {
    try {
      MessageDigest soFar = (MessageDigest) digest.clone();
      return new Position(steps, bytes, HexFormat.of().formatHex(soFar.digest()));
    } catch (CloneNotSupportedException e) {
      throw new AssertionError("SHA-256 of every Java platform can be cloned", e);
    }
  }

  Totals totals(int stage) {
    return byStage.getOrDefault(stage, Totals.NONE);
  }

  Totals totals() {
    return byStage.values().stream().reduce(Totals.NONE, Totals::plus);
  }

  /** Returns the steps so far, for reading. */
  StepRecords records() {
    return new StepRecords(file, steps);
  }

  @Override
  public void close() throws IOException {
    out.close();
  }
}
