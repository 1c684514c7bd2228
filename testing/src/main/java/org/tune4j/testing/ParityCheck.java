package org.tune4j.testing;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
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
import org.tune4j.core.model.Generation;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LoadOptions;
import org.tune4j.core.model.LossResult;
import org.tune4j.core.model.Routing;
import org.tune4j.lora.LoraAdapter;
import org.tune4j.lora.PeftFormat;

/**
 * Compares an engine with a recorded run of transformers and PEFT: base model, adapter, gradients
 * and training.
 *
 * <p>A case directory has {@code model/}, {@code adapter/} and {@code adapter_trained/} as saved by
 * transformers and PEFT, {@code case.json} (losses, gradient norms, AdamW's settings) and {@code
 * io.safetensors}:
 *
 * <ul>
 *   <li>{@code input_ids}, {@code labels} and optionally {@code attention_mask}: {@code [sequences,
 *       width]};
 *   <li>{@code base.logits}, {@code adapter.logits}, {@code trained.logits} {@code [sequences,
 *       width, vocabulary]}, optionally {@code base.last_hidden}; padded positions are ignored;
 *   <li>{@code base.greedy}, {@code adapter.greedy} {@code [prompts, length]}: a prefix of the
 *       input of the same row, with its continuation;
 *   <li>{@code grad.<name>} for each of the adapter's parameters under PEFT's names.
 * </ul>
 *
 * <p>Errors are {@code ||a - b|| / ||b||}. In F32, logits, loss and each gradient tensor must agree
 * within {@value #TIGHT}, losses and gradient norms of the training steps and their results within
 * {@value #LOOSE}, greedy tokens exactly. Other precisions have tolerances for their rounding, and
 * may continue with a token that is about as likely as the recorded one. Missing data is a failure.
 */
public final class ParityCheck {
  /** Largest relative error of logits, losses and gradients in F32. */
  public static final double TIGHT = 1e-4;

  /** Largest relative error of the training curve and its results in F32. */
  public static final double LOOSE = 1e-3;

  private static final String GRADIENT = "grad.base_model.model.";

  /**
   * The result for one case.
   *
   * @param directory the case
   * @param errors the largest relative error of each group, in the order of comparison
   * @param problems one sentence for each missing or deviating item; empty if everything agrees
   */
  public record Report(
      Path directory, ImmutableMap<String, Double> errors, ImmutableList<String> problems) {
    /** Returns whether everything agrees. */
    public boolean passed() {
      return problems.isEmpty();
    }

    /** Returns the case, one line per group, the problems and the verdict. */
    @Override
    public String toString() {
      StringBuilder s = new StringBuilder(directory.toString()).append('\n');
      errors.forEach(
          (group, e) -> s.append(String.format(Locale.ROOT, "  %-20s %.2e%n", group, e)));
      problems.forEach(p -> s.append("  ").append(p).append('\n'));
      return s.append(passed() ? "  PASSED" : "  FAILED").toString();
    }
  }

  private final Path directory;
  private final LanguageModel model;
  private final Safetensors io;
  private final RecordedRun recorded;
  private final Map<String, Double> errors;
  private final List<String> problems;
  private final int sequences;
  private final int width;
  private final long[] ids; // [sequences, width]
  private final long[] mask;
  private final Batch batch;
  private final ParityTolerance tolerance;

  /**
   * Compares one case. Any error in it becomes a problem in the report, not an exception.
   *
   * @param engine the engine's name; empty for the fastest present
   */
  public static Report run(Path directory, String engine) {
    return run(directory, engine, Precision.F32);
  }

  /**
   * Compares one case in a precision, with the tolerance for its rounding.
   *
   * @param engine the engine's name; empty for the fastest present
   */
  public static Report run(Path directory, String engine, Precision precision) {
    Map<String, Double> errors = new LinkedHashMap<>();
    List<String> problems = new ArrayList<>();
    try {
      if (!Files.isDirectory(directory)) {
        throw new NoSuchFileException(directory.toString(), null, "no such case directory");
      }
      LoadOptions options = LoadOptions.builder().precision(precision).engine(engine).build();
      try (LanguageModel model = LanguageModel.load(directory.resolve("model"), options)) {
        new ParityCheck(directory, model, errors, problems).compareAll();
      }
    } catch (IOException | RuntimeException e) {
      problems.add(message(e));
    }
    return new Report(directory, ImmutableMap.copyOf(errors), ImmutableList.copyOf(problems));
  }

