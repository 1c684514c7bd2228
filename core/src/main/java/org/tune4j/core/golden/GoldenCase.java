package org.tune4j.core.golden;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.model.Batch;

/**
 * A reference run recorded with transformers and PEFT: {@code model/}, {@code adapter/}, {@code
 * adapter_trained/}, inputs and results in {@code io.safetensors}, optimizer and losses in {@code
 * case.json}. The recorded batch is padded; {@link #batch()} packs the rows that {@code
 * attention_mask} marks, and {@link #rows} picks the same rows of a recorded tensor.
 *
 * <p>Tensors: {@code input_ids}, {@code attention_mask}, {@code labels} [b, t]; {@code
 * base.logits}, {@code adapter.logits}, {@code trained.logits} [b, t, vocabulary]; {@code
 * base.last_hidden} [b, t, hidden]; {@code base.greedy}, {@code adapter.greedy} [1, n]; {@code
 * grad.NAME}, the gradient of {@link #adapterLoss()} by PEFT's parameter NAME.
 */
public final class GoldenCase {
  private static final String GRADIENT = "grad.";

  /**
   * The recorded optimizer: {@code torch.optim.AdamW} after clipping to a global norm.
   *
   * @param lr learning rate
   * @param beta1 decay of the first moment
   * @param beta2 decay of the second moment
   * @param eps added to the root of the second moment
   * @param weightDecay decoupled weight decay
   * @param maxGradNorm global norm to clip to
   * @param steps number of steps, all on the same batch
   */
  public record Optimizer(
      double lr,
      double beta1,
      double beta2,
      double eps,
      double weightDecay,
      double maxGradNorm,
      int steps) {}

  private final Path directory;
  private final JsonNode json;
  private final Safetensors tensors;
  private final int columns;
  private final int[] packed; // places b * columns + t of the rows that are not padding

  private GoldenCase(Path directory, JsonNode json, Safetensors tensors) throws IOException {
    this.directory = directory;
    this.json = json;
    this.tensors = tensors;
    for (String name :
        List.of("input_ids", "attention_mask", "labels", "base.logits", "adapter.logits")) {
      if (!tensors.contains(name)) {
        throw new MalformedFileException(
            tensors.file(), "tensor '" + name + "'", "nothing", "a recorded input or result");
      }
    }
    columns = Math.toIntExact(tensors.entry("input_ids").shape().get(1));
    long[] mask = tensors.longs("attention_mask");
    List<Integer> kept = new ArrayList<>();
    for (int i = 0; i < mask.length; i++) {
      if (mask[i] != 0) {
        kept.add(i);
      }
    }
    packed = kept.stream().mapToInt(Integer::intValue).toArray();
  }

  /**
   * Opens a case.
   *
   * @throws NoSuchFileException if a file is missing
   * @throws MalformedFileException if one is not what it should be
   */
  public static GoldenCase open(Path directory) throws IOException {
    Path file = directory.resolve("case.json");
    if (!Files.isRegularFile(file)) {
      throw new NoSuchFileException(file.toString(), null, "a golden case has this file");
    }
    JsonNode json;
    try {
      json = new ObjectMapper().readTree(Files.readAllBytes(file));
    } catch (JsonProcessingException e) {
      throw new MalformedFileException(
          file, "", "no valid JSON (" + e.getOriginalMessage() + ")", "JSON", e);
    }
    return new GoldenCase(directory, json, Safetensors.open(directory.resolve("io.safetensors")));
  }

  /** Returns the case's name: that of its directory. */
  public String name() {
    return directory.toAbsolutePath().normalize().getFileName().toString();
  }

  /** Returns the base model's directory. */
  public Path model() {
    return directory.resolve("model");
  }

  /** Returns the untrained adapter's directory. */
  public Path adapter() {
    return directory.resolve("adapter");
  }

  /** Returns the directory of the adapter after all steps. */
  public Path trainedAdapter() {
    return directory.resolve("adapter_trained");
  }

  /** Returns all recorded tensors. */
  public Safetensors tensors() {
    return tensors;
  }

  /** Returns the optimizer. */
  public Optimizer optimizer() {
    JsonNode o = json.path("optimizer");
    return new Optimizer(
        o.path("lr").asDouble(),
        o.path("betas").path(0).asDouble(),
        o.path("betas").path(1).asDouble(),
        o.path("eps").asDouble(),
        o.path("weight_decay").asDouble(),
        o.path("max_grad_norm").asDouble(),
        o.path("steps").asInt());
  }

