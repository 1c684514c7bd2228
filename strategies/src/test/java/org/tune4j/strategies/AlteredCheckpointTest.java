package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.testing.TinyRuns;

/** Of a checkpoint that is not what was written, nothing else ever comes than a refusal. */
class AlteredCheckpointTest {
  private static final Task A = TinyRuns.task("a", 12, 4);
  private static final Task B = TinyRuns.task("b", 12, 4);
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir static Path folder;
  private static LanguageModel model;
  private static Map<String, byte[]> written; // the parts, by name
  private static byte[] lines; // of the steps
  private static Map<String, List<Float>> expected;

  private static FineTuner tuner(Path output) {
    return FineTuner.of(model)
        .tasks(A, B)
        .lora(TinyRuns.LORA)
        .strategy(Sequential.inOrder().stacked())
        .hyperparameters(TinyRuns.hyperparameters().epochs(2).validateEvery(2).patience(3).build())
        .gradients(new ToStart(1))
        .output(output);
  }

  /** A run that was stopped in its second stage, after validations. */
  @BeforeAll
  static void stop() throws IOException {
    model = TinyRuns.load(TinyRuns.writeModel(folder.resolve("model")));
    Path stopped = folder.resolve("stopped");
    List<StepRecord> steps = new ArrayList<>();
    tuner(stopped)
        .listener(
            new TrainingListener() {
              @Override
              public void onStep(StepRecord step) {
                steps.add(step);
              }
            })
        .cancelled(() -> steps.size() == 9)
        .run()
        .close();
    written = new LinkedHashMap<>();
    try (Stream<Path> files = Files.list(stopped.resolve("checkpoint"))) {
      for (Path p : files.sorted().toList()) {
        written.put(p.getFileName().toString(), Files.readAllBytes(p));
      }
    }
    lines = Files.readAllBytes(stopped.resolve("steps.jsonl"));
    assertThat(written).containsOnlyKeys("SHA256SUMS", "state.json", "tensors.safetensors");
    try (FineTuningResult whole = tuner(folder.resolve("whole")).run()) {
      expected = TinyRuns.bits(whole.training());
    }
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private Path output;
  private Path checkpoint;

  @BeforeEach
  void start() throws IOException {
    output = folder.resolve("altered");
    checkpoint = Files.createDirectories(output.resolve("checkpoint"));
    restore();
  }

  private void restore() throws IOException {
    for (Map.Entry<String, byte[]> part : written.entrySet()) {
      Files.write(checkpoint.resolve(part.getKey()), part.getValue());
    }
    Files.write(output.resolve("steps.jsonl"), lines);
  }

  /** Resumes; returns whether it was refused. Anything but a refusal or the same bits fails. */
  private boolean refused(String what) throws IOException {
    try (FineTuningResult result = tuner(output).resume().run()) {
      assertThat(TinyRuns.bits(result.training())).as("resumed with %s", what).isEqualTo(expected);
      Files.createDirectories(checkpoint);
      return false;
    } catch (MalformedFileException e) {
      assertThat(e).as(what).hasMessageContaining(output.toString());
      return true;
    } catch (RuntimeException e) {
      return fail(what + ": " + e, e);
    }
  }

  @Test
  void asWrittenItResumesToTheSameBits() throws IOException {
    assertThat(refused("nothing altered")).isFalse();
  }

  @Test
  void everyPartIsNeeded() throws IOException {
    for (String part : written.keySet()) {
      Files.delete(checkpoint.resolve(part));
      assertThatThrownBy(() -> tuner(output).resume().run())
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining(checkpoint.resolve(part).toString());
      restore();
    }
  }

  @Test
  void noByteOfAnyPartMayDiffer() throws IOException {
    Random random = new Random(1);
    for (Map.Entry<String, byte[]> part : written.entrySet()) {
      for (int i = 0; i < 300; i++) {
        byte[] bytes = part.getValue().clone();
        int at = random.nextInt(bytes.length);
        switch (i % 4) {
          case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
          case 1 -> bytes[at] = (byte) "0123456789{}[]\",:.- ".charAt(random.nextInt(20));
          case 2 -> bytes = Arrays.copyOf(bytes, at);
          default -> {
            int end = Math.min(bytes.length, at + 1 + random.nextInt(40));
            byte[] cut = Arrays.copyOf(bytes, bytes.length - (end - at));
            System.arraycopy(bytes, end, cut, at, bytes.length - end);
            bytes = cut;
          }
        }
        if (!Arrays.equals(bytes, part.getValue())) {
          Files.write(checkpoint.resolve(part.getKey()), bytes);
          assertThat(refused(part.getKey() + ", change " + i)).isTrue();
        }
      }
      restore();
    }
  }

  @Test
  void noByteOfTheStepsBeforeMayDiffer() throws IOException {
    Path file = output.resolve("steps.jsonl");
    Random random = new Random(2);
    for (int i = 0; i < 200; i++) {
      byte[] bytes =
          i % 2 == 0 ? lines.clone() : Arrays.copyOf(lines, random.nextInt(lines.length));
      if (i % 2 == 0) {
        bytes[random.nextInt(bytes.length)] ^= (byte) (1 << random.nextInt(8));
      }
      Files.write(file, bytes);
      assertThat(refused("steps.jsonl, change " + i)).isTrue();
    }
    Files.delete(file);
    assertThatThrownBy(() -> tuner(output).resume().run())
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(file.toString());
  }

  @Test
  void stepsAfterTheCheckpointAreCutOff() throws IOException {
    Path file = output.resolve("steps.jsonl");
    Files.writeString(file, "{\"stage\": \"killed in the mid", StandardOpenOption.APPEND);
    List<Integer> whole;
    try (FineTuningResult result = tuner(folder.resolve("whole")).resume().run()) {
      whole = result.training().steps().stream().map(StepRecord::step).toList();
    }
    try (FineTuningResult result = tuner(output).resume().run()) {
      assertThat(result.training().steps().stream().map(StepRecord::step)).isEqualTo(whole);
      assertThat(Files.readAllLines(file)).hasSameSizeAs(whole);
    }
  }

  /** Also where the checksums are those of what was altered: the fields themselves are checked. */
  @Test
  void noFieldIsOptional() throws IOException {
    JsonNode state = JSON.readTree(written.get("state.json"));
    List<Runnable> alterations = new ArrayList<>();
    List<String> names = new ArrayList<>();
    JsonNode[] altered = new JsonNode[1];
    collect(state, "", List.of(), alterations, names, altered);
    assertThat(names)
        .anyMatch(n -> n.startsWith("without /lanes/"))
        .contains("without /steps/count", "without /steps/bytes", "without /steps/sha256")
        .anyMatch(n -> n.startsWith("without /ended/0/"))
        .contains("without /hooks/0/hook", "without /hooks/0/values");
    for (int i = 0; i < alterations.size(); i++) {
      altered[0] = state.deepCopy();
      alterations.get(i).run();
      Files.write(checkpoint.resolve("state.json"), JSON.writeValueAsBytes(altered[0]));
      CheckpointFiles.sign(checkpoint);
      assertThatThrownBy(() -> tuner(output).resume().run())
          .as(names.get(i))
          .isInstanceOf(IOException.class)
          .hasMessageContaining(checkpoint.toString());
    }
  }

  /** Alterations of every named field: it is removed, null, or of another type. */
  private static void collect(
      JsonNode node,
      String place,
      List<Object> path,
      List<Runnable> alterations,
      List<String> names,
      JsonNode[] altered) {
    if (node.isObject()) {
      node.properties()
          .forEach(
              e -> {
                String at = place + "/" + e.getKey();
                boolean keyedByName = place.matches(".*/(losses|bestLosses|validationLoss)");
                if (!keyedByName) {
                  names.add("without " + at);
                  alterations.add(() -> parent(altered[0], path).remove(e.getKey()));
                }
                names.add("null at " + at);
                alterations.add(
                    () -> parent(altered[0], path).set(e.getKey(), NullNode.getInstance()));
                if (!e.getValue().isTextual()) {
                  names.add("text at " + at);
                  alterations.add(
                      () -> parent(altered[0], path).set(e.getKey(), TextNode.valueOf("1")));
                }
                List<Object> deeper = new ArrayList<>(path);
                deeper.add(e.getKey());
                collect(e.getValue(), at, deeper, alterations, names, altered);
              });
    } else if (node.isArray() && !node.isEmpty()) {
      List<Object> deeper = new ArrayList<>(path);
      deeper.add(0);
      collect(node.get(0), place + "/0", deeper, alterations, names, altered);
    }
  }

  private static ObjectNode parent(JsonNode root, List<Object> path) {
    JsonNode at = root;
    for (Object step : path) {
      at = step instanceof String field ? at.get(field) : ((ArrayNode) at).get((int) step);
    }
    return (ObjectNode) at;
  }
}