  private ParityCheck(
      Path directory, LanguageModel model, Map<String, Double> errors, List<String> problems)
      throws IOException {
    this.directory = directory;
    this.model = model;
    this.errors = errors;
    this.problems = problems;
    tolerance = ParityTolerance.of(model.engine().precision());
    io = Safetensors.open(directory.resolve("io.safetensors"));
    recorded = RecordedRun.read(directory.resolve("case.json"));
    List<Long> shape = entry("input_ids").shape();
    if (shape.size() != 2) {
      throw malformed("input_ids", "shape " + shape, "[sequences, width]");
    }
    sequences = Math.toIntExact(shape.get(0));
    width = Math.toIntExact(shape.get(1));
    ids = grid("input_ids");
    if (io.contains("attention_mask")) {
      mask = grid("attention_mask");
    } else {
      mask = new long[ids.length];
      Arrays.fill(mask, 1);
    }
    batch = batch(grid("labels"));
  }

  private MalformedFileException malformed(String tensor, String found, String expected) {
    return new MalformedFileException(io.file(), "tensor '" + tensor + "'", found, expected);
  }

  private Safetensors.Entry entry(String tensor) throws IOException {
    if (!io.contains(tensor)) {
      throw malformed(tensor, "nothing", "a recorded tensor of this name");
    }
    return io.entry(tensor);
  }

  private long[] grid(String tensor) throws IOException {
    List<Long> shape = entry(tensor).shape();
    if (!shape.equals(List.of((long) sequences, (long) width))) {
      throw malformed(tensor, "shape " + shape, List.of(sequences, width).toString());
    }
    return io.longs(tensor);
  }

  /** Packs the unpadded tokens; the label of a token is the target of the one before it. */
  private Batch batch(long[] labels) {
    int n = (int) Arrays.stream(mask).filter(m -> m != 0).count();
    int[] rowIds = new int[n];
    int[] positions = new int[n];
    int[] targets = new int[n];
    int[] starts = new int[sequences + 1];
    int row = 0;
    for (int s = 0; s < sequences; s++) {
      for (int t = 0; t < width; t++) {
        int i = s * width + t;
        if (mask[i] != 0) {
          boolean last = t + 1 == width || mask[i + 1] == 0;
          rowIds[row] = Math.toIntExact(ids[i]);
          positions[row] = t;
          targets[row] = last ? -1 : (int) Math.max(-1, labels[i + 1]);
          row++;
        }
      }
      starts[s + 1] = row;
    }
    return new Batch(rowIds, positions, starts, targets, new int[sequences], null);
  }

  // ---- the comparison

  private interface Check {
    void run() throws IOException;
  }

  /** Turns a failing comparison into a problem, so that the others continue. */
  private void guarded(String group, Check check) {
    try {
      check.run();
    } catch (IOException | RuntimeException e) {
      problems.add(group + ": " + message(e));
    }
  }

  private static String message(Exception e) {
    Throwable cause = e instanceof UncheckedIOException ? e.getCause() : e;
    return cause.getMessage() == null || cause instanceof RuntimeException
        ? cause.toString()
        : cause.getMessage();
  }

  private void compareAll() throws IOException {
    guarded(
        "base logits",
        () -> compareLogits("base logits", "base.logits", Routing.BASE, tolerance.logits()));
    if (io.contains("base.last_hidden")) {
      guarded(
          "base hidden states",
          () ->
              compareUnpadded(
                  "base hidden states",
                  "base.last_hidden",
                  model.hiddenStates(batch, Routing.BASE).dup('c').data().asFloat(),
                  tolerance.logits()));
    }
    guarded("loss", () -> compareLoss("base", Routing.BASE));
    guarded("greedy tokens", () -> compareGreedy("base.greedy", List.of()));
    try (LoraAdapter adapter = PeftFormat.load(model, "adapter", directory.resolve("adapter"))) {
      Routing routing = Routing.all(batch.rows(), List.of(adapter));
      guarded(
          "adapter logits",
          () -> compareLogits("adapter logits", "adapter.logits", routing, tolerance.logits()));
      guarded("loss", () -> compareLoss("adapter", routing));
      guarded("greedy tokens", () -> compareGreedy("adapter.greedy", List.of(adapter)));
      adapter.setTrainable(true);
      train(adapter, routing);
      guarded(
          "trained logits",
          () -> compareLogits("trained logits", "trained.logits", routing, tolerance.trained()));
      guarded("trained tensors", () -> compareTrained(adapter));
    }
  }

