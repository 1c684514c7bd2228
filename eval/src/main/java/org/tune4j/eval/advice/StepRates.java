package org.tune4j.eval.advice;

import com.google.common.math.Quantiles;
import com.google.common.math.Stats;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.Trainer;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.core.train.TrainingResult;
import org.tune4j.lora.LoraConfig;

/**
 * Runs short plans through the trainer in a directory that is deleted afterwards, and keeps the
 * time that a token took in each shape of stage.
 */
final class StepRates {
  /** Steps at the start of a stage that are not timed: kernels are made and code is compiled. */
  private static final int WARM_STEPS = 1;

  /** Examples whose gradients are timed where no step is. */
  private static final int FEW_EXAMPLES = 4;

  /** How often they are. */
  private static final int REPEATS = 3;

  /** What determines the cost of a token: adapters side by side, and frozen ones under them. */
  record Shape(int lanes, int below) {
    static Shape of(Stage stage) {
      return new Shape(stage.adapters().size(), stage.below().size());
    }
  }

  private final LanguageModel model;
  private final LoraConfig lora;
  private final Map<Shape, List<Double>> secondsPerToken = new LinkedHashMap<>();
  private double untimed = Double.NaN;

  StepRates(LanguageModel model, LoraConfig lora) {
    this.model = model;
    this.lora = lora;
  }

  /** What is done with the adapters of a run before they are closed. */
  interface Use<T> {
    T of(TrainingResult result);
  }

  /**
   * Trains.
   *
   * @return what {@code use} made of the result; null if stopped before the end
   */
  <T> T run(
      List<Task> tasks, TrainingPlan plan, Hyperparameters h, BooleanSupplier stop, Use<T> use)
      throws IOException {
    Path directory = Files.createTempDirectory("tune4j-advice");
    try {
      TrainingResult result =
          Trainer.builder(model, tasks, plan, lora)
              .hyperparameters(h)
              .output(directory)
              .cancelled(stop)
              .listener(new Timer())
              .build()
              .run();
      try {
        return result.completed() ? use.of(result) : null;
      } finally {
        result.close();
      }
    } finally {
      AtomicFiles.deleteRecursively(directory);
    }
  }

  private final class Timer implements TrainingListener {
    private Shape shape;

    @Override
    public void onStageStart(Stage stage, int index, int steps) {
      shape = Shape.of(stage);
    }

    @Override
    public void onStep(StepRecord step) {
      if (step.step() > WARM_STEPS && step.tokens() > 0) {
        secondsPerToken
            .computeIfAbsent(shape, s -> new ArrayList<>())
            .add(step.seconds() / step.tokens());
      }
    }
  }

  /**
   * Times gradients of a few examples: what a token is taken to cost should no step be timed. The
   * fastest of several counts: the first makes kernels, and others may be interrupted.
   */
  void untimed(LoraConfig config, List<EncodedExample> examples, Hyperparameters h, long seed) {
    List<EncodedExample> few = examples.subList(0, Math.min(FEW_EXAMPLES, examples.size()));
    double tokens = few.stream().mapToInt(e -> e.ids().length).sum();
    double fastest = Double.POSITIVE_INFINITY;
    try (Adapter adapter = config.create(model, "timing", seed)) {
      GradientProbe probe = new GradientProbe(model, h, 1, seed);
      for (int i = 0; i < REPEATS; i++) {
        long start = System.nanoTime();
        probe.gradient(adapter, few, name -> false);
        fastest = Math.min(fastest, (System.nanoTime() - start) / 1e9);
      }
    }
    untimed = fastest / tokens;
  }

  /** Returns whether no step was timed. */
  boolean isUntimed() {
    return secondsPerToken.isEmpty();
  }

  /** Returns how many steps were timed in a shape. */
  int timed(Shape shape) {
    return secondsPerToken.getOrDefault(shape, List.of()).size();
  }

  /**
   * Returns the median seconds of a token. A depth that was not run is extrapolated linearly from
   * the deepest two that were.
   */
  double secondsPerToken(Shape shape) {
    if (timed(shape) > 0) {
      return Quantiles.median().compute(secondsPerToken.get(shape));
    }
    TreeMap<Integer, Double> byDepth = new TreeMap<>();
    secondsPerToken.forEach(
        (s, times) -> {
          if (s.lanes() == shape.lanes()) {
            byDepth.put(s.below(), Quantiles.median().compute(times));
          }
        });
    if (byDepth.isEmpty()) {
      return secondsPerToken.values().stream()
          .mapToDouble(t -> Stats.meanOf(t))
          .average()
          .orElse(untimed);
    }
    Map.Entry<Integer, Double> deepest = byDepth.lastEntry();
    Map.Entry<Integer, Double> before = byDepth.lowerEntry(deepest.getKey());
    double perLevel =
        before == null
            ? 0
            : Math.max(
                0, (deepest.getValue() - before.getValue()) / (deepest.getKey() - before.getKey()));
    return deepest.getValue() + perLevel * Math.max(0, shape.below() - deepest.getKey());
  }
}
