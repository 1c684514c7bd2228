package org.tune4j.examples;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LoadOptions;
import org.tune4j.core.model.LossResult;
import org.tune4j.core.model.Routing;
import org.tune4j.lora.LoraAdapter;
import org.tune4j.lora.PeftFormat;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * Parity with transformers + PEFT on recorded cases. A case directory holds {@code model/}, {@code
 * adapter/}, {@code adapter_trained/}, {@code case.json} (optimizer settings, losses, gradient
 * norms) and {@code io.safetensors} (inputs, logits, gradients, greedy continuations). Everything
 * recorded is compared; the exit status is 1 if anything is missing or off.
 */
@Command(
    name = "golden",
    description = "Compares with recorded cases of transformers + PEFT.",
    mixinStandardHelpOptions = true)
public final class Golden implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @picocli.CommandLine.Parameters(
      arity = "1..*",
      paramLabel = "DIR",
      description = "Case directories.")
  private List<Path> cases;

  @Option(
      names = "--engine",
      defaultValue = "",
      description = "Engine; default: the fastest present.")
  private String engine;

  /** The verdict on one case: largest relative error of each group, and what is off. */
  public record Result(Path directory, Map<String, Double> errors, List<String> problems) {
    /** Returns whether everything agreed. */
    public boolean passed() {
      return problems.isEmpty();
    }
  }

  @Override
  public Integer call() throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    boolean passed = true;
    for (Path directory : cases) {
      Result result;
      try {
        result = check(directory, engine);
      } catch (IOException | RuntimeException e) {
        result = new Result(directory, Map.of(), List.of(e.toString()));
      }
      out.println(directory);
      result
          .errors()
          .forEach((group, error) -> out.printf(Locale.ROOT, "  %-20s %.2e%n", group, error));
      result.problems().forEach(p -> out.println("  " + p));
      out.println(result.passed() ? "  PASSED" : "  FAILED");
      out.flush();
      passed &= result.passed();
    }
    return passed ? 0 : 1;
  }

  /** Compares one case on the engine of that name. */
  public static Result check(Path directory, String engineName) throws IOException {
    if (!Files.isDirectory(directory)) {
      throw new NoSuchFileException(directory.toString(), null, "no such case directory");
    }
    try (LanguageModel model =
        LanguageModel.load(
            directory.resolve("model"),
            LoadOptions.builder().precision(Precision.F32).engine(engineName).build())) {
      return new Comparison(directory, model).run();
    }
  }

  /** One case in comparison. */
  private static final class Comparison {
    private static final double TIGHT = 1e-4;
    private static final double LOOSE = 1e-3;

    private final Path directory;
    private final LanguageModel model;
    private final Safetensors io;
    private final JsonNode recorded;
    private final Map<String, Double> errors = new LinkedHashMap<>();
    private final List<String> problems = new ArrayList<>();
    private final int sequences;
    private final int width;
    private final long[] ids;
    private final long[] mask;
    private final Batch batch;

    Comparison(Path directory, LanguageModel model) throws IOException {
      this.directory = directory;
      this.model = model;
      io = Safetensors.open(directory.resolve("io.safetensors"));
      Path json = directory.resolve("case.json");
      recorded = new ObjectMapper().readTree(Files.readAllBytes(json));
      if (!recorded.path("loss").path("steps").isArray()
          || !recorded.path("optimizer").isObject()) {
        throw new MalformedFileException(
            json, "", "neither losses nor optimizer settings", "loss.steps and optimizer");
      }
      ids = io.longs("input_ids");
      mask = io.contains("attention_mask") ? io.longs("attention_mask") : filled(ids.length);
      List<Long> shape = io.entry("input_ids").shape();
      sequences = Math.toIntExact(shape.get(0));
      width = Math.toIntExact(shape.get(1));
      batch = batch(io.longs("labels"));
    }

    private static long[] filled(int n) {
      long[] ones = new long[n];
      Arrays.fill(ones, 1);
      return ones;
    }

    /** Packs the unpadded tokens; the label of a token is the target of the one before it. */
    private Batch batch(long[] labels) {
      List<int[]> rows = new ArrayList<>();
      int[] starts = new int[sequences + 1];
      for (int s = 0; s < sequences; s++) {
        for (int t = 0; t < width; t++) {
          int i = s * width + t;
          if (mask[i] != 0) {
            boolean last = t + 1 == width || mask[i + 1] == 0;
            rows.add(new int[] {(int) ids[i], t, last ? -1 : (int) Math.max(-1, labels[i + 1])});
          }
        }
        starts[s + 1] = rows.size();
      }
      return new Batch(
          rows.stream().mapToInt(r -> r[0]).toArray(),
          rows.stream().mapToInt(r -> r[1]).toArray(),
          starts,
          rows.stream().mapToInt(r -> r[2]).toArray(),
          new int[sequences],
          null);
    }

    Result run() throws IOException {
      compareRows("base logits", "base.logits", Routing.BASE, TIGHT);
      if (io.contains("base.last_hidden")) {
        compareUnpadded(
            "base hidden states",
            "base.last_hidden",
            model.hiddenStates(batch, Routing.BASE).data().asFloat(),
            TIGHT);
      }
      scalar(
          "loss",
          recorded.path("loss").path("base"),
          model.loss(batch, Routing.BASE).mean(),
          TIGHT);
      greedy("base.greedy", List.of());
      try (LoraAdapter adapter = PeftFormat.load(model, "adapter", directory.resolve("adapter"))) {
        Routing routing = Routing.all(batch.rows(), List.of(adapter));
        compareRows("adapter logits", "adapter.logits", routing, TIGHT);
        scalar(
            "loss",
            recorded.path("loss").path("adapter"),
            model.loss(batch, routing).mean(),
            TIGHT);
        greedy("adapter.greedy", List.of(adapter));
        adapter.setTrainable(true);
        train(adapter, routing);
        compareRows("trained logits", "trained.logits", routing, LOOSE);
        trainedTensors(adapter);
      }
      return new Result(directory, errors, problems);
    }

    private void train(LoraAdapter adapter, Routing routing) {
      Engine e = model.engine();
      Parameters p = adapter.parameters();
      JsonNode o = recorded.path("optimizer");
      JsonNode losses = recorded.path("loss").path("steps");
      JsonNode norms = recorded.path("grad_norm");
      Tensor m = e.persistent(1, p.size(), DType.F32);
      Tensor v = e.persistent(1, p.size(), DType.F32);
      double maxNorm = o.path("max_grad_norm").asDouble(Double.POSITIVE_INFINITY);
      for (int step = 0; step < losses.size(); step++) {
        e.lock().lock();
        try {
          p.zeroGradients();
          Tape tape = Tape.recording(e);
          LossResult loss = model.loss(tape, batch, routing, null);
          tape.backward();
          if (step == 0) {
            gradients(p);
          }
          double norm = Math.sqrt(e.sumOfSquares(p.flatGradients()));
          scalar(
              step == 0 ? "loss" : "training curve",
              losses.get(step),
              loss.mean(),
              step == 0 ? TIGHT : LOOSE);
          scalar("gradient norms", norms.path(step), norm, LOOSE);
          e.adamW(
              p.flat(),
              p.flatGradients(),
              m,
              v,
              (float) Math.min(1, maxNorm / (norm + 1e-6)), // as torch.nn.utils.clip_grad_norm_
              (float) o.path("lr").asDouble(),
              (float) o.path("betas").path(0).asDouble(),
              (float) o.path("betas").path(1).asDouble(),
              (float) o.path("eps").asDouble(),
              (float) o.path("weight_decay").asDouble(),
              step + 1);
          p.changed();
        } finally {
          e.resetArena();
          e.lock().unlock();
        }
      }
      e.free(m);
      e.free(v);
    }

    private void gradients(Parameters p) {
      List<String> missing = new ArrayList<>(p.names());
      for (String key : io.names()) {
        if (key.startsWith("grad.base_model.model.")) {
          String name = parameterName(key.substring("grad.base_model.model.".length()));
          if (missing.remove(name)) {
            compare(
                "gradients",
                key,
                io.floats(key),
                model.engine().read(p.gradient(p.slot(name))),
                TIGHT);
          } else {
            problems.add("gradient " + key + " is recorded, but the adapter has no such parameter");
          }
        }
      }
      missing.forEach(name -> problems.add("no gradient of " + name + " is recorded"));
    }

    /** Removes the adapter's name and the suffix that PEFT has in memory and not in files. */
    private static String parameterName(String key) {
      String name = key.replace(".default", "");
      return name.endsWith(".lora_magnitude_vector.weight")
          ? name.substring(0, name.length() - ".weight".length())
          : name;
    }

    private void trainedTensors(LoraAdapter adapter) throws IOException {
      try (LoraAdapter expected =
          PeftFormat.load(model, "trained", directory.resolve("adapter_trained"))) {
        for (String name : expected.parameters().names()) {
          compare("trained tensors", name, expected.values(name), adapter.values(name), LOOSE);
        }
      }
    }

    private void greedy(String key, List<? extends Adapter> adapters) {
      long[] expected = io.longs(key);
      int prompt = 0;
      while (prompt < Math.min(expected.length - 1, width)
          && mask[prompt] != 0
          && expected[prompt] == ids[prompt]) {
        prompt++;
      }
      int[] start = new int[prompt];
      for (int i = 0; i < prompt; i++) {
        start[i] = (int) expected[i];
      }
      ImmutableList<Integer> got =
          model
              .generateFromTokens(
                  List.of(start), GenerationConfig.greedy(expected.length - prompt), adapters)
              .get(0)
              .tokens();
      List<Integer> wanted = new ArrayList<>();
      for (int i = prompt; i < expected.length; i++) {
        wanted.add((int) expected[i]);
      }
      boolean same = got.equals(wanted);
      errors.merge("greedy tokens", same ? 0.0 : 1.0, Math::max);
      if (!same) {
        problems.add("%s: continued with %s, expected %s".formatted(key, got, wanted));
      }
    }

    private void compareRows(String group, String key, Routing routing, double tolerance) {
      compareUnpadded(group, key, model.logits(batch, routing).data().asFloat(), tolerance);
    }

    private void compareUnpadded(String group, String key, float[] got, double tolerance) {
      float[] all = io.floats(key);
      int columns = all.length / (sequences * width);
      float[] expected = new float[batch.rows() * columns];
      int row = 0;
      for (int i = 0; i < sequences * width; i++) {
        if (mask[i] != 0) {
          System.arraycopy(all, i * columns, expected, row++ * columns, columns);
        }
      }
      compare(group, key, expected, got, tolerance);
    }

    private void scalar(String group, JsonNode expected, double got, double tolerance) {
      if (!expected.isNumber()) {
        problems.add("case.json records no " + group + " to compare " + got + " with");
        return;
      }
      compare(
          group,
          group,
          new float[] {(float) expected.asDouble()},
          new float[] {(float) got},
          tolerance);
    }

    private void compare(
        String group, String what, float[] expected, float[] got, double tolerance) {
      double difference = 0;
      double size = 0;
      for (int i = 0; i < expected.length && i < got.length; i++) {
        double d = (double) got[i] - expected[i];
        difference += d * d;
        size += (double) expected[i] * expected[i];
      }
      double error = difference == 0 ? 0 : Math.sqrt(difference / size);
      errors.merge(group, error, Math::max);
      if (expected.length != got.length) {
        problems.add("%s: %s values, expected %s".formatted(what, got.length, expected.length));
      } else if (!(error <= tolerance)) {
        problems.add(
            String.format(
                Locale.ROOT, "%s: relative error %.2e, allowed %.0e", what, error, tolerance));
      }
    }
  }
}
