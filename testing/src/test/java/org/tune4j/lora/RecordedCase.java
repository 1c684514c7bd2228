package org.tune4j.lora;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.SafetensorsWriter;
import org.tune4j.testing.ParityCheck;

/** Runs a {@link ReferenceLlama} through a case and writes that as {@link ParityCheck} reads it. */
final class RecordedCase {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int SEQUENCES = 3;
  private static final int WIDTH = 9;
  private static final int[] LENGTHS = {9, 6, 8};
  private static final int STEPS = 4;
  private static final double LEARNING_RATE = 0.01;
  private static final double DECAY = 0.02;
  private static final double MAX_NORM = 0.8;

  private final ReferenceLlama llama;
  private final Path directory;
  private final boolean padded;
  private final SafetensorsWriter io = new SafetensorsWriter();
  private final int[][] ids = new int[SEQUENCES][];
  private final int[][] targets = new int[SEQUENCES][];
  private int count;

  RecordedCase(ReferenceLlama llama, Path directory, boolean padded) throws IOException {
    this.llama = llama;
    this.directory = Files.createDirectories(directory);
    this.padded = padded;
  }

  /**
   * Writes the case.
   *
   * @param adapterConfig as PEFT writes it
   * @param shards files that the weights are spread over
   */
  void write(String adapterConfig, ElementType type, boolean tied, boolean scaledRope, int shards)
      throws IOException {
    writeModel(type, tied, scaledRope, shards);
    writeAdapter(directory.resolve("adapter"), adapterConfig);
    recordInputs();
    recordLogits("base.logits", false);
    recordGreedy("base.greedy", false);
    recordLogits("adapter.logits", true);
    recordGreedy("adapter.greedy", true);
    ObjectNode json = JSON.createObjectNode();
    ObjectNode loss = json.putObject("loss");
    loss.put("base", loss(false));
    loss.put("adapter", loss(true));
    train(json, loss);
    recordLogits("trained.logits", true);
    writeAdapter(directory.resolve("adapter_trained"), adapterConfig);
    io.write(directory.resolve("io.safetensors"));
    Files.write(directory.resolve("case.json"), JSON.writeValueAsBytes(json));
  }

  private void writeModel(ElementType type, boolean tied, boolean scaledRope, int shards)
      throws IOException {
    Path model = Files.createDirectories(directory.resolve("model"));
    Files.writeString(
        model.resolve("config.json"),
        """
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 37,
         "hidden_size": 24, "intermediate_size": 36, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "hidden_act": "silu",
         "max_position_embeddings": 64, "rms_norm_eps": 1e-05, "rope_theta": 1000.0,
         "rope_scaling": %s, "tie_word_embeddings": %s, "bos_token_id": 0, "eos_token_id": 1,
         "torch_dtype": "%s"}
        """
            .formatted(
                scaledRope
                    ? "{\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 16}"
                    : "null",
                tied,
                type == ElementType.BF16
                    ? "bfloat16"
                    : type == ElementType.F16 ? "float16" : "float32"));
    List<SafetensorsWriter> writers = new ArrayList<>();
    for (int i = 0; i < shards; i++) {
      writers.add(new SafetensorsWriter().metadata("format", "pt"));
    }
    ObjectNode index = JSON.createObjectNode();
    ObjectNode map = index.putObject("weight_map");
    int next = 0;
    for (Map.Entry<String, double[]> e : llama.weights.entrySet()) {
      int shard = next++ % shards;
      double[] values = e.getValue();
      long[] shape =
          e.getKey().contains("norm")
              ? new long[] {values.length}
              : e.getKey().endsWith("_proj.weight")
                  ? new long[] {values.length / in(e.getKey()), in(e.getKey())}
                  : new long[] {ReferenceLlama.VOCABULARY, ReferenceLlama.HIDDEN};
      writers
          .get(shard)
          .add(
              e.getKey(),
              type,
              (first, into, n) -> {
                for (int i = 0; i < n; i++) {
                  into[i] = (float) values[(int) first + i];
                }
              },
              shape);
      map.put(e.getKey(), file(shard, shards));
    }
    for (int i = 0; i < shards; i++) {
      writers.get(i).write(model.resolve(file(i, shards)));
    }
    if (shards > 1) {
      Files.write(model.resolve("model.safetensors.index.json"), JSON.writeValueAsBytes(index));
    }
  }

  private static int in(String weight) {
    return ReferenceLlama.in(weight.substring(0, weight.length() - ".weight".length()));
  }

  private static String file(int shard, int shards) {
    return shards == 1
        ? "model.safetensors"
        : "model-%05d-of-%05d.safetensors".formatted(shard + 1, shards);
  }

  private void writeAdapter(Path into, String config) throws IOException {
    Files.createDirectories(into);
    Files.writeString(into.resolve("adapter_config.json"), config);
    SafetensorsWriter writer = new SafetensorsWriter().metadata("format", "pt");
    llama
        .parameters()
        .forEach(
            (name, p) ->
                writer.add(
                    name,
                    floats(p.value),
                    name.endsWith("vector") ? new long[] {p.cols} : new long[] {p.rows, p.cols}));
    writer.write(into.resolve("adapter_model.safetensors"));
  }

