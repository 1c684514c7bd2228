package org.tune4j.examples;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LoadOptions;
import org.tune4j.core.model.LossResult;
import org.tune4j.core.model.ModelConfig;
import org.tune4j.core.model.Routing;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.examples.common.Bundled;
import org.tune4j.lora.LoraConfig;
import org.tune4j.lora.TargetModules;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;
import org.tune4j.strategies.Independent;
import org.tune4j.strategies.MultiTask;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * Times training steps and prints one JSON line.
 *
 * <p>Steps on random tokens use AdamW at 1e-4 with weight decay 0.01, gradient clipping at 1 and
 * the loss of every position. The real workload trains on tasks with completion-only loss and the
 * library's defaults, except for a learning rate of 2e-3. The first two steps are warm-up and not
 * counted.
 */
@Command(
    name = "bench",
    description = {
      "Times LoRA training steps of a model on random tokens, or with --workload of the base model on real tasks,"
          + " and prints one JSON line: median step seconds, tokens/s, peak resident memory, trainable parameters, share"
          + " of the machine's matrix-product peak (measured in the same process), loss of each step."
    })
public final class Bench implements Callable<Integer> {
  private static final int WARM_UP_STEPS = 2;
  private static final int CURVE_POINTS = 10;

  @Spec private CommandSpec spec;

  @Option(
      names = "--config",
      paramLabel = "FILE",
      description = "config.json of a model with random weights.")
  private Path config;

  @Option(names = "--model", paramLabel = "DIR", description = "Model directory.")
  private Path model;

  @Option(
      names = "--workload",
      paramLabel = "DIR",
      description =
          "Directory with the folders noun-category, verb-category, part-of-speech and hypernym; \"bundled\" for the bundled ones.")
  private String workload;

  @Option(
      names = "--examples",
      paramLabel = "N",
      defaultValue = "1500",
      description = "Training examples of each task of the workload.")
  private int examples;

  @Option(
      names = "--independent",
      description =
          "Train an adapter for each task of the workload side by side instead of one for all.")
  private boolean independent;

  @Option(
      names = "--serving",
      paramLabel = "SHARE",
      split = ",",
      description =
          "With --workload: measure the speed of generation during training, and of training meanwhile, for each share of the time that training yields to generation (0: none within a step).")
  private List<Double> serving = List.of();

  @Option(
      names = "--batch",
      paramLabel = "N",
      defaultValue = "4",
      description = "Sequences per step.")
  private int batch;

  @Option(
      names = "--seq",
      paramLabel = "N",
      defaultValue = "128",
      description = "Tokens per sequence.")
  private int sequence;

  @Option(names = "--steps", paramLabel = "N", defaultValue = "7", description = "Number of steps.")
  private int steps;

  @Option(
      names = "--precision",
      paramLabel = "NAME",
      defaultValue = "F32",
      description = "Precision: ${COMPLETION-CANDIDATES}.")
  private Precision precision;

  @Option(names = "--rank", paramLabel = "N", defaultValue = "8", description = "LoRA rank.")
  private int rank;

  @Option(
      names = "--targets",
      paramLabel = "NAME",
      split = ",",
      defaultValue = TargetModules.ALL_LINEAR,
      description = "Modules to adapt.")
  private List<String> targets;

  @Option(
      names = "--adapters",
      paramLabel = "N",
      defaultValue = "1",
      description = "Adapters trained side by side, each on its share of the sequences.")
  private int adapters;

  @Option(
      names = "--engine",
      paramLabel = "NAME",
      description = "Engine. Default: the fastest available.")
  private String engineName;

  @Option(
      names = "--checkpointing",
      description = "Recompute activations in the backward pass instead of storing them.")
  private boolean checkpointing;

  @Option(
      names = "--profile",
      description = "Print the time of each engine operation to standard error.")
  private boolean profile;

