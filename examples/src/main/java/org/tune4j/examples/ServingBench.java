package org.tune4j.examples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.FineTuner;

/**
 * Measures generation during training on one model: the rates of both by the share of the time that
 * training yields. One thread generates texts of 40 tokens, one after another.
 */
final class ServingBench {
  private static final int TOKENS = 40;
  private static final int WARM_UP_STEPS = 2;

  private final LanguageModel model;
  private final List<Task> tasks;
  private final LoraConfig lora;

  ServingBench(LanguageModel model, List<Task> tasks, LoraConfig lora) {
    this.model = model;
    this.tasks = tasks;
    this.lora = lora;
  }

  /** Returns the rates of generation and training alone, and of both together for each share. */
  Map<String, Object> run(List<Double> shares) throws IOException {
    for (int i = 0; i < 5; i++) {
      generate(new AtomicInteger(), new AtomicBoolean());
    }
    Map<String, Object> result = new LinkedHashMap<>();
    long start = System.nanoTime();
    for (int i = 0; i < 10; i++) {
      generate(new AtomicInteger(), new AtomicBoolean());
    }
    result.put("seconds_of_40_tokens_alone", round((System.nanoTime() - start) / 1e10));
    result.put("training_tokens_per_s_alone", round(train(0, new AtomicInteger()).trained));
    List<Map<String, Object>> together = new ArrayList<>();
    for (double share : shares) {
      AtomicInteger generated = new AtomicInteger();
      AtomicBoolean done = new AtomicBoolean();
      Thread serving =
          new Thread(
              () -> {
                while (!done.get()) {
                  generate(generated, done);
                }
              });
      serving.start();
      Rates rates;
      try {
        rates = train(share, generated);
      } finally {
        done.set(true);
        try {
          serving.join();
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
        }
      }
      Map<String, Object> row = new LinkedHashMap<>();
      row.put("share", share);
      row.put("seconds_of_40_tokens", round(TOKENS / rates.generated));
      row.put("training_tokens_per_s", round(rates.trained));
      together.add(row);
    }
    result.put("beside", together);
    return result;
  }

  private record Rates(double trained, double generated) {}

  /**
   * Measures from the end of the warm-up to the end of the last step, so that start-up times do not
   * count.
   */
  private Rates train(double share, AtomicInteger generated) throws IOException {
    Path output = Files.createTempDirectory("tune4j-bench");
    long[] tokens = new long[1];
    int[] steps = new int[1];
    long[] times = new long[2];
    int[] generatedTokens = new int[2];
    try {
      FineTuner.of(model)
          .tasks(tasks)
          .lora(lora)
          .hyperparameters(Hyperparameters.builder().learningRate(2e-3).build())
          .output(output)
          .servingShare(share)
          .listener(
              new TrainingListener() {
                @Override
                public void onStep(StepRecord step) {
                  if (++steps[0] > WARM_UP_STEPS) {
                    tokens[0] += step.tokens();
                  }
                  int end = steps[0] > WARM_UP_STEPS ? 1 : 0;
                  times[end] = System.nanoTime();
                  generatedTokens[end] = generated.get();
                }
              })
          .run()
          .close();
    } finally {
      AtomicFiles.deleteRecursively(output);
    }
    double seconds = (times[1] - times[0]) / 1e9;
    return new Rates(tokens[0] / seconds, (generatedTokens[1] - generatedTokens[0]) / seconds);
  }

  private void generate(AtomicInteger tokens, AtomicBoolean done) {
    model
        .cancelled(
            () -> {
              tokens.incrementAndGet();
              return done.get();
            })
        .generate(
            "to move quickly on foot\nPart of speech:",
            GenerationConfig.builder().maxNewTokens(TOKENS).endTokens(Set.of()).build(),
            List.of());
  }

  private static double round(double value) {
    return Math.round(value * 1000) / 1000.0;
  }
}
