package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.ShrinkingMode;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.text.Message;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.eval.report.Report;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;
import org.tune4j.strategies.TrainingStrategy;

/** There is a recommendation for whatever can be trained. */
class AdviceForAnyTasksTest {
  private static Path directory;
  private static LanguageModel model;
  private static LanguageModel withoutGradient;
  private static LanguageModel poisoned;

  @BeforeContainer
  static void load() throws IOException {
    directory = Files.createTempDirectory("tune4j-any-tasks");
    model = WordModel.create(Files.createDirectory(directory.resolve("model")));
    withoutGradient = WordModel.withoutGradient(Files.createDirectory(directory.resolve("zero")));
    poisoned = WordModel.poisoned(Files.createDirectory(directory.resolve("nan")), "thing5");
  }

  @AfterContainer
  static void close() throws IOException {
    model.close();
    withoutGradient.close();
    poisoned.close();
    AtomicFiles.deleteRecursively(directory);
  }

  /** What examples of a task look like. */
  private enum Form {
    LABELS,
    ONE_LABEL,
    SAME_COMPLETION,
    OPEN,
    TEXT,
    CONVERSATION,
    /** Most do not fit the model's context. */
    LONG
  }

  private record Setting(
      List<Task> tasks, Hyperparameters hyperparameters, ComputeBudget budget, boolean arriving) {}

  private static Task task(String name, Form form, int train, int validation, int shift) {
    Task.Builder b =
        Task.builder(name)
            .train(examples(form, train, shift))
            .validation(examples(form, validation, shift + 1));
    return switch (form) {
      case LABELS -> b.labels(Set.copyOf(WordModel.COLOURS)).build();
      case ONE_LABEL -> b.labels(Set.of("red")).build();
      case SAME_COMPLETION, OPEN, TEXT, CONVERSATION, LONG -> b.build();
    };
  }

  private static List<org.tune4j.core.data.Example> examples(Form form, int count, int shift) {
    return IntStream.range(0, count).mapToObj(i -> example(form, i, shift)).toList();
  }

  private static org.tune4j.core.data.Example example(Form form, int i, int shift) {
    String thing = "thing" + (i + shift) % WordModel.WORDS;
    String colour = WordModel.COLOURS.get((i + shift) % 3);
    return switch (form) {
      case LABELS -> org.tune4j.core.data.Example.of(thing + " colour is ", colour);
      case ONE_LABEL, SAME_COMPLETION ->
          org.tune4j.core.data.Example.of(thing + " colour is ", "red");
      case OPEN ->
          org.tune4j.core.data.Example.of("colour of ", thing + " is " + colour + " " + thing);
      case TEXT -> org.tune4j.core.data.Example.text(thing + " is " + colour);
      case CONVERSATION ->
          org.tune4j.core.data.Example.conversation(
              Message.user(thing + " colour is "), Message.assistant(colour));
      case LONG ->
          i % 3 == 0
              ? org.tune4j.core.data.Example.of("size is ", colour)
              : org.tune4j.core.data.Example.of(
                  "size is ", String.join(" ", java.util.Collections.nCopies(80, thing)));
    };
  }

  @Provide
  Arbitrary<Setting> settings() {
    Arbitrary<Task> one =
        Combinators.combine(
                Arbitraries.of(Form.class),
                Arbitraries.integers().between(1, 24),
                Arbitraries.integers().between(0, 6),
                Arbitraries.of(0, 0, 1, 12))
            .as((form, train, validation, shift) -> task("t", form, train, validation, shift));
    Arbitrary<List<Task>> several =
        one.list()
            .ofMinSize(1)
            .ofMaxSize(4)
            .map(
                tasks -> {
                  List<Task> named = new ArrayList<>();
                  for (int i = 0; i < tasks.size(); i++) {
                    named.add(renamed(tasks.get(i), "task " + i));
                  }
                  return named;
                });
    // the same task again
    Arbitrary<List<Task>> identical =
        Combinators.combine(one, Arbitraries.integers().between(2, 3))
            .as(
                (task, n) ->
                    IntStream.range(0, n).mapToObj(i -> renamed(task, "same " + i)).toList());
    Arbitrary<Hyperparameters> hyperparameters =
        Combinators.combine(
                Arbitraries.of(1, 4, 16),
                Arbitraries.of(0.05, 1.0, 2.5),
                Arbitraries.of(LengthPolicy.SKIP, LengthPolicy.TRUNCATE_PROMPT),
                Arbitraries.of(8, 512),
                Arbitraries.of(1e-3, 1e-2))
            .as(
                (batch, epochs, policy, length, rate) ->
                    Hyperparameters.builder()
                        .learningRate(rate)
                        .examplesPerStep(batch)
                        .epochs(epochs)
                        .lengthPolicy(policy)
                        .maxLength(length)
                        .build());
    Arbitrary<ComputeBudget> budget =
        Arbitraries.of(
            ComputeBudget.unlimited(),
            ComputeBudget.unlimited(),
            ComputeBudget.ofTokens(1),
            ComputeBudget.ofTokens(100),
            ComputeBudget.ofTokens(20_000),
            ComputeBudget.ofSeconds(1e-3),
            ComputeBudget.ofMemory(1000));
    return Combinators.combine(
            Arbitraries.oneOf(several, several, identical),
            hyperparameters,
            budget,
            Arbitraries.of(true, false))
        .as(Setting::new);
  }

