package org.tune4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.model.Generation;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.text.Message;
import org.tune4j.core.train.ConsoleProgress;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.eval.Evaluation;
import org.tune4j.eval.Experiment;
import org.tune4j.eval.ExperimentResult;
import org.tune4j.eval.advice.ComputeBudget;
import org.tune4j.eval.advice.Recommendation;
import org.tune4j.eval.advice.StrategyRecommender;
import org.tune4j.eval.report.Report;
import org.tune4j.examples.common.Bundled;
import org.tune4j.lora.AdapterSet;
import org.tune4j.lora.LoraAdapter;
import org.tune4j.lora.LoraConfig;
import org.tune4j.lora.PeftFormat;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;
import org.tune4j.strategies.Independent;
import org.tune4j.strategies.MultiTask;
import org.tune4j.strategies.PlanContext;
import org.tune4j.strategies.Sequential;
import org.tune4j.strategies.TrainingStrategy;

/** The README's examples: they compile, run, and are those that the README shows. */
class ReadmeTest {
  private static final Path README = Path.of("..", "README.md");
  private static final Path THIS =
      Path.of("src", "test", "java", "org", "tune4j", "examples", "ReadmeTest.java");

  private static final Pattern IMPORT = Pattern.compile("^import ([\\w.]+);\\n", Pattern.MULTILINE);

  @TempDir private Path runs;

  @Test
  void examplesAreThoseOfThisFile() throws IOException {
    String source = Files.readString(THIS).replaceAll("\\s", "");
    List<String> blocks = blocks();
    assertThat(blocks).hasSizeGreaterThanOrEqualTo(7);
    for (String block : blocks) {
      assertThat(source).contains(IMPORT.matcher(block).replaceAll("").replaceAll("\\s", ""));
    }
  }

  /** Whoever copies an example knows where its types are from. */
  @Test
  void examplesImportWhatTheyUse() throws IOException {
    List<String> imports =
        IMPORT
            .matcher(Files.readString(THIS))
            .results()
            .map(r -> r.group(1))
            .filter(i -> i.matches("(org\\.tune4j|java\\.util\\.[A-Z]|com\\.google).*"))
            .toList();
    assertThat(imports).hasSizeGreaterThan(30);
    for (String block : blocks()) {
      String body = IMPORT.matcher(block).replaceAll("").replaceAll("//.*|\"[^\"]*\"", "");
      List<String> needed =
          imports.stream()
              .filter(
                  i -> body.matches("(?s).*\\b" + i.substring(i.lastIndexOf('.') + 1) + "\\b.*"))
              .toList();
      List<String> given = IMPORT.matcher(block).results().map(r -> r.group(1)).toList();
      assertThat(given).as(block).containsExactlyElementsOf(needed);
    }
  }

  private static List<String> blocks() throws IOException {
    return Pattern.compile("```java\\n(.*?)```", Pattern.DOTALL)
        .matcher(Files.readString(README))
        .results()
        .map(r -> r.group(1))
        .toList();
  }

  @Test
  void commandsAndOptionsExist() throws IOException {
    Matcher runs =
        Pattern.compile("-Dexec\\.args=\"(\\S+)([^\"]*)\"").matcher(Files.readString(README));
    int count = 0;
    while (runs.find()) {
      count++;
      String help = Cli.run(runs.group(1), "--help").out();
      assertThat(help).as(runs.group()).isNotEmpty();
      Matcher options = Pattern.compile("--[a-z-]+").matcher(runs.group(2));
      while (options.find()) {
        assertThat(help).as(runs.group()).contains(options.group());
      }
    }
    assertThat(count).isGreaterThanOrEqualTo(5);
  }

  @Test
  void tasksAreMadeFromCode() {
    List<Example> examples = new ArrayList<>();
    for (String verb : List.of("give", "take", "bring", "carry", "send")) {
      examples.add(Example.of("to " + verb + "\nPart of speech:", " verb"));
      examples.add(Example.of("one who can " + verb + "\nPart of speech:", " noun"));
    }
    Task words =
        Task.builder("words")
            .split(examples, 0.2, 0.2, 0) // shares for validation and test, and a seed
            .build(); // few different completions: a classification
    Task chats =
        Task.builder("chats") // for a model with a chat template
            .train(
                List.of(
                    Example.conversation(
                        Message.user("What is a dog?"), Message.assistant("An animal."))))
            .build();
    assertThat(words.type()).isEqualTo(Task.Type.CLASSIFICATION);
    assertThat(words.validation()).hasSize(2);
    assertThat(words.test()).hasSize(2);
    assertThat(chats.train()).hasSize(1);
  }

