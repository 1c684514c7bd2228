package org.tune4j.eval;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.atomic.AtomicInteger;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.Task.Split;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LossResult;
import org.tune4j.core.model.Routing;
import org.tune4j.core.progress.Progress;
import org.tune4j.core.text.Message;
import org.tune4j.lora.LoraAdapter;
import org.tune4j.lora.LoraConfig;

/** Evaluations against the model run on one sequence at a time. */
class EvaluatorTest {
  private static final Task LETTERS = TinyModel.letters("letters", 0, 30, 40, 20);

  @TempDir static Path directory;
  private static LanguageModel model;
  private static LoraAdapter adapter;

  @BeforeAll
  static void load() throws IOException {
    model = TinyModel.create(directory.resolve("model"));
    adapter = LoraConfig.builder().rank(4).alpha(16).build().create(model, "random", 1);
    float[] values = new float[adapter.parameters().size()];
    java.util.Random random = new java.util.Random(2);
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (0.2 * random.nextGaussian());
    }
    model.engine().lock().lock();
    try {
      model.engine().write(adapter.parameters().flat(), values);
      adapter.parameters().changed();
    } finally {
      model.engine().lock().unlock();
    }
  }

  @AfterAll
  static void close() {
    adapter.close();
    model.close();
  }

  private static ExampleEncoder encoder(int maxLength) {
    return new ExampleEncoder(
        model.tokenizer(), model.chatTemplate(), maxLength, LengthPolicy.TRUNCATE_PROMPT);
  }

  /** The log-likelihood of what an example learns, of a sequence run alone. */
  private static double[] likelihood(EncodedExample e, List<? extends Adapter> adapters) {
    Batch batch = Batch.of(e.ids());
    LossResult loss = model.loss(batch, Routing.all(batch.rows(), ImmutableList.copyOf(adapters)));
    double sum = 0;
    int n = 0;
    for (int i = 0; i + 1 < e.ids().length; i++) {
      if (e.learned()[i + 1]) {
        sum -= loss.losses()[i];
        n++;
      }
    }
    return new double[] {sum, n};
  }

  /** What the labels' sequences, run one by one, say is likeliest. */
  private static List<String> likeliest(
      Task task, List<? extends Adapter> adapters, boolean perToken) {
    List<String> all = new ArrayList<>();
    for (Example e : task.validation()) {
      String best = null;
      double highest = Double.NEGATIVE_INFINITY;
      for (String label : task.labels()) {
        Task one = Task.builder("one").train(List.of(Example.of(e.prompt(), label))).build();
        double[] of = likelihood(encoder(96).encode(one, Split.TRAIN).examples().get(0), adapters);
        double score = perToken ? of[0] / of[1] : of[0];
        if (score > highest) {
          highest = score;
          best = label;
        }
      }
      all.add(best);
    }
    return all;
  }

  private static List<String> predicted(Evaluation e) {
    return e.predictions().stream().map(Prediction::predicted).toList();
  }

  @Test
  void classifiesByTheLikelihoodOfEachLabelAsTrained() {
    List<String> withAdapter = likeliest(LETTERS, List.of(adapter), false);
    Evaluation e = Evaluator.of(model).evaluate(LETTERS, List.of(adapter));
    assertThat(predicted(e)).isEqualTo(withAdapter);
    assertThat(predicted(Evaluator.of(model).evaluate(LETTERS, List.of())))
        .isEqualTo(likeliest(LETTERS, List.of(), false))
        .isNotEqualTo(withAdapter);
    List<String> expected = LETTERS.validation().stream().map(Example::completion).toList();
    assertThat(e.primary()).isEqualTo(Metrics.ACCURACY);
    assertThat(e.value()).isEqualTo(Metrics.accuracy().score(withAdapter, expected));
    assertThat(e.score()).isCloseTo(e.value(), Offset.offset(1e-12));
    assertThat(e.metrics().get(Metrics.MACRO_F1))
        .isEqualTo(Metrics.macroF1(LETTERS.labels()).score(withAdapter, expected));
    assertThat(e.count()).isEqualTo(40);
    assertThat(e.split()).isEqualTo(Split.VALIDATION);
    assertThat(e.classification().accuracy()).isCloseTo(e.value(), Offset.offset(1e-12));
    assertThat(e.classification().getConfusion().getActualTotal(0))
        .isEqualTo((int) expected.stream().filter(" maybe"::equals).count());
    assertThat(e.predictions().get(3).prompt()).isEqualTo(LETTERS.validation().get(3).prompt());
  }

  @Test
  void dividesByTheLabelsLengthWhereAsked() {
    List<String> perToken = likeliest(LETTERS, List.of(adapter), true);
    assertThat(perToken).isNotEqualTo(likeliest(LETTERS, List.of(adapter), false));
    assertThat(
            predicted(
                Evaluator.of(model).lengthNormalization(true).evaluate(LETTERS, List.of(adapter))))
        .isEqualTo(perToken);
  }

  @Test
  void theBudgetChangesNothing() {
    Evaluation whole = Evaluator.of(model).evaluate(LETTERS, List.of(adapter));
    for (int budget : new int[] {1, 60, 100_000}) {
      Evaluation e = Evaluator.of(model).tokensPerPass(budget).evaluate(LETTERS, List.of(adapter));
      assertThat(e.predictions()).isEqualTo(whole.predictions());
      assertThat(
              Evaluator.of(model)
                  .tokensPerPass(budget)
                  .perplexity(LETTERS, Split.TRAIN, List.of(adapter)))
          .isCloseTo(
              Evaluator.of(model).perplexity(LETTERS, Split.TRAIN, List.of(adapter)),
              Offset.offset(1e-3));
    }
  }

  @Test
  void scoresTheFirstOfASplitUpToTheLimit() {
    Evaluation whole = Evaluator.of(model).evaluate(LETTERS, Split.TEST, List.of());
    assertThat(whole.split()).isEqualTo(Split.TEST);
    assertThat(whole.count()).isEqualTo(20);
    Evaluation some = Evaluator.of(model).limit(7).evaluate(LETTERS, Split.TEST, List.of());
    assertThat(some.predictions()).isEqualTo(whole.predictions().subList(0, 7));
  }

  @Test
  void longPromptsLoseTheirFirstTokens() {
    Task full = classification("x".repeat(200) + "b 1:");
    Task cut = classification("x".repeat(96 - 7 - 4) + "b 1:"); // " maybe" and the end take 7
    assertThat(
            Evaluator.of(model).evaluate(full, List.of(adapter)).predictions().get(0).predicted())
        .isEqualTo(likeliest(cut, List.of(adapter), false).get(0));
  }

  private static Task classification(String prompt) {
    List<Example> one = List.of(Example.of(prompt, " yes"));
    return Task.builder("long")
        .labels(Set.of(" yes", " no", " maybe"))
        .train(one)
        .validation(one)
        .build();
  }

  private static String greedy(String prompt, int tokens) {
    return model.generate(prompt, GenerationConfig.greedy(tokens), List.of(adapter)).text();
  }

  @Test
  void generationTasksAreScoredByWhatIsGenerated() {
    List<Example> validation = new ArrayList<>();
    for (int i = 0; i < 10; i++) {
      String prompt = "go " + i + ">";
      String said = greedy(prompt, 5);
      validation.add(Example.of(prompt, i % 2 == 0 ? said + " " : said + "!x"));
    }
    Task task = generation(validation);
    Evaluation e = Evaluator.of(model).maxNewTokens(5).evaluate(task, List.of(adapter));
    assertThat(e.type()).isEqualTo(Task.Type.GENERATION);
    assertThat(predicted(e))
        .isEqualTo(validation.stream().map(x -> greedy(x.prompt(), 5)).toList());
    assertThat(e.primary()).isEqualTo(Metrics.EXACT_MATCH);
    assertThat(e.value()).isEqualTo(0.5);
    assertThat(e.scores()).containsExactly(1, 0, 1, 0, 1, 0, 1, 0, 1, 0);
    assertThat(e.metrics()).containsOnlyKeys(Metrics.EXACT_MATCH, Metrics.ROUGE_L, Metrics.BLEU);
    assertThatThrownBy(e::classification)
        .hasMessageContaining("'generate' is not a classification");
  }

  private static Task generation(List<Example> validation) {
    return Task.builder("generate")
        .type(Task.Type.GENERATION)
        .train(List.of(Example.of("go>", "12345")))
        .validation(validation)
        .build();
  }

  @Test
  void generatesHalfAsManyAgainAsTrainingCompletionsHave() {
    Task task = generation(List.of(Example.of("go 1>", "x")));
    // five characters and the end: 6 * 3 / 2 + 1
    assertThat(predicted(Evaluator.of(model).evaluate(task, List.of(adapter))))
        .containsExactly(greedy("go 1>", 10));
  }

  @Test
  void anotherMetricMayJudgeGenerationTasks() {
    List<Example> validation =
        List.of(Example.of("go 1>", "one two " + greedy("go 1>", 5)), Example.of("go 2>", "three"));
    Metric firstLetter =
        new Metric() {
          @Override
          public String name() {
            return "ends-alike";
          }

          @Override
          public boolean higherIsBetter() {
            return true;
          }

          @Override
          public double score(List<String> predictions, List<String> references) {
            double n = 0;
            for (int i = 0; i < predictions.size(); i++) {
              n += references.get(i).endsWith(predictions.get(i)) ? 1 : 0;
            }
            return n / predictions.size();
          }
        };
    Evaluation e =
        Evaluator.of(model)
            .maxNewTokens(5)
            .generationMetric(firstLetter)
            .evaluate(generation(validation), List.of(adapter));
    assertThat(e.primary()).isEqualTo("ends-alike");
    assertThat(e.value()).isEqualTo(0.5);
    assertThat(e.score()).isEqualTo(0.5);
    assertThat(e.metrics()).containsKey(Metrics.EXACT_MATCH);
  }

  @Test
  void classifiesByGenerationWhereAsked() {
    String said = greedy("a 1:", 7);
    List<Example> examples = List.of(Example.of("a 1:", said), Example.of("b 2:", " never"));
    Task task =
        Task.builder("spoken")
            .labels(Set.of(said, " never"))
            .train(examples)
            .validation(examples)
            .build();
    Evaluation e =
        Evaluator.of(model)
            .classifyBy(Evaluator.Scoring.GENERATION)
            .maxNewTokens(7)
            .metric(Metrics.rougeL())
            .evaluate(task, List.of(adapter));
    assertThat(predicted(e)).containsExactly(said, greedy("b 2:", 7));
    assertThat(e.value()).isEqualTo(0.5);
    assertThat(e.metrics()).containsKey(Metrics.ROUGE_L);
    assertThat(e.classification().getConfusion().getPredictedTotal(2)).isEqualTo(1);
  }

  @Test
  void generatesTheAssistantsLastTurn() {
    List<Message> messages =
        List.of(
            new Message("user", "hi"),
            new Message("assistant", "yo"),
            new Message("user", "bye"),
            new Message("assistant", "later"));
    Example talk = new Example("", "", ImmutableList.copyOf(messages), "talk.jsonl, line 1");
    Task task = Task.builder("talk").train(List.of(talk)).validation(List.of(talk)).build();
    Evaluation e = Evaluator.of(model).maxNewTokens(6).evaluate(task, List.of(adapter));
    Prediction p = e.predictions().get(0);
    assertThat(p.prompt()).isEqualTo("user:hi\nassistant:yo\nuser:bye\nassistant:");
    assertThat(p.expected()).isEqualTo("later");
    assertThat(p.predicted())
        .isEqualTo(
            model
                .chat(
                    messages.subList(0, 3),
                    GenerationConfig.greedy(6),
                    List.of(adapter),
                    text -> {})
                .text());
    Example unanswered =
        new Example("", "", ImmutableList.copyOf(messages.subList(0, 1)), "talk.jsonl, line 2");
    Task without =
        Task.builder("talk").train(List.of(talk)).validation(List.of(unanswered)).build();
    assertThatThrownBy(() -> Evaluator.of(model).evaluate(without, List.of()))
        .hasMessageContaining("talk.jsonl, line 2")
        .hasMessageContaining("no assistant turn");
  }

  @Test
  void textIsScoredByPerplexity() {
    List<Example> texts =
        List.of(Example.text("a short one"), Example.text("and another, longer one."));
    Task task = Task.builder("text").train(texts).validation(texts).build();
    Evaluation e = Evaluator.of(model).evaluate(task, List.of(adapter));
    double sum = 0;
    double tokens = 0;
    List<Double> probabilities = new ArrayList<>();
    for (EncodedExample x : encoder(96).encode(task, Split.VALIDATION).examples()) {
      double[] of = likelihood(x, List.of(adapter));
      sum += of[0];
      tokens += of[1];
      probabilities.add(Math.exp(of[0] / of[1]));
    }
    assertThat(tokens).isEqualTo(11 + 24); // each text's first token is given, its end is learned
    assertThat(e.primary()).isEqualTo(Metrics.PERPLEXITY);
    assertThat(e.value()).isCloseTo(Math.exp(-sum / tokens), Offset.offset(1e-3 * e.value()));
    assertThat(e.scores()[0]).isCloseTo(probabilities.get(0), Offset.offset(1e-5));
    assertThat(e.scores()[1]).isCloseTo(probabilities.get(1), Offset.offset(1e-5));
    assertThat(e.metrics().get(Metrics.TOKEN_PROBABILITY)).isEqualTo(e.score());
    assertThat(e.predictions().get(1).expected()).isEqualTo("and another, longer one.");
  }

  @Test
  void weightsThatAreNoNumbersAreSaidAndNotScored() {
    Task text =
        Task.builder("text")
            .train(List.of(Example.text("abc")))
            .validation(List.of(Example.text("abcd")))
            .build();
    try (LoraAdapter broken = LoraConfig.builder().rank(4).build().create(model, "broken", 1)) {
      float[] values = new float[broken.parameters().size()];
      java.util.Arrays.fill(values, Float.NaN);
      model.engine().lock().lock();
      try {
        model.engine().write(broken.parameters().flat(), values);
        broken.parameters().changed();
      } finally {
        model.engine().lock().unlock();
      }
      for (Task task : List.of(text, LETTERS)) {
        assertThatThrownBy(() -> Evaluator.of(model).evaluate(task, List.of(broken)))
            .isInstanceOf(IllegalStateException.class)
            .hasMessageContaining("'" + task.name() + "', example 0")
            .hasMessageContaining("not finite");
      }
    }
  }

  @Test
  void aSingleLabelIsAlwaysRight() {
    Task one =
        Task.builder("one")
            .labels(java.util.Set.of(" yes"))
            .train(List.of(Example.of("a:", " yes")))
            .validation(List.of(Example.of("b:", " yes"), Example.of("c:", " yes")))
            .build();
    Evaluation e = Evaluator.of(model).evaluate(one, List.of());
    assertThat(e.score()).isEqualTo(1);
    assertThat(e.metrics().get(Metrics.MACRO_F1)).isEqualTo(1);
    assertThat(e.classification().getConfusion().getCount(0, 0)).isEqualTo(2);
  }

  @Test
  void perplexityIsOfWhatTrainingLearns() {
    double sum = 0;
    double tokens = 0;
    List<EncodedExample> encoded = encoder(96).encode(LETTERS, Split.VALIDATION).examples();
    for (EncodedExample x : encoded) {
      double[] of = likelihood(x, List.of());
      sum += of[0];
      tokens += of[1];
    }
    assertThat(tokens)
        .isEqualTo(encoded.stream().mapToInt(x -> x.ids().length - x.promptLength()).sum());
    double expected = Math.exp(-sum / tokens);
    assertThat(Evaluator.of(model).perplexity(LETTERS, Split.VALIDATION, List.of()))
        .isCloseTo(expected, Offset.offset(1e-3 * expected));
  }

  /** A prompt's last space goes into the label's first token, or not, as the label has it. */
  @Test
  void labelsAreScoredAsTheWholeTextsThatTrainingSees() {
    List<Example> examples = new ArrayList<>();
    for (int i = 0; i < 12; i++) {
      examples.add(Example.of((char) ('a' + i) + ": ", List.of("yes", " no", "maybe").get(i % 3)));
    }
    Task task =
        Task.builder("spaced")
            .labels(Set.of("yes", " no", "maybe"))
            .train(examples)
            .validation(examples)
            .build();
    assertThat(predicted(Evaluator.of(model).evaluate(task, List.of(adapter))))
        .isEqualTo(likeliest(task, List.of(adapter), false));
    assertThat(
            predicted(
                Evaluator.of(model).lengthNormalization(true).evaluate(task, List.of(adapter))))
        .isEqualTo(likeliest(task, List.of(adapter), true));
  }

  @Test
  void tellsHowFarItIs() {
    List<Progress> told = new ArrayList<>();
    Evaluator.of(model).tokensPerPass(200).progress(told::add).evaluate(LETTERS, List.of());
    assertThat(told)
        .isSortedAccordingTo(Comparator.comparingLong(Progress::done))
        .hasSizeGreaterThan(2)
        .allMatch(p -> p.work().equals("evaluating letters") && p.total() == 40)
        .endsWith(new Progress("evaluating letters", 40, 40, Progress.Unit.EXAMPLES));
  }

  @Test
  void stopsWhenCancelled() {
    AtomicInteger asked = new AtomicInteger();
    Evaluator evaluator =
        Evaluator.of(model).tokensPerPass(100).cancelled(() -> asked.incrementAndGet() > 2);
    assertThatThrownBy(() -> evaluator.evaluate(LETTERS, List.of()))
        .isInstanceOf(CancellationException.class)
        .hasMessageContaining("'letters'");
    asked.set(0);
    assertThatThrownBy(
            () -> evaluator.evaluate(generation(List.of(Example.of("go>", "x"))), List.of()))
        .isInstanceOf(CancellationException.class);
  }

  @Test
  void refusesWhatCannotBeMeasured() {
    Task noTest = Task.builder("small").train(LETTERS.train()).build();
    assertThatThrownBy(() -> Evaluator.of(model).evaluate(noTest, Split.TEST, List.of()))
        .hasMessageContaining("task 'small' has no test examples");
    assertThatThrownBy(() -> Evaluator.of(model).evaluate(noTest, List.of()))
        .hasMessageContaining("task 'small' has no validation examples");
    assertThatThrownBy(() -> Evaluator.of(model).limit(0)).hasMessageContaining("limit is 0");
  }

  @Test
  void adaptersOfAnotherModelAreRefusedWithBothNames(@TempDir Path folder) throws IOException {
    Task answers =
        Task.builder("answers")
            .train(List.of(Example.of("a", "b")))
            .validation(List.of(Example.of("a", "b"), Example.of("c", "d")))
            .type(Task.Type.GENERATION)
            .build();
    Task texts =
        Task.builder("texts")
            .train(List.of(Example.text("a")))
            .validation(List.of(Example.text("a b c")))
            .build();
    try (LanguageModel other = TinyModel.create(folder.resolve("other"));
        LoraAdapter its = LoraConfig.builder().rank(2).build().create(other, "its", 1)) {
      for (Task task : List.of(LETTERS, answers, texts)) {
        for (List<LoraAdapter> stack : List.of(List.of(its), List.of(adapter, its))) {
          assertThatThrownBy(() -> Evaluator.of(model).evaluate(task, stack))
              .isInstanceOf(IllegalArgumentException.class)
              .hasMessageContainingAll("adapter 'its'", other.name(), model.name());
        }
      }
    }
  }
}