  /** Repeats the recorded steps, comparing gradients at the first. */
  private void train(LoraAdapter adapter, Routing routing) {
    Engine e = model.engine();
    Parameters p = adapter.parameters();
    RecordedRun.AdamW o = recorded.optimizer();
    Tensor m = e.persistent(1, p.size(), DType.F32);
    Tensor v = e.persistent(1, p.size(), DType.F32);
    try {
      for (int step = 0; step < recorded.steps().size(); step++) {
        e.lock().lock();
        try {
          p.zeroGradients();
          Tape tape = Tape.recording(e);
          LossResult loss = model.loss(tape, batch, routing, null);
          tape.backward();
          if (step == 0) {
            guarded("gradients", () -> compareGradients(adapter));
          }
          double norm = Math.sqrt(e.sumOfSquares(p.flatGradients()));
          compareNumber(
              step == 0 ? "loss" : "training curve",
              "loss of step " + (step + 1),
              recorded.steps().get(step),
              loss.mean(),
              step == 0 ? tolerance.loss() : tolerance.curve());
          compareNumber(
              "gradient norms",
              "gradient norm of step " + (step + 1),
              recorded.norms().get(step),
              norm,
              tolerance.norms());
          e.adamW(
              p.flat(),
              p.flatGradients(),
              m,
              v,
              (float)
                  Math.min(
                      1, o.maxGradNorm() / (norm + 1e-6)), // like torch.nn.utils.clip_grad_norm_
              (float) o.lr(),
              (float) o.beta1(),
              (float) o.beta2(),
              (float) o.eps(),
              (float) o.weightDecay(),
              step + 1);
          p.changed();
        } finally {
          e.resetArena();
          e.lock().unlock();
        }
      }
    } finally {
      e.free(m);
      e.free(v);
    }
  }

  private void compareGradients(LoraAdapter adapter) {
    Set<String> missing = new TreeSet<>(adapter.parameters().names());
    for (String key : io.names()) {
      if (!key.startsWith(GRADIENT)) {
        continue;
      }
      String name = parameterName(key.substring(GRADIENT.length()));
      if (missing.remove(name)) {
        compare("gradients", key, io.floats(key), adapter.gradient(name), tolerance.gradients());
      } else {
        problems.add(key + " is recorded, but the adapter has no such parameter");
      }
    }
    missing.forEach(name -> problems.add("no gradient of " + name + " is recorded"));
  }

  /**
   * Removes the adapter's name and other parts that names have only in PEFT's modules, not in
   * files.
   */
  private static String parameterName(String key) {
    String name = key.replace(".default", "").replace(".modules_to_save", "");
    return name.endsWith(".lora_magnitude_vector.weight")
        ? name.substring(0, name.length() - ".weight".length())
        : name;
  }

  private void compareTrained(LoraAdapter adapter) throws IOException {
    try (LoraAdapter expected =
        PeftFormat.load(model, "trained", directory.resolve("adapter_trained"))) {
      if (!expected.parameters().names().equals(adapter.parameters().names())) {
        problems.add(
            "trained tensors: found %s, expected those of adapter_trained, %s"
                .formatted(adapter.parameters().names(), expected.parameters().names()));
        return;
      }
      for (String name : expected.parameters().names()) {
        compare(
            "trained tensors",
            name,
            expected.values(name),
            adapter.values(name),
            tolerance.trained());
      }
    }
  }

