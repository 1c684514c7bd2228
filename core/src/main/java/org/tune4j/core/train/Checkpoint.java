package org.tune4j.core.train;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.hash.Hashing;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.JsonFile;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.io.SafetensorsWriter;

/**
 * The state of a run, from which it continues with the same bits. The order of the data and the
 * dropout masks follow from seed, stage and step, so the counters are enough for them.
 *
 * <p>Stored as three files: the state, the tensors, and the checksums of both in the format of
 * {@code sha256sum}. A missing or modified file is refused; no field is optional.
 *
 * @param fingerprint text of the {@link RunFingerprint}
 * @param stage index of the current stage; the number of stages if all are done
 * @param step completed steps of that stage
 * @param peakBytes most memory held so far
 * @param lanes state of each adapter in training, by name
 * @param steps position in the log of steps
 * @param ended completed stages
 * @param hooks state of gradient hooks
 * @param tensors flat buffers, keyed {@code <kind>.<adapter>}: current weights {@code w}, {@code
 *     best} weights, and optimizer state
 */
record Checkpoint(
    String fingerprint,
    int stage,
    int step,
    long peakBytes,
    Map<String, LaneState> lanes,
    StepLog.Position steps,
    List<Ended> ended,
    List<HookState> hooks,
    Map<String, float[]> tensors) {
  private static final String STATE = "state.json";
  private static final String TENSORS = "tensors.safetensors";
  private static final String CHECKSUMS = "SHA256SUMS";
  private static final String HOOK_PREFIX = "hook."; // prefix of tensors of hooks
  private static final int VERSION = 4;
  private static final long MAX_STATE_BYTES = 1 << 30; // bytes of the state file

  /**
   * The state of early stopping and of the choice of the best weights.
   *
   * @param stopped whether early stopping ended the adapter's training
   * @param badValidations validations since the best one
   * @param measuredAt steps trained at the last validation; -1 before the first
   * @param losses last validation losses, by task
   * @param bestLosses validation losses of the best weights; empty before the first validation
   */
  record LaneState(
      boolean stopped,
      int badValidations,
      int measuredAt,
      Map<String, Double> losses,
      Map<String, Double> bestLosses) {}

  /**
   * The state of a gradient hook for an adapter.
   *
   * @param values by names that the hook chose; stored as tensors {@code hook.<index>.<name>}
   */
  record HookState(String hook, String adapter, Map<String, float[]> values) {}

  /** A completed stage, without what a resumed run can recreate. */
  record Ended(
      int steps,
      long examples,
      long tokens,
      double seconds,
      Map<String, Double> validationLoss,
      Map<String, Gain> gains) {
    static Ended of(StageResult e) {
      return new Ended(
          e.steps(), e.examples(), e.tokens(), e.seconds(), e.validationLoss(), e.gains());
    }
  }

  void write(Path output) throws IOException {
    ObjectNode root = JsonNodeFactory.instance.objectNode();
    root.put("version", VERSION);
    root.put("fingerprint", fingerprint);
    root.put("stage", stage);
    root.put("step", step);
    root.put("peakBytes", peakBytes);
    ObjectNode laneNodes = root.putObject("lanes");
    lanes.forEach(
        (name, lane) -> {
          ObjectNode n = laneNodes.putObject(name);
          n.put("stopped", lane.stopped())
              .put("badValidations", lane.badValidations())
              .put("measuredAt", lane.measuredAt());
          put(n, "losses", lane.losses());
          put(n, "bestLosses", lane.bestLosses());
        });
    root.putObject("steps")
        .put("count", steps.steps())
        .put("bytes", steps.bytes())
        .put("sha256", steps.sha256());
    ArrayNode endedNodes = root.putArray("ended");
    for (Ended e : ended) {
      ObjectNode n = endedNodes.addObject();
      n.put("steps", e.steps())
          .put("examples", e.examples())
          .put("tokens", e.tokens())
          .put("seconds", e.seconds());
      put(n, "validationLoss", e.validationLoss());
      ObjectNode gains = n.putObject("gains");
      e.gains()
          .forEach(
              (adapter, g) ->
                  gains
                      .putObject(adapter)
                      .put("mean", g.mean())
                      .put("standardError", g.standardError())
                      .put("examples", g.examples()));
    }
    SafetensorsWriter writer = new SafetensorsWriter();
    ArrayNode hookNodes = root.putArray("hooks");
    for (HookState hook : hooks) {
      String prefix = hookTensor(hookNodes.size());
      ObjectNode n = hookNodes.addObject();
      n.put("hook", hook.hook()).put("adapter", hook.adapter());
      ObjectNode sizes = n.putObject("values");
      hook.values()
          .forEach(
              (name, values) -> {
                sizes.put(name, values.length);
                writer.add(prefix + name, values, values.length);
              });
    }
    tensors.forEach((name, values) -> writer.add(name, values, values.length));
    AtomicFiles.writeDirectory(
        RunDirectory.checkpoint(output),
        d -> {
          writer.write(d.resolve(TENSORS));
          AtomicFiles.writeString(d.resolve(STATE), root.toString());
          AtomicFiles.writeString(d.resolve(CHECKSUMS), checksums(d));
        });
  }

  private static String hookTensor(int index) {
    return HOOK_PREFIX + index + ".";
  }

  /** Returns the checksums of a checkpoint's files, one per line. */
  private static String checksums(Path directory) throws IOException {
    StringBuilder lines = new StringBuilder();
    for (String part : List.of(STATE, TENSORS)) {
      lines.append(checksum(directory.resolve(part))).append("  ").append(part).append('\n');
    }
    return lines.toString();
  }

  private static String checksum(Path part) throws IOException {
    return com.google.common.io.Files.asByteSource(part.toFile()).hash(Hashing.sha256()).toString();
  }

  private static void verify(Path directory) throws IOException {
    for (String part : List.of(STATE, TENSORS, CHECKSUMS)) {
      if (!Files.isRegularFile(directory.resolve(part))) {
        throw new MalformedFileException(
            directory.resolve(part),
            "",
            "no such file",
            "a part of the checkpoint; without it the run can only be started over");
      }
    }
    Path sums = directory.resolve(CHECKSUMS);
    String written =
        com.google.common.io.Files.asCharSource(sums.toFile(), StandardCharsets.UTF_8).read();
    String now = checksums(directory);
    if (written.equals(now)) {
      return;
    }
    for (String line : now.lines().toList()) {
      if (written.lines().noneMatch(line::equals)) {
        String part = line.substring(line.lastIndexOf(' ') + 1);
        throw new MalformedFileException(
            directory.resolve(part),
            "",
            "SHA-256 " + line.substring(0, line.indexOf(' ')),
            "the one in " + sums + "; the checkpoint was modified or damaged");
      }
    }
    throw new MalformedFileException(sums, "", "other checksums", now);
  }

  /**
   * Reads the checkpoint of a run, if there is one.
   *
   * @throws MalformedFileException if a file is missing or was modified
   */
  static Optional<Checkpoint> read(Path output) throws IOException {
    Path directory = RunDirectory.checkpoint(output);
    AtomicFiles.recover(directory);
    if (!Files.exists(directory)) {
      return Optional.empty();
    }
    verify(directory);
    return Optional.of(parse(directory));
  }

  private static Checkpoint parse(Path directory) throws IOException {
    Path file = directory.resolve(STATE);
    JsonFields root = JsonFields.of(JsonFile.readUnique(file, MAX_STATE_BYTES), file);
    if (root.integer("version") != VERSION) {
      throw root.bad("version", String.valueOf(VERSION));
    }
    List<Ended> ended = new ArrayList<>();
    for (JsonFields e : root.objects("ended")) {
      JsonFields measured = e.object("gains");
      Map<String, Gain> gains = new LinkedHashMap<>();
      for (String adapter : measured.names()) {
        JsonFields gain = measured.object(adapter);
        gains.put(
            adapter,
            new Gain(gain.number("mean"), gain.number("standardError"), gain.integer("examples")));
      }
      ended.add(
          new Ended(
              e.integer("steps"),
              e.longInteger("examples"),
              e.longInteger("tokens"),
              e.number("seconds"),
              e.numbersByName("validationLoss"),
              gains));
    }
    Map<String, LaneState> lanes = new LinkedHashMap<>();
    JsonFields known = root.object("lanes");
    for (String name : known.names()) {
      JsonFields lane = known.object(name);
      lanes.put(
          name,
          new LaneState(
              lane.flag("stopped"),
              lane.integer("badValidations"),
              lane.integer("measuredAt"),
              lane.numbersByName("losses"),
              lane.numbersByName("bestLosses")));
    }
    JsonFields steps = root.object("steps");
    int stage = root.integer("stage");
    int step = root.integer("step");
    if (ended.size() != stage) {
      throw root.bad("ended", "the " + stage + " stages before stage " + stage);
    }
    Map<String, float[]> tensors = new LinkedHashMap<>();
    try (Safetensors stored = Safetensors.open(directory.resolve(TENSORS))) {
      stored.names().forEach(n -> tensors.put(n, stored.floats(n)));
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
    List<HookState> hooks = new ArrayList<>();
    for (JsonFields hook : root.objects("hooks")) {
      Map<String, float[]> values = new LinkedHashMap<>();
      for (Map.Entry<String, Integer> e : hook.integersByName("values").entrySet()) {
        String name = hookTensor(hooks.size()) + e.getKey();
        values.put(e.getKey(), sized(tensors.remove(name), name, e.getValue(), directory));
      }
      hooks.add(new HookState(hook.text("hook"), hook.text("adapter"), values));
    }
    for (String name : tensors.keySet()) {
      if (name.startsWith(HOOK_PREFIX)) {
        throw root.bad("hooks", "the hook of tensor '" + name + "'");
      }
    }
    return new Checkpoint(
        root.text("fingerprint"),
        stage,
        step,
        root.longInteger("peakBytes"),
        lanes,
        new StepLog.Position(
            steps.longInteger("count"), steps.longInteger("bytes"), steps.text("sha256")),
        ended,
        hooks,
        tensors);
  }

  /** Returns whether the current stage had started. */
  boolean started() {
    return step > 0 || !lanes.isEmpty();
  }

  /**
   * Returns the state of an adapter in training.
   *
   * @throws MalformedFileException if it is missing
   */
  LaneState lane(String adapter, Path output) throws IOException {
    LaneState state = lanes.get(adapter);
    if (state == null) {
      throw new MalformedFileException(
          RunDirectory.checkpoint(output).resolve(STATE),
          "lanes." + adapter,
          "nothing",
          "the state of the adapter");
    }
    return state;
  }

  /**
   * Returns the buffer of a kind and an adapter.
   *
   * @throws MalformedFileException if it is missing or has another size
   */
  float[] tensor(String kind, String adapter, int size, Path output) throws IOException {
    String name = kind + "." + adapter;
    return sized(tensors.get(name), name, size, RunDirectory.checkpoint(output));
  }

  private static float[] sized(float[] values, String name, int size, Path directory)
      throws MalformedFileException {
    if (values == null || values.length != size) {
      throw new MalformedFileException(
          directory.resolve(TENSORS),
          "tensor '" + name + "'",
          values == null ? "nothing" : values.length + " values",
          size + " values");
    }
    return values;
  }

  private static void put(ObjectNode parent, String field, Map<String, Double> values) {
    ObjectNode node = parent.putObject(field);
    values.forEach(node::put);
  }
}
