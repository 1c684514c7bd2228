package org.tune4j.core.train;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.io.SafetensorsWriter;

/**
 * Where a run stands: enough to continue with the same bits. The order of the data and the dropout
 * masks follow from seed, stage and step, so that counters stand for them.
 *
 * @param fingerprint what determines the run
 * @param stage index of the stage in progress; the number of stages if all are done
 * @param step steps of it that are done
 * @param peakBytes most memory held so far
 * @param lanes what is known of each adapter in training, by its name
 * @param steps all step records
 * @param ended stages that ended
 * @param tensors flat buffers, keyed {@code <kind>.<adapter>}: its weights {@code w}, {@code best}
 *     ones, and what its optimizer keeps
 */
record Checkpoint(
    String fingerprint,
    int stage,
    int step,
    long peakBytes,
    Map<String, LaneState> lanes,
    List<StepRecord> steps,
    List<Ended> ended,
    Map<String, float[]> tensors) {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String STATE = "state.json";
  private static final String TENSORS = "tensors.safetensors";

  /**
   * What early stopping and the choice of the best weights know of an adapter.
   *
   * @param stopped whether early stopping ended its training
   * @param badValidations validations since the best one
   * @param measuredAt steps that it had trained when last validated; -1 before
   * @param losses last validation losses, by task
   * @param bestLosses those of its best weights; empty before the first validation
   */
  record LaneState(
      boolean stopped,
      int badValidations,
      int measuredAt,
      Map<String, Double> losses,
      Map<String, Double> bestLosses) {}

  /** A stage that ended, without what a resumed run makes anew. */
  record Ended(
      int steps, long examples, long tokens, double seconds, Map<String, Double> validationLoss) {}

  static Path directory(Path output) {
    return output.resolve("checkpoint");
  }

  void write(Path output) throws IOException {
    ObjectNode root = JSON.createObjectNode();
    root.put("version", 1);
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
    ArrayNode stepNodes = root.putArray("steps");
    for (StepRecord r : steps) {
      ObjectNode s = stepNodes.addObject();
      s.put("stage", r.stage())
          .put("stageIndex", r.stageIndex())
          .put("step", r.step())
          .put("steps", r.steps());
      put(s, "loss", r.lossByTask());
      s.put("lr", r.learningRate());
      put(s, "gradientNorm", r.gradientNorm());
      s.put("examples", r.examples())
          .put("tokens", r.tokens())
          .put("lossTokens", r.lossTokens())
          .put("seconds", r.seconds());
    }
    ArrayNode endedNodes = root.putArray("ended");
    for (Ended e : ended) {
      ObjectNode n = endedNodes.addObject();
      n.put("steps", e.steps())
          .put("examples", e.examples())
          .put("tokens", e.tokens())
          .put("seconds", e.seconds());
      put(n, "validationLoss", e.validationLoss());
    }
    SafetensorsWriter writer = new SafetensorsWriter();
    tensors.forEach((name, values) -> writer.add(name, values, values.length));
    AtomicFiles.writeDirectory(
        directory(output),
        d -> {
          writer.write(d.resolve(TENSORS));
          AtomicFiles.write(d.resolve(STATE), out -> out.write(JSON.writeValueAsBytes(root)));
        });
  }

  /** Reads the checkpoint of a run, if there is one. */
  static Optional<Checkpoint> read(Path output) throws IOException {
    Path directory = directory(output);
    AtomicFiles.recover(directory);
    Path state = directory.resolve(STATE);
    if (!Files.exists(state)) {
      return Optional.empty();
    }
    JsonNode root;
    try {
      root = JSON.readTree(Files.readAllBytes(state));
    } catch (JsonProcessingException e) {
      throw new MalformedFileException(
          state, "", "no valid JSON (" + e.getOriginalMessage() + ")", "a checkpoint", e);
    }
    if (root.path("version").asInt() != 1) {
      throw new MalformedFileException(state, "version", root.path("version").toString(), "1");
    }
    List<StepRecord> steps = new ArrayList<>();
    for (JsonNode s : root.path("steps")) {
      steps.add(
          new StepRecord(
              s.path("stage").asText(),
              s.path("stageIndex").asInt(),
              s.path("step").asInt(),
              s.path("steps").asInt(),
              ImmutableMap.copyOf(doubles(s.path("loss"))),
              s.path("lr").asDouble(),
              ImmutableMap.copyOf(doubles(s.path("gradientNorm"))),
              s.path("examples").asInt(),
              s.path("tokens").asLong(),
              s.path("lossTokens").asLong(),
              s.path("seconds").asDouble()));
    }
    List<Ended> ended = new ArrayList<>();
    for (JsonNode n : root.path("ended")) {
      ended.add(
          new Ended(
              n.path("steps").asInt(),
              n.path("examples").asLong(),
              n.path("tokens").asLong(),
              n.path("seconds").asDouble(),
              doubles(n.path("validationLoss"))));
    }
    Map<String, LaneState> lanes = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> e : root.path("lanes").properties()) {
      JsonNode n = e.getValue();
      lanes.put(
          e.getKey(),
          new LaneState(
              n.path("stopped").asBoolean(),
              n.path("badValidations").asInt(),
              n.path("measuredAt").asInt(),
              doubles(n.path("losses")),
              doubles(n.path("bestLosses"))));
    }
    Safetensors file = Safetensors.open(directory.resolve(TENSORS));
    Map<String, float[]> tensors = new LinkedHashMap<>();
    file.names().forEach(n -> tensors.put(n, file.floats(n)));
    return Optional.of(
        new Checkpoint(
            root.path("fingerprint").asText(),
            root.path("stage").asInt(),
            root.path("step").asInt(),
            root.path("peakBytes").asLong(),
            lanes,
            steps,
            ended,
            tensors));
  }

  /**
   * Returns the buffer of a kind and an adapter.
   *
   * @throws MalformedFileException if it is not there, or of another size
   */
  float[] tensor(String kind, String adapter, int size, Path output) throws IOException {
    float[] values = tensors.get(kind + "." + adapter);
    if (values == null || values.length != size) {
      throw new MalformedFileException(
          directory(output).resolve(TENSORS),
          "tensor '" + kind + "." + adapter + "'",
          values == null ? "nothing" : values.length + " values",
          size + " values");
    }
    return values;
  }

  private static void put(ObjectNode parent, String field, Map<String, Double> values) {
    ObjectNode node = parent.putObject(field);
    values.forEach(node::put);
  }

  private static Map<String, Double> doubles(JsonNode node) {
    Map<String, Double> map = new LinkedHashMap<>();
    node.properties().forEach(e -> map.put(e.getKey(), e.getValue().asDouble()));
    return map;
  }
}