  @Override
  public Integer call() throws IOException {
    if (workload == null && (config == null) == (model == null)) {
      throw Main.usage(spec, "one of --config and --model is needed");
    }
    if (steps <= WARM_UP_STEPS) {
      throw Main.usage(spec, "--steps must be more than the " + WARM_UP_STEPS + " warm-up steps");
    }
    if (workload == null && batch % adapters != 0) {
      throw Main.usage(spec, "--batch must be a multiple of --adapters");
    }
    Engine chosen = engine();
    TimedEngine timed = profile ? new TimedEngine(chosen) : null;
    try (Engine engine = timed == null ? chosen : timed.engine()) {
      Map<String, Object> result = new LinkedHashMap<>();
      result.put("engine", engine.name());
      result.put("precision", precision.toString());
      if (workload != null) {
        workload(engine, timed, result);
      } else {
        steps(engine, timed, result);
      }
      spec.commandLine().getOut().println(new ObjectMapper().writeValueAsString(result));
      spec.commandLine().getOut().flush();
    }
    return 0;
  }

  private LanguageModel load(Engine engine) throws IOException {
    if (config != null) {
      return LanguageModel.random(ModelConfig.read(config), engine, 0);
    }
    return LanguageModel.load(
        model == null ? Bundled.baseModel() : model, LoadOptions.builder().engine(engine).build());
  }

  LoraConfig lora() {
    return LoraConfig.builder().rank(rank).targetModules(targets).build();
  }

  Engine engine() {
    return engineName == null ? Engines.create(precision) : Engines.create(engineName, precision);
  }

  static Hyperparameters workloadHyperparameters() {
    return Hyperparameters.builder().learningRate(2e-3).build();
  }

  // ---- steps on random tokens

  private void steps(Engine engine, TimedEngine timed, Map<String, Object> result)
      throws IOException {
    try (LanguageModel m = load(engine)) {
      List<Adapter> trained = new ArrayList<>();
      List<Tensor[]> moments = new ArrayList<>();
      long trainable = 0;
      for (int i = 0; i < adapters; i++) {
        Adapter a = lora().create(m, "adapter-" + i, i);
        Parameters p = a.parameters();
        trained.add(a);
        trainable += p.size();
        moments.add(
            new Tensor[] {
              engine.persistent(1, p.size(), DType.F32), engine.persistent(1, p.size(), DType.F32)
            });
      }
      Batch tokens = randomBatch(m.config().vocabularySize());
      Routing routing = routing(trained, tokens.rows());
      Tape.Mode mode = checkpointing ? Tape.Mode.CHECKPOINTING : Tape.Mode.RECORDING;
      double[] seconds = new double[steps];
      double[] losses = new double[steps];
      for (int s = 0; s < steps; s++) {
        if (s == WARM_UP_STEPS && timed != null) {
          timed.clear();
        }
        long start = System.nanoTime();
        losses[s] = step(engine, m, tokens, routing, mode, trained, moments, s);
        seconds[s] = (System.nanoTime() - start) / 1e9;
      }
      if (timed != null) {
        spec.commandLine().getErr().print(timed.table(steps - WARM_UP_STEPS, mean(seconds)));
        spec.commandLine().getErr().flush();
      }
      double median = median(Arrays.copyOfRange(seconds, WARM_UP_STEPS, steps));
      result.put("model", config != null ? config.getFileName().toString() : model.toString());
      result.put("batch", batch);
      result.put("sequence", sequence);
      result.put("adapters", adapters);
      result.put("trainable", trainable);
      result.put("step_s", round(median, 4));
      result.put("tokens_per_s", round(tokens.rows() / median, 1));
      result.put("peak_rss_mb", peakResidentMegabytes());
      double peak = peakFlops(engine);
      result.put("peak_gflops", round(peak / 1e9, 1));
      result.put(
          "share_of_peak", round(flopsPerToken(m.config()) * tokens.rows() / median / peak, 3));
      result.put("losses", Arrays.stream(losses).map(l -> round(l, 4)).toArray());
      moments.forEach(pair -> Arrays.stream(pair).forEach(engine::free));
      trained.forEach(Adapter::close);
    }
  }