  /** Returns the loss of the base model: mean cross-entropy of the labels. */
  public double baseLoss() {
    return json.path("loss").path("base").asDouble(Double.NaN);
  }

  /** Returns the loss with the untrained adapter. */
  public double adapterLoss() {
    return json.path("loss").path("adapter").asDouble(Double.NaN);
  }

  /** Returns the loss before each step. */
  public double[] stepLosses() {
    return doubles(json.path("loss").path("steps"));
  }

  /** Returns the gradient's norm of each step, before clipping. */
  public double[] gradientNorms() {
    return doubles(json.path("grad_norm"));
  }

  private static double[] doubles(JsonNode array) {
    double[] values = new double[array.size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = array.get(i).asDouble();
    }
    return values;
  }

  /** Returns PEFT's names of the parameters whose gradients were recorded. */
  public List<String> gradientNames() {
    return tensors.names().stream()
        .filter(n -> n.startsWith(GRADIENT))
        .map(n -> n.substring(GRADIENT.length()))
        .toList();
  }

  /** Returns the recorded gradient of a parameter, row-major. */
  public float[] gradient(String parameter) {
    return tensors.floats(GRADIENT + parameter);
  }

  /**
   * Returns the recorded batch without padding; labels shifted to the rows that predict them, as
   * transformers does.
   */
  public Batch batch() {
    long[] ids = tensors.longs("input_ids");
    long[] labels = tensors.longs("labels");
    int n = packed.length;
    int[] rowIds = new int[n];
    int[] positions = new int[n];
    int[] targets = new int[n];
    List<Integer> starts = new ArrayList<>();
    for (int r = 0; r < n; r++) {
      int at = packed[r];
      int t = at % columns;
      rowIds[r] = (int) ids[at];
      positions[r] = t;
      targets[r] = t + 1 < columns && labels[at + 1] >= 0 ? (int) labels[at + 1] : -1;
      if (r == 0 || packed[r - 1] / columns != at / columns) {
        starts.add(r);
      }
    }
    int segments = starts.size();
    starts.add(n);
    return new Batch(
        rowIds,
        positions,
        starts.stream().mapToInt(Integer::intValue).toArray(),
        targets,
        new int[segments],
        null);
  }

  /**
   * Returns the rows of {@link #batch()} of a recorded tensor [b, t, c]: {@code [rows, c]}
   * row-major.
   */
  public float[] rows(String tensor) {
    int c = Math.toIntExact(tensors.entry(tensor).shape().get(2));
    float[] rows = new float[packed.length * c];
    for (int r = 0; r < packed.length; r++) {
      tensors.readFloats(tensor, (long) packed[r] * c, rows, r * c, c);
    }
    return rows;
  }

  /**
   * Returns a recorded greedy continuation, prompt included; {@code tensor} is {@code base.greedy}
   * or {@code adapter.greedy}.
   */
  public int[] greedy(String tensor) {
    return Arrays.stream(tensors.longs(tensor)).mapToInt(Math::toIntExact).toArray();
  }

  /**
   * Returns the prompt of the recorded continuations: what all of them and the first input have in
   * common at the beginning. (Should the model by chance continue as the input does, those tokens
   * count as prompt.)
   */
  public int[] greedyPrompt() {
    long[] ids = tensors.longs("input_ids");
    int[] base = greedy("base.greedy");
    int[] adapted = greedy("adapter.greedy");
    int n = 0;
    while (n < Math.min(base.length, adapted.length) - 1
        && n < columns
        && base[n] == ids[n]
        && adapted[n] == ids[n]) {
      n++;
    }
    return Arrays.copyOf(base, n);
  }

  /**
   * Returns {@code ||a - b|| / ||b||}; infinite if lengths differ or a value is not finite.
   *
   * @param a what was computed
   * @param b the reference
   */
  public static double relativeError(float[] a, float[] b) {
    if (a.length != b.length) {
      return Double.POSITIVE_INFINITY;
    }
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < a.length; i++) {
      difference += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
      norm += (double) b[i] * b[i];
    }
    double error = Math.sqrt(difference) / Math.max(Math.sqrt(norm), Double.MIN_NORMAL);
    return difference == 0 ? 0 : Double.isNaN(error) ? Double.POSITIVE_INFINITY : error;
  }
}