  private void compareGreedy(String key, List<? extends Adapter> adapters) throws IOException {
    List<Long> shape = entry(key).shape();
    int rows = shape.size() == 1 ? 1 : Math.toIntExact(shape.get(0));
    if (shape.size() > 2 || rows > sequences || io.entry(key).size() == 0) {
      throw malformed(
          key, "shape " + shape, "[prompts, length], at most " + sequences + " prompts");
    }
    long[] all = io.longs(key);
    int length = all.length / rows;
    for (int r = 0; r < rows; r++) {
      int from = 0; // after padding on the left
      while (from < Math.min(width, length) && mask[r * width + from] == 0) {
        from++;
      }
      int end = from;
      while (end < Math.min(length - 1, width)
          && mask[r * width + end] != 0
          && all[r * length + end] == ids[r * width + end]) {
        end++;
      }
      if (end == from) {
        throw malformed(
            key, "row " + r + ", which does not begin like the input", "the input's tokens");
      }
      compareContinuation(
          key, all, r * length + from, r * length + end, (r + 1) * length, adapters);
    }
  }

  private void compareContinuation(
      String key, long[] all, int from, int end, int to, List<? extends Adapter> adapters) {
    int[] prompt = ints(all, from, end);
    Generation generation =
        model
            .generateFromTokens(List.of(prompt), GenerationConfig.greedy(to - end), adapters)
            .get(0);
    ImmutableList<Integer> got = generation.tokens();
    List<Integer> wanted = Arrays.stream(ints(all, end, to)).boxed().toList();
    if (generation.finish() == Generation.Finish.END_TOKEN && got.size() < wanted.size()) {
      wanted = wanted.subList(0, got.size()); // the rest is padding
    }
    int agreeing = 0;
    while (agreeing < Math.min(got.size(), wanted.size())
        && got.get(agreeing).equals(wanted.get(agreeing))) {
      agreeing++;
    }
    double margin =
        got.equals(wanted)
            ? 0
            : agreeing == wanted.size()
                ? Double.POSITIVE_INFINITY
                : ParityTolerance.margin(
                    model, ints(all, from, end + agreeing), wanted.get(agreeing), adapters);
    boolean same = margin <= tolerance.greedy();
    errors.merge("greedy tokens", same ? margin : 1.0, Math::max);
    if (!same) {
      problems.add("%s: continued with %s, expected %s".formatted(key, got, wanted));
    }
  }

  private static int[] ints(long[] values, int from, int to) {
    return Arrays.stream(values, from, to).mapToInt(Math::toIntExact).toArray();
  }

  private void compareLoss(String which, Routing routing) {
    compareNumber(
        "loss",
        which + " loss",
        recorded.losses().get(which),
        model.loss(batch, routing).mean(),
        tolerance.loss());
  }

  private void compareLogits(String group, String key, Routing routing, double allowed)
      throws IOException {
    compareUnpadded(group, key, model.logits(batch, routing).dup('c').data().asFloat(), allowed);
  }

  private void compareUnpadded(String group, String key, float[] got, double allowed)
      throws IOException {
    List<Long> shape = entry(key).shape();
    int columns = got.length / batch.rows();
    if (!shape.equals(List.of((long) sequences, (long) width, (long) columns))) {
      throw malformed(key, "shape " + shape, List.of(sequences, width, columns).toString());
    }
    float[] expected = new float[got.length];
    int row = 0;
    for (int i = 0; i < mask.length; i++) {
      if (mask[i] != 0) {
        io.readFloats(key, (long) i * columns, expected, row++ * columns, columns);
      }
    }
    compare(group, key, expected, got, allowed);
  }

  private void compareNumber(
      String group, String what, Double expected, double got, double allowed) {
    if (expected == null) {
      problems.add("case.json has no %s to compare %s with".formatted(what, got));
      return;
    }
    float[] wanted = {expected.floatValue()};
    compare(group, what, wanted, new float[] {(float) got}, allowed);
  }

  private void compare(String group, String what, float[] expected, float[] got, double allowed) {
    if (expected.length != got.length) {
      problems.add(
          "%s: %s values are recorded, the model has %s"
              .formatted(what, expected.length, got.length));
      return;
    }
    double difference = 0;
    double size = 0;
    for (int i = 0; i < expected.length; i++) {
      double d = (double) got[i] - expected[i];
      difference += d * d;
      size += (double) expected[i] * expected[i];
    }
    double error = difference == 0 ? 0 : Math.sqrt(difference / size);
    errors.merge(group, error, Math::max);
    if (!(error <= allowed)) { // also where it is not a number
      problems.add(
          String.format(
              Locale.ROOT, "%s: relative error %.2e, allowed %.0e", what, error, allowed));
    }
  }
}
