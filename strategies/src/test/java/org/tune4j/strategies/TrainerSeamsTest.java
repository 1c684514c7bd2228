package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.AdapterFactory;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.GradientHook;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.Trainer;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.core.train.TrainingResult;
import org.tune4j.testing.TinyRuns;

/** What can be put into the trainer from outside: a network of another kind, and gradient hooks. */
class TrainerSeamsTest {
  private static final List<Task> TASKS =
      List.of(TinyRuns.task("a", 40, 8), TinyRuns.task("b", 24, 8));
  private static final AdapterFactory CHANGES =
      (model, name, seed) -> BagOfWords.adapter(model, name);

  @TempDir static Path directory;
  private static Engine engine;
  private static BagOfWords network;
  private static LanguageModel language;
  private static final AtomicInteger RUNS = new AtomicInteger();

  @BeforeAll
  static void load() {
    engine = Engines.create(Precision.F32);
    network = BagOfWords.random(engine, 1);
    language = TinyRuns.load(TinyRuns.writeModel(directory.resolve("model")));
  }

  @AfterAll
  static void close() {
    language.close();
    network.close();
    engine.close();
  }

  private static Hyperparameters hyperparameters() {
    return TinyRuns.hyperparameters().learningRate(0.05).epochs(3).validateEvery(4).build();
  }

  private static TrainingPlan plan(TrainingStrategy strategy, List<Task> tasks) {
    return strategy.plan(PlanContext.of(tasks, hyperparameters()));
  }

  private static Trainer.Builder trainer(
      AdaptableModel model, List<Task> tasks, TrainingPlan plan) {
    return Trainer.builder(
            model, tasks, plan, model instanceof LanguageModel ? TinyRuns.LORA : CHANGES)
        .hyperparameters(hyperparameters())
        .output(directory.resolve("run-" + RUNS.incrementAndGet()));
  }

  private static Map<String, List<Float>> train(AdaptableModel model, TrainingPlan plan)
      throws IOException {
    try (TrainingResult result = trainer(model, TASKS, plan).build().run()) {
      return TinyRuns.bits(result);
    }
  }

  static Stream<TrainingStrategy> strategies() {
    return Stream.of(
        MultiTask.proportional(),
        Independent.perTask(),
        Sequential.inOrder(),
        Sequential.inOrder().replay(0.3),
        Sequential.inOrder().stacked(),
        Sequential.inOrder().merging(),
        new EasyFirst());
  }

  // ---- another kind of network

  @ParameterizedTest
  @MethodSource("strategies")
  void aNetworkOfAnotherKindLearnsIsStoppedAndGoesOn(TrainingStrategy strategy) throws IOException {
    TrainingPlan plan = plan(strategy, TASKS);
    Map<String, List<Float>> whole;
    int steps;
    try (TrainingResult result = trainer(network, TASKS, plan).build().run()) {
      whole = TinyRuns.bits(result);
      List<StepRecord> all = result.steps();
      steps = all.size();
      assertThat(result.stages()).hasSameSizeAs(plan.stages());
      int last = plan.stages().size() - 1;
      result
          .stages()
          .get(last)
          .validationLoss()
          .forEach(
              (task, loss) ->
                  assertThat(loss).as("of 20 classes, task %s", task).isLessThan(Math.log(20)));
      result
          .stages()
          .forEach(
              s ->
                  assertThat(s.saved().values())
                      .allMatch(p -> p.resolve("change.txt").toFile().exists()));
    }
    AtomicInteger asked = new AtomicInteger();
    Trainer.Builder stopped =
        trainer(network, TASKS, plan).cancelled(() -> asked.getAndIncrement() == steps / 2);
    stopped.build().run().close();
    try (TrainingResult result = stopped.resume(true).cancelled(() -> false).build().run()) {
      assertThat(result.completed()).isTrue();
      assertThat(TinyRuns.bits(result)).isEqualTo(whole);
    }
  }