  @Test
  void examplesRun() throws IOException {
    Task glosses = Bundled.task("noun-category").limit(16, 4, 4);
    Task parts = Bundled.task("part-of-speech").limit(16, 4, 4);
    Path directory = Bundled.baseModel();

    try (LanguageModel model = LanguageModel.load(directory);
        FineTuningResult result =
            FineTuner.of(model)
                .tasks(glosses, parts)
                .lora(LoraConfig.builder().rank(8).alpha(16).build())
                .strategy(Sequential.inOrder(glosses, parts).replay(0.2))
                .hyperparameters(Hyperparameters.builder().learningRate(2e-3).epochs(1).build())
                .listener(ConsoleProgress.toStandardError())
                .output(runs.resolve("first"))
                .run()) {
      Generation g =
          model.generate(
              "give a name to\nPart of speech:",
              GenerationConfig.greedy(8),
              result.adaptersFor("part-of-speech"),
              System.out::print);
      assertThat(g.tokens()).isNotEmpty();
    }

    try (LanguageModel model = LanguageModel.load(directory)) {
      Recommendation advice =
          StrategyRecommender.of(model)
              .tasks(glosses, parts)
              .budget(ComputeBudget.ofSeconds(600))
              .output(runs.resolve("advised"))
              .recommend(); // where it takes a minute at most, the likeliest are trained
      System.out.println(advice); // strategy, confidence, reasons, alternatives with their prices
      advice.fineTuner().run().close(); // trains, or takes over what was trained

      Experiment experiment =
          Experiment.of(model)
              .tasks(glosses, parts)
              .strategies(MultiTask.proportional(), Independent.perTask())
              .output(runs.resolve("comparison"));
      ExperimentResult result = experiment.run(); // compares on validation splits
      ImmutableMap<String, Evaluation> test = experiment.test(result.best()); // after the choice
      Report.titled("Two tasks")
          .recommendation(advice)
          .experiment(result)
          .test(result.best().strategy(), test)
          .write(runs.resolve("report.html"));
      assertThat(runs.resolve("report.html")).exists();

      Path first = runs.resolve("comparison/independent/adapters/noun-category");
      Path second = runs.resolve("comparison/independent/adapters/part-of-speech");
      try (AdapterSet adapters = new AdapterSet(model)) {
        adapters.load("glosses", first);
        adapters.load("parts", second);
        Generation g =
            adapters.generate("to give\nPart of speech:", GenerationConfig.greedy(8), "parts");
        assertThat(g.tokens()).isNotEmpty();
      }
      try (LoraAdapter adapter = PeftFormat.load(model, "glosses", first)) {
        adapter.mergeIntoModel();
        model.save(runs.resolve("merged"), ElementType.BF16);
        LoraAdapter.unmerge(model);
      }
      assertThat(runs.resolve("merged/config.json")).exists();

      FineTuner.of(model)
          .tasks(glosses, parts)
          .strategy(new Curriculum())
          .output(runs.resolve("curriculum"))
          .run()
          .close();
      assertThat(runs.resolve("curriculum/adapters/curriculum")).isDirectory();
    }
  }

  /** The tasks with the shortest training sets first, then all of them together. */
  record Curriculum() implements TrainingStrategy {
    @Override
    public String name() {
      return "curriculum";
    }

    @Override
    public TrainingPlan plan(PlanContext context) {
      Map<String, Integer> small = new LinkedHashMap<>();
      context.tasks().stream()
          .filter(t -> t.train().size() < 500)
          .forEach(t -> small.put(t.name(), context.examples(t)));
      Stage all = stage("all", context.examples(), context);
      return small.isEmpty()
          ? TrainingPlan.of(name(), all)
          : TrainingPlan.of(name(), stage("small", small, context), all);
    }

    private Stage stage(String name, Map<String, Integer> examples, PlanContext context) {
      return Stage.named(name).train(examples, name()).serve(context.names(), name()).build();
    }
  }
}
