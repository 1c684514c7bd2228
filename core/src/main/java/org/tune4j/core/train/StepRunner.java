package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.PassLosses;

/**
 * Runs optimizer steps: all running lanes together in shared passes through the base model, then
 * hooks, clipping and optimizer for each lane.
 */
final class StepRunner {
  private final RunAdapters adapters;
  private final TrainingData data;
  private final List<String> tasks;
  private final Hyperparameters h;
  private final EngineSharing sharing;
  private final Engine engine;
  private long peakBytes;

  /**
   * Creates a runner.
   *
   * @param tasks names of the run's tasks
   * @param peakBytes most memory held so far
   */
  StepRunner(
      RunAdapters adapters,
      TrainingData data,
      List<String> tasks,
      Hyperparameters h,
      EngineSharing sharing,
      long peakBytes) {
    this.adapters = adapters;
    this.data = data;
    this.tasks = tasks;
    this.h = h;
    this.sharing = sharing;
    this.peakBytes = peakBytes;
    engine = adapters.base().engine();
  }

  /** Returns the most memory held so far. */
  long peakBytes() {
    return peakBytes;
  }

  /** Losses summed over the passes of a step, by index of their task. */
  private final class Sums {
    final double[] losses = new double[tasks.size()];
    final long[] targets = new long[tasks.size()];

    void add(Pass pass, PassLosses result, List<Lane> lanes, int step) {
      for (int i = 0; i < result.losses().length; i++) {
        Pass.Item item = pass.items().get(result.items()[i]);
        float loss = result.losses()[i];
        if (!Float.isFinite(loss)) {
          String task = tasks.get(item.task());
          throw new NotFiniteException(
              step + 1, "loss of task '%s'".formatted(task), loss, task, lanes.get(item.lane()));
        }
        losses[item.task()] += loss;
        targets[item.task()]++;
      }
    }

    ImmutableMap<String, Double> means() {
      ImmutableMap.Builder<String, Double> means = ImmutableMap.builder();
      for (int t = 0; t < losses.length; t++) {
        if (targets[t] > 0) {
          means.put(tasks.get(t), losses[t] / targets[t]);
        }
      }
      return means.buildOrThrow();
    }
  }

  /**
   * Runs a step.
   *
   * @param step from 0
   * @throws NotFiniteException if a loss or gradient is not finite
   */
  StepRecord run(StageRun run, int step) {
    long start = System.nanoTime();
    List<Lane> running = run.running();
    List<Pass.Item> items = new ArrayList<>();
    for (Lane lane : running) {
      items.addAll(lane.items(step, h.examplesPerStep(), data, tasks));
    }
    Sums sums = new Sums();
    ImmutableMap.Builder<String, Double> norms = ImmutableMap.builder();
    double rate =
        sharing.step(
            () -> {
              addGradients(run, step, items, sums);
              ImmutableMap<String, Double> losses = sums.means();
              double highest = 0;
              for (Lane lane : running) {
                sharing.pause();
                highest = Math.max(highest, update(lane, step, losses, norms));
              }
              peakBytes = Math.max(peakBytes, engine.memory().step());
              return highest;
            });
    return new StepRecord(
        run.stage().name(),
        run.index(),
        step + 1,
        run.steps(),
        sums.means(),
        rate,
        norms.buildOrThrow(),
        items.size(),
        items.stream().mapToLong(i -> i.example().ids().length).sum(),
        Arrays.stream(sums.targets).sum(),
        (System.nanoTime() - start) / 1e9);
  }