  private static Task renamed(Task t, String name) {
    Task.Builder b = Task.builder(name).type(t.type()).train(t.train()).validation(t.validation());
    return (t.labels().isEmpty() ? b : b.labels(t.labels())).build();
  }

  @Property(tries = 25, shrinking = ShrinkingMode.OFF)
  void thereIsAdviceForWhateverCanBeTrained(@ForAll("settings") Setting s) throws IOException {
    String refused = refusal(s);
    if (refused != null) {
      assertThatThrownBy(() -> recommend(model, s)).hasMessage(refused);
      return;
    }
    Recommendation advice = recommend(model, s);
    requireWhole(advice, s);
    // what is recommended trains, as long as it is not said to be impossible
    if (advice.recommended().feasible()) {
      train(s, advice.strategy(), advice.hyperparameters());
    }
  }

  /** Returns why training refuses the tasks, or null if it does not. */
  private static String refusal(Setting s) throws IOException {
    try {
      train(
          s,
          org.tune4j.strategies.Independent.perTask(),
          s.hyperparameters().toBuilder().epochs(0.05).build());
      return null;
    } catch (IllegalArgumentException e) {
      return e.getMessage();
    }
  }

  private static void train(Setting s, TrainingStrategy strategy, Hyperparameters h)
      throws IOException {
    Path output = Files.createTempDirectory(directory, "run");
    try (FineTuningResult run =
        FineTuner.of(model)
            .tasks(s.tasks())
            .lora(LoraConfig.rank(2))
            .strategy(strategy)
            .hyperparameters(h)
            .output(output)
            .run()) {
      assertThat(run.training().completed()).isTrue();
    }
  }

  @Property(tries = 15, shrinking = ShrinkingMode.OFF)
  void anExperimentGivesAdviceToo(@ForAll("settings") Setting s) throws IOException {
    if (refusal(s) != null) {
      return;
    }
    Recommendation advice =
        recommender(model, s)
            .level(StrategyRecommender.Level.EXPERIMENT)
            .output(Files.createTempDirectory(directory, "experiment"))
            .recommend();
    requireWhole(advice, s);
    if (advice.trained().isPresent()) {
      try (FineTuningResult run = advice.fineTuner().run()) {
        assertThat(run.training().completed()).isTrue();
      }
    }
  }