  @Test
  void lanesOfAnyNetworkComeOutAsAlone() throws IOException {
    Map<String, List<Float>> together = train(network, plan(Independent.perTask(), TASKS));
    for (Task task : TASKS) {
      try (TrainingResult alone =
          trainer(network, List.of(task), plan(Independent.perTask(), List.of(task)))
              .build()
              .run()) {
        assertThat(TinyRuns.bits(alone).values()).containsExactly(together.get(task.name()));
      }
    }
  }

  // ---- hooks

  static Stream<AdaptableModel> models() {
    return Stream.of(network, language);
  }

  /** Looks, and does nothing. */
  private record Watching(boolean byTask, List<String> seen) implements GradientHook {
    @Override
    public String name() {
      return "watching";
    }

    @Override
    public State start(Parameters parameters) {
      return g -> seen.add(g.stage().name() + " " + g.step() + " " + g.byTask().keySet());
    }

    @Override
    public String toString() {
      return name();
    }
  }

  @ParameterizedTest(autoCloseArguments = false)
  @MethodSource("models")
  void aHookThatDoesNothingLeavesTheBits(AdaptableModel model) throws IOException {
    for (TrainingStrategy strategy :
        List.of(MultiTask.uniform(), Independent.perTask(), Sequential.inOrder())) {
      TrainingPlan plan = plan(strategy, TASKS);
      List<String> seen = new ArrayList<>();
      assertThat(train(model, plan.withGradients(new Watching(false, seen))))
          .isEqualTo(train(model, plan));
      long expected =
          plan.stages().stream()
              .flatMap(s -> s.adapters().stream().map(a -> s.steps(a, hyperparameters())))
              .mapToLong(n -> n)
              .sum();
      assertThat(seen).hasSize((int) expected).contains(plan.stages().get(0).name() + " 1 []");
    }
  }

  /** Checks that the gradients of the tasks come to the whole, and takes another step's. */
  private static final class Comparing implements GradientHook {
    final Map<String, float[]> first = new LinkedHashMap<>();
    float[] whole;
    private final boolean byTask;

    Comparing(boolean byTask) {
      this.byTask = byTask;
    }

    @Override
    public String name() {
      return "comparing";
    }

    @Override
    public boolean byTask() {
      return byTask;
    }

    @Override
    public State start(Parameters parameters) {
      return g -> {
        Engine e = g.parameters().engine();
        float[] all = e.read(g.parameters().flatGradients());
        if (byTask) {
          float[] sum = new float[all.length];
          g.byTask().values().forEach(t -> add(sum, e.read(t)));
          assertThat(all).containsExactly(sum, Offset.offset(1e-6f));
        }
        if (whole == null) {
          whole = all;
          g.byTask().forEach((task, values) -> first.put(task, e.read(values)));
        }
      };
    }
  }

  private static void add(float[] to, float[] from) {
    for (int i = 0; i < to.length; i++) {
      to[i] += from[i];
    }
  }

  @ParameterizedTest(autoCloseArguments = false)
  @MethodSource("models")
  void theGradientsOfTasksAddUpToThePlainOne(AdaptableModel model) throws IOException {
    TrainingPlan plan = plan(MultiTask.uniform(), TASKS);
    Comparing plain = new Comparing(false);
    Comparing apart = new Comparing(true);
    train(model, plan.withGradients(plain));
    train(model, plan.withGradients(apart));
    assertThat(apart.first.keySet()).containsExactlyInAnyOrder("a", "b");
    assertThat(apart.first.get("a")).isNotEqualTo(apart.first.get("b"));
    float most = 0;
    for (float g : plain.whole) {
      most = Math.max(most, Math.abs(g));
    }
    assertThat(most).isPositive();
    assertThat(apart.whole).containsExactly(plain.whole, Offset.offset(1e-5f * most));
  }

  /**
   * PCGrad (Yu et al. 2020, algorithm 1, tasks in order): each task's gradient loses what points
   * against that of another.
   */
  private record Surgery() implements GradientHook {
    @Override
    public String name() {
      return "PCGrad";
    }

    @Override
    public boolean byTask() {
      return true;
    }