  private Batch randomBatch(int vocabulary) {
    Random random = new Random(0);
    int n = batch * sequence;
    int[] ids = random.ints(n, 0, vocabulary).toArray();
    int[] positions = new int[n];
    int[] targetIds = new int[n];
    int[] starts = new int[batch + 1];
    for (int i = 0; i < n; i++) {
      positions[i] = i % sequence;
      targetIds[i] = positions[i] + 1 < sequence ? ids[i + 1] : -1;
    }
    for (int b = 0; b < batch; b++) {
      starts[b + 1] = (b + 1) * sequence;
    }
    return new Batch(ids, positions, starts, targetIds, new int[batch], null);
  }

  private static Routing routing(List<Adapter> trained, int rows) {
    ImmutableList.Builder<Routing.Slice> slices = ImmutableList.builder();
    int share = rows / trained.size();
    for (int i = 0; i < trained.size(); i++) {
      slices.add(new Routing.Slice(i * share, share, ImmutableList.of(trained.get(i))));
    }
    return new Routing(slices.build());
  }

  private static double step(
      Engine engine,
      LanguageModel m,
      Batch tokens,
      Routing routing,
      Tape.Mode mode,
      List<Adapter> trained,
      List<Tensor[]> moments,
      int step) {
    engine.lock().lock();
    try {
      trained.forEach(a -> a.parameters().zeroGradients());
      Tape tape = Tape.training(engine, mode, step);
      LossResult loss = m.loss(tape, tokens, routing, null);
      tape.backward();
      for (int i = 0; i < trained.size(); i++) {
        Parameters p = trained.get(i).parameters();
        double norm = Math.sqrt(engine.sumOfSquares(p.flatGradients()));
        engine.adamW(
            p.flat(),
            p.flatGradients(),
            moments.get(i)[0],
            moments.get(i)[1],
            (float) Math.min(1, 1 / (norm + 1e-6)),
            1e-4f,
            0.9f,
            0.999f,
            1e-8f,
            0.01f,
            step + 1);
        p.changed();
      }
      return loss.mean();
    } finally {
      engine.resetArena();
      engine.lock().unlock();
    }
  }

  // ---- the real workload

  private void workload(Engine engine, TimedEngine timed, Map<String, Object> result)
      throws IOException {
    List<Task> tasks = new ArrayList<>();
    for (String name : Bundled.TASKS) {
      Task task =
          workload.equals("bundled")
              ? Bundled.task(name)
              : Task.fromDirectory(Path.of(workload, name));
      tasks.add(task.limit(examples, 1, 1));
    }
    if (!serving.isEmpty()) {
      try (LanguageModel m = load(engine)) {
        result.put("workload", workload);
        result.putAll(new ServingBench(m, tasks, lora()).run(serving));
      }
      return;
    }
    Path output = Files.createTempDirectory("tune4j-bench");
    List<StepRecord> records = new ArrayList<>();
    try (LanguageModel m = load(engine);
        FineTuningResult trained =
            FineTuner.of(m)
                .tasks(tasks)
                .lora(lora())
                .strategy(independent ? Independent.perTask() : MultiTask.proportional())
                .hyperparameters(workloadHyperparameters())
                .output(output)
                .listener(
                    new TrainingListener() {
                      @Override
                      public void onStep(StepRecord step) {
                        records.add(step);
                        if (records.size() == WARM_UP_STEPS && timed != null) {
                          timed.clear();
                        }
                      }
                    })
                .run()) {
      List<StepRecord> counted = records.subList(WARM_UP_STEPS, records.size());
      double seconds = counted.stream().mapToDouble(StepRecord::seconds).sum();
      if (timed != null) {
        spec.commandLine().getErr().print(timed.table(counted.size(), seconds / counted.size()));
        spec.commandLine().getErr().flush();
      }
      result.put("workload", workload);
      result.put("strategy", trained.training().plan().strategy());
      result.put(
          "trainable",
          trained.training().adapters().values().stream()
              .mapToLong(a -> a.parameters().size())
              .sum());
      result.put("steps", records.size());
      result.put("seconds", round(trained.training().seconds(), 2));
      result.put(
          "step_s", round(median(counted.stream().mapToDouble(StepRecord::seconds).toArray()), 4));
      result.put(
          "examples_per_s",
          round(counted.stream().mapToLong(StepRecord::examples).sum() / seconds, 1));
      long tokens = counted.stream().mapToLong(StepRecord::tokens).sum();
      result.put("tokens_per_s", round(tokens / seconds, 1));
      result.put(
          "loss_tokens_per_s",
          round(counted.stream().mapToLong(StepRecord::lossTokens).sum() / seconds, 1));
      result.put("peak_rss_mb", peakResidentMegabytes());
      result.put("peak_gflops", round(peakFlops(engine) / 1e9, 1));
      result.put("losses", curve(records));
    } finally {
      AtomicFiles.deleteRecursively(output);
    }
  }