  private static Recommendation recommend(LanguageModel model, Setting s) {
    try {
      return recommender(model, s).level(StrategyRecommender.Level.AFFINITY).recommend();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static StrategyRecommender recommender(LanguageModel model, Setting s) {
    StrategyRecommender r =
        StrategyRecommender.of(model)
            .tasks(s.tasks())
            .lora(LoraConfig.rank(2))
            .hyperparameters(s.hyperparameters())
            .budget(s.budget())
            .costShare(Double.POSITIVE_INFINITY)
            .pilotExamples(24)
            .similarityExamples(8)
            .validationExamples(6);
    return s.arriving() ? r.arrivingOverTime() : r;
  }

  /** Holds advice to what a reader relies on. */
  private static void requireWhole(Recommendation advice, Setting s) throws IOException {
    assertThat(advice.confidence()).isBetween(0.0, 1.0);
    assertThat(advice.alternatives()).hasSize(s.tasks().size() == 1 ? 0 : 5);
    assertThat(advice.reasons()).isNotEmpty().noneMatch(r -> r.contains("NaN"));
    assertThat(advice.recommended().verdict()).isNotBlank();
    assertThat(advice.scorecard().lean()).isBetween(-1.0, 1.0);
    assertThat(advice.price().seconds()).isFinite().isNotNegative();
    if (!advice.recommended().feasible() || (advice.pilot().isEmpty() && s.tasks().size() > 1)) {
      assertThat(advice.warnings()).isNotEmpty();
    }
    for (Task t : s.tasks()) {
      if (t.labels().size() == 1) {
        assertThat(advice.warnings())
            .anyMatch(w -> w.contains(t.name()) && w.contains("single label 'red'"));
      }
    }
    requireConsistent(advice);
    JsonNode json = new ObjectMapper().readTree(advice.toJson().toString());
    assertThat(json.toString()).doesNotContainPattern("[:,\\[]\"?-?(NaN|Infinity)");
    assertThat(advice.toString()).contains("Recommended: ");
    assertThat(Report.titled("any").recommendation(advice).html()).contains("</html>");
  }

  /** No sentence may contradict the plan, and no confidence the warnings. */
  private static void requireConsistent(Recommendation advice) {
    double lean = advice.scorecard().lean();
    List<String> said = new ArrayList<>(List.of(advice.recommended().verdict()));
    advice.alternatives().forEach(a -> said.add(a.verdict()));
    if (lean <= 0) {
      assertThat(said).noneMatch(v -> v.contains("leans to sharing"));
    }
    if (lean >= 0) {
      assertThat(said).noneMatch(v -> v.contains("leans to task-specific"));
    }
    assertThat(advice.warnings()).noneMatch(w -> w.contains("different adapters"));
    double sum = advice.recommended().probability();
    for (Assessment a : advice.alternatives()) {
      sum += a.probability();
      assertThat(a.score()).isLessThanOrEqualTo(advice.recommended().score() + Contest.INDIFFERENT);
    }
    assertThat(sum).isCloseTo(advice.recommended().feasible() ? 1 : 0, within(1e-9));
  }

  private static Setting two(Task... tasks) {
    return new Setting(
        List.of(tasks),
        Hyperparameters.builder().learningRate(1e-2).examplesPerStep(4).build(),
        ComputeBudget.unlimited(),
        false);
  }

  @Example
  void aGradientThatIsZeroIsLeftOutAndSaid() throws IOException {
    Setting s = two(task("a", Form.LABELS, 20, 6, 0), task("b", Form.OPEN, 20, 6, 0));
    Recommendation advice = recommend(withoutGradient, s);
    assertThat(advice.similarity().gradient().get("a", "b")).isNaN();
    assertThat(advice.similarity().combined().get("a", "b")).isBetween(-1.0, 1.0);
    assertThat(advice.warnings())
        .anyMatch(w -> w.contains("task a") && w.contains("gradient") && w.contains("zero"))
        .anyMatch(w -> w.contains("task b") && w.contains("gradient") && w.contains("zero"));
    requireWhole(advice, s);
  }

  @Example
  void numbersThatAreNoneAreLeftOutAndSaid() throws IOException {
    Setting s = two(task("bad", Form.LABELS, 24, 24, 0), WordModel.sizes("good", 24, 2));
    Recommendation advice = recommend(poisoned, s);
    assertThat(advice.pilot()).isEmpty();
    assertThat(advice.similarity().gradient().get("bad", "good")).isNaN();
    assertThat(advice.similarity().vocabulary().get("bad", "good")).isBetween(-1.0, 1.0);
    assertThat(advice.warnings())
        .anyMatch(w -> w.contains("loss on task bad is NaN"))
        .anyMatch(w -> w.contains("The pilot failed") && w.contains("'bad'"))
        .anyMatch(w -> w.contains("no pilot"));
    requireWhole(advice, s);
  }

  @Example
  void noNumbersAtAllStillGiveAPlan() throws IOException {
    Setting s = two(task("one", Form.LABELS, 24, 6, 0), task("two", Form.LABELS, 24, 6, 0));
    try (LanguageModel m =
        WordModel.poisoned(Files.createDirectory(directory.resolve("none")), "colour")) {
      Recommendation advice = recommend(m, s);
      assertThat(advice.warnings()).anyMatch(w -> w.contains("No training step could be timed"));
      assertThat(advice.price().seconds()).isPositive().isFinite();
      requireWhole(advice, s);
    }
  }

  @Example
  void manyTasksAreWeighed() throws IOException {
    List<Task> many = new ArrayList<>();
    for (int i = 0; i < 20; i++) {
      many.add(task("task " + i, Form.values()[i % 6], 6, 2, i));
    }
    Setting s =
        new Setting(
            many,
            Hyperparameters.builder().examplesPerStep(4).build(),
            ComputeBudget.unlimited(),
            false);
    requireWhole(recommend(model, s), s);
  }

  @Example
  void aTaskWithoutAUsableExampleIsRefusedAsByTraining() {
    Setting s = two(Task.builder("long").train(List.of(example(Form.LONG, 1, 0))).build());
    assertThatThrownBy(() -> recommend(model, s))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'long'")
        .hasMessageContaining("skipped");
  }
}