    @Override
    public State start(Parameters parameters) {
      return g -> {
        Engine e = g.parameters().engine();
        float[] sum = new float[g.parameters().size()];
        for (Tensor own : g.byTask().values()) {
          float[] projected = e.read(own);
          for (Tensor other : g.byTask().values()) {
            float[] o = e.read(other);
            double dot = dot(projected, o);
            if (dot < 0) {
              float factor = (float) (dot / dot(o, o));
              for (int i = 0; i < o.length; i++) {
                projected[i] -= factor * o[i];
              }
            }
          }
          add(sum, projected);
        }
        e.write(g.parameters().flatGradients(), sum);
      };
    }
  }

  private static double dot(float[] a, float[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += (double) a[i] * b[i];
    }
    return sum;
  }

  @ParameterizedTest(autoCloseArguments = false)
  @MethodSource("models")
  void gradientSurgeryIsAHook(AdaptableModel model) throws IOException {
    TrainingPlan plan = plan(MultiTask.uniform(), TASKS);
    assertThat(train(model, plan.withGradients(new Surgery())))
        .isEqualTo(train(model, plan.withGradients(new Surgery())))
        .isNotEqualTo(train(model, plan));
    TrainingPlan beside = plan(Independent.perTask(), TASKS);
    assertThat(train(model, beside.withGradients(new Surgery())))
        .as("one task in each adapter: nothing to resolve")
        .isEqualTo(train(model, beside));
  }

  /** The mean over machines, which here are threads. */
  private static final class AllReduce implements GradientHook {
    private final CyclicBarrier barrier;
    private final float[][] shared;
    private final int rank;

    AllReduce(CyclicBarrier barrier, float[][] shared, int rank) {
      this.barrier = barrier;
      this.shared = shared;
      this.rank = rank;
    }

    @Override
    public String name() {
      return "all-reduce";
    }

    @Override
    public State start(Parameters parameters) {
      return g -> {
        Engine e = g.parameters().engine();
        shared[rank] = e.read(g.parameters().flatGradients());
        await();
        float[] mean = new float[shared[0].length];
        for (float[] part : shared) {
          add(mean, part);
        }
        await();
        for (int i = 0; i < mean.length; i++) {
          mean[i] /= shared.length;
        }
        e.write(g.parameters().flatGradients(), mean);
      };
    }

    private void await() {
      try {
        barrier.await();
      } catch (Exception e) {
        throw new IllegalStateException(e);
      }
    }
  }

  /** Two machines with half of the data each come to one adapter, which both have. */
  @Test
  void aTrainerOnSeveralMachinesIsAHook() throws Exception {
    CyclicBarrier barrier = new CyclicBarrier(2);
    float[][] shared = new float[2][];
    ExecutorService machines = Executors.newFixedThreadPool(2);
    List<Future<Map<String, List<Float>>>> runs = new ArrayList<>();
    try {
      for (int rank = 0; rank < 2; rank++) {
        Task half =
            Task.builder("a")
                .train(TASKS.get(0).train().subList(20 * rank, 20 * rank + 20))
                .build();
        TrainingPlan plan =
            plan(MultiTask.uniform(), List.of(half))
                .withGradients(new AllReduce(barrier, shared, rank));
        runs.add(
            machines.submit(
                () -> {
                  try (Engine own = Engines.create(Precision.F32);
                      BagOfWords model = BagOfWords.random(own, 1);
                      TrainingResult result = trainer(model, List.of(half), plan).build().run()) {
                    return TinyRuns.bits(result);
                  }
                }));
      }
      Map<String, List<Float>> first = runs.get(0).get(1, TimeUnit.MINUTES);
      assertThat(runs.get(1).get(1, TimeUnit.MINUTES)).isEqualTo(first);
      Task one = Task.builder("a").train(TASKS.get(0).train().subList(0, 20)).build();
      try (TrainingResult alone =
          trainer(network, List.of(one), plan(MultiTask.uniform(), List.of(one))).build().run()) {
        assertThat(TinyRuns.bits(alone)).isNotEqualTo(first);
      }
    } finally {
      machines.shutdownNow();
    }
  }
}