  // ---- metrics

  /**
   * Returns the floating-point operations per token of a step with a frozen base model: 2 forward
   * and 2 backward per weight of the projections and the output head.
   */
  private static double flopsPerToken(ModelConfig c) {
    return 4.0
        * ((double) c.layers() * c.projectionWeights()
            + (double) c.vocabularySize() * c.hiddenSize());
  }

  /** Returns the highest rate of several large matrix products with frozen weights. */
  private static double peakFlops(Engine engine) {
    int size = 1536;
    int rows = 512;
    float[] values = new float[size * size];
    Arrays.fill(values, 0.01f);
    double best = 0;
    engine.lock().lock();
    try (FrozenMatrix w = engine.freeze(MatrixSource.of(size, size, values), null)) {
      for (int i = 0; i < 40; i++) {
        Tensor x = engine.allocate(rows, size, engine.computeType());
        engine.fill(x, 0.5f);
        long start = System.nanoTime();
        engine.linear(x, w, null);
        best = Math.max(best, 2.0 * rows * size * size / ((System.nanoTime() - start) / 1e9));
        engine.resetArena();
      }
    } finally {
      engine.resetArena();
      engine.lock().unlock();
    }
    return best;
  }

  /** Returns the peak resident memory of the process, or null if the system does not report it. */
  private static Long peakResidentMegabytes() throws IOException {
    Path status = Path.of("/proc/self/status");
    if (!Files.isReadable(status)) {
      return null;
    }
    for (String line : Files.readAllLines(status)) {
      if (line.startsWith("VmHWM:")) {
        return Long.parseLong(line.replaceAll("\\D", "")) / 1024;
      }
    }
    return null;
  }

  /** Returns the mean loss over tasks of each tenth of the steps. */
  private static List<Double> curve(List<StepRecord> records) {
    List<Double> means = new ArrayList<>();
    int parts = Math.min(CURVE_POINTS, records.size());
    for (int i = 0; i < parts; i++) {
      double mean =
          records.subList(records.size() * i / parts, records.size() * (i + 1) / parts).stream()
              .flatMap(r -> r.lossByTask().values().stream())
              .mapToDouble(Double::doubleValue)
              .average()
              .orElseThrow();
      means.add(round(mean, 4));
    }
    return means;
  }

  private static double median(double[] values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return sorted[sorted.length / 2];
  }

  private static double mean(double[] seconds) {
    return Arrays.stream(seconds, WARM_UP_STEPS, seconds.length).average().orElse(0);
  }

  private static double round(double value, int digits) {
    double factor = Math.pow(10, digits);
    return Math.round(value * factor) / factor;
  }
}