  /**
   * Notifies a lane's hooks of the end of the stage, with access to the gradients of single
   * examples.
   */
  void end(StageRun run, Lane lane, List<GradientHook> continuing) {
    float[] ones = new float[run.lanes().size()];
    Arrays.fill(ones, 1);
    sharing.step(
        () -> {
          lane.end(
              continuing,
              (count, then) -> {
                List<Pass.Item> items = lane.items(0, count, data, tasks);
                for (int i = 0; i < items.size(); i++) {
                  lane.parameters().zeroGradients();
                  long seed =
                      (h.seed() * 31 + run.index()) * 1_000_003
                          - 1
                          - i; // differs from those of all steps
                  Pass pass = new Pass(ImmutableList.of(items.get(i)), run.stacks());
                  adapters.base().addGradients(pass, ones, mode(h), seed, sharing::pause);
                  peakBytes = Math.max(peakBytes, engine.memory().step());
                  engine.resetArena();
                  then.run();
                  sharing.pause();
                }
                return items.size();
              });
          return null;
        });
  }

  private void addGradients(StageRun run, int step, List<Pass.Item> items, Sums sums) {
    float[] weights = weights(run.lanes(), items);
    for (Lane lane : run.running()) {
      lane.parameters().zeroGradients();
      lane.byTask().ifPresent(TaskGradients::clear);
    }
    int number = 0;
    for (Part part : Part.of(items, run.lanes())) {
      for (Pass pass : Pass.divide(part.items(), run.stacks(), h.tokensPerPass())) {
        long seed = ((h.seed() * 31 + run.index()) * 1_000_003 + step) * 1_000_003 + number++;
        PassLosses losses =
            adapters.base().addGradients(pass, weights, mode(h), seed, sharing::pause);
        peakBytes = Math.max(peakBytes, engine.memory().step());
        engine.resetArena();
        sums.add(pass, losses, run.lanes(), step);
      }
      part.separate()
          .ifPresent(gradients -> gradients.store(tasks.get(part.items().get(0).task())));
    }
  }

  /**
   * Items of a step whose gradients are accumulated together.
   *
   * @param separate if they are of a single task, the destination of its gradients
   */
  private record Part(List<Pass.Item> items, Optional<TaskGradients> separate) {
    /** Divides a step: the first part has all lanes that do not need separate gradients. */
    static List<Part> of(List<Pass.Item> items, List<Lane> lanes) {
      List<Part> parts = new ArrayList<>();
      List<Pass.Item> together = new ArrayList<>();
      Map<Integer, Part> separate = new LinkedHashMap<>();
      for (Pass.Item item : items) {
        Optional<TaskGradients> own = lanes.get(item.lane()).byTask();
        if (own.isPresent()) {
          separate
              .computeIfAbsent(item.task(), t -> new Part(new ArrayList<>(), own))
              .items()
              .add(item);
        } else {
          together.add(item);
        }
      }
      parts.add(new Part(together, Optional.empty()));
      parts.addAll(separate.values());
      return parts;
    }
  }

  /**
   * Returns a factor for each lane that turns the sum of its losses into the mean over its targets.
   */
  private static float[] weights(ImmutableList<Lane> lanes, List<Pass.Item> items) {
    long[] targets = new long[lanes.size()];
    items.forEach(i -> targets[i.lane()] += i.example().lossTokens());
    float[] weights = new float[targets.length];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = 1f / targets[i];
    }
    return weights;
  }

  static Tape.Mode mode(Hyperparameters h) {
    return h.activationCheckpointing() ? Tape.Mode.CHECKPOINTING : Tape.Mode.RECORDING;
  }

  /** Runs a lane's hooks, clips its gradients and runs its optimizer; returns the learning rate. */
  private double update(
      Lane lane, int step, Map<String, Double> losses, ImmutableMap.Builder<String, Double> norms) {
    lane.applyHooks(step, losses);
    Parameters p = lane.parameters();
    double norm = Math.sqrt(engine.sumOfSquares(p.flatGradients()));
    if (!Double.isFinite(norm)) {
      throw new NotFiniteException(
          step + 1,
          "gradient norm of adapter '%s'".formatted(lane.name()),
          norm,
          lane.tasks().get(0),
          lane);
    }
    norms.put(lane.name(), norm);
    double rate = h.learningRate() * h.schedule().factor(step, lane.steps());
    lane.optimizer().apply(rate, Math.min(1, h.maxGradientNorm() / (norm + 1e-6)), step + 1);
    return rate;
  }
}