  private static float[] floats(double[] values) {
    float[] f = new float[values.length];
    for (int i = 0; i < f.length; i++) {
      f[i] = (float) values[i];
    }
    return f;
  }

  /** Tokens with padding on the right, and labels of which the first few are prompt. */
  private void recordInputs() {
    long[] all = new long[SEQUENCES * WIDTH];
    long[] mask = new long[SEQUENCES * WIDTH];
    long[] labels = new long[SEQUENCES * WIDTH];
    Arrays.fill(labels, -100);
    for (int s = 0; s < SEQUENCES; s++) {
      int length = padded ? LENGTHS[s] : WIDTH;
      ids[s] = new int[length];
      targets[s] = new int[length];
      Arrays.fill(targets[s], -1);
      for (int t = 0; t < length; t++) {
        int i = s * WIDTH + t;
        ids[s][t] = 2 + (s * 13 + t * 7) % (ReferenceLlama.VOCABULARY - 2);
        all[i] = ids[s][t];
        mask[i] = 1;
        if (t > 2) {
          labels[i] = ids[s][t];
          targets[s][t - 1] = ids[s][t];
          count++;
        }
      }
    }
    io.add("input_ids", all, SEQUENCES, WIDTH);
    io.add("labels", labels, SEQUENCES, WIDTH);
    if (padded) {
      io.add("attention_mask", mask, SEQUENCES, WIDTH);
    }
  }

  private void recordLogits(String name, boolean adapted) {
    float[] all = new float[SEQUENCES * WIDTH * ReferenceLlama.VOCABULARY];
    Arrays.fill(all, 7); // padding: anything
    for (int s = 0; s < SEQUENCES; s++) {
      float[] own = floats(llama.inference(ids[s], adapted));
      System.arraycopy(own, 0, all, s * WIDTH * ReferenceLlama.VOCABULARY, own.length);
    }
    io.add(name, all, SEQUENCES, WIDTH, ReferenceLlama.VOCABULARY);
  }

  /** Two rows, continued side by side, so that one may end before the other. */
  private void recordGreedy(String name, boolean adapted) {
    int length = WIDTH + 5;
    long[] all = new long[2 * length];
    for (int s = 0; s < 2; s++) {
      int[] text = llama.greedy(Arrays.copyOf(ids[s], 5), length, adapted);
      for (int t = 0; t < length; t++) {
        all[s * length + t] = t < text.length ? text[t] : 0;
      }
    }
    io.add(name, all, 2, length);
  }

  private double loss(boolean adapted) {
    llama.parameters().values().forEach(p -> Arrays.fill(p.gradient, 0));
    double sum = 0;
    for (int s = 0; s < SEQUENCES; s++) {
      sum += llama.loss(ids[s], targets[s], adapted, count);
    }
    return sum;
  }

  /** AdamW (Loshchilov and Hutter 2019) after clipping to a global norm, as PyTorch does both. */
  private void train(ObjectNode json, ObjectNode loss) {
    ObjectNode optimizer = json.putObject("optimizer");
    optimizer.put("name", "AdamW").put("lr", LEARNING_RATE).put("weight_decay", DECAY);
    optimizer.put("eps", 1e-8).put("max_grad_norm", MAX_NORM);
    optimizer.putArray("betas").add(0.9).add(0.95);
    Map<String, double[]> m = new LinkedHashMap<>();
    Map<String, double[]> v = new LinkedHashMap<>();
    for (int step = 1; step <= STEPS; step++) {
      loss.withArray("steps").add(loss(true));
      double squares = 0;
      for (Map.Entry<String, ReferenceLlama.Node> e : llama.parameters().entrySet()) {
        for (double g : e.getValue().gradient) {
          squares += g * g;
        }
        if (step == 1) {
          ReferenceLlama.Node p = e.getValue();
          String key = e.getKey();
          // in memory, PEFT's modules carry the adapter's name
          key =
              key.endsWith("vector")
                  ? key + ".default.weight"
                  : key.replace(".weight", ".default.weight");
          io.add(
              "grad." + key,
              floats(p.gradient),
              key.contains("vector") ? new long[] {p.cols} : new long[] {p.rows, p.cols});
        }
      }
      double norm = Math.sqrt(squares);
      json.withArray("grad_norm").add(norm);
      double clip = Math.min(1, MAX_NORM / (norm + 1e-6));
      int t = step;
      llama
          .parameters()
          .forEach(
              (name, p) -> {
                double[] first = m.computeIfAbsent(name, k -> new double[p.value.length]);
                double[] second = v.computeIfAbsent(name, k -> new double[p.value.length]);
                for (int i = 0; i < first.length; i++) {
                  double g = clip * p.gradient[i];
                  first[i] = 0.9 * first[i] + 0.1 * g;
                  second[i] = 0.95 * second[i] + 0.05 * g * g;
                  double mean = first[i] / (1 - Math.pow(0.9, t));
                  double root = Math.sqrt(second[i] / (1 - Math.pow(0.95, t)));
                  p.value[i] -= LEARNING_RATE * (DECAY * p.value[i] + mean / (root + 1e-8));
                }
              });
    }
  }
}
