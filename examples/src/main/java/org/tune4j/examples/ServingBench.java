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
 * Generation beside training on one model: what either gets of the machine by the share that the
 * training gives. Texts of 40 tokens are generated one after the other by one thread.
 */
final class ServingBench {
  private static final int TOKENS = 40;
  private static final int UNCOUNTED = 2; // steps

  private final LanguageModel model;
  private final List<Task> tasks;
  private final LoraConfig lora;

  ServingBench(LanguageModel model, List<Task> tasks, LoraConfig lora) {
    this.model = model;
    this.tasks = tasks;
    this.lora = lora;
  }

  /** Returns rates without the other, and of both beside each other by share. */
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
    List<Map<String, Object>> beside = new ArrayList<>();
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
      beside.add(row);
    }
    result.put("beside", beside);
    return result;
  }

  private record Rates(double trained, double generated) {}

  /** Counts between the ends of steps, so that neither's beginning counts. */
  private Rates train(double share, AtomicInteger generated) throws IOException {
    Path output = Files.createTempDirectory("tune4j-bench");
    long[] tokens = new long[1];
    int[] steps = new int[1];
    long[] times = new long[2];
    int[] texts = new int[2];
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
                  if (++steps[0] > UNCOUNTED) {
                    tokens[0] += step.tokens();
                  }
                  int at = steps[0] > UNCOUNTED ? 1 : 0;
                  times[at] = System.nanoTime();
                  texts[at] = generated.get();
                }
              })
          .run()
          .close();
    } finally {
      AtomicFiles.deleteRecursively(output);
    }
    double seconds = (times[1] - times[0]) / 1e9;
    return new Rates(tokens[0] / seconds, (texts[1] - texts[0]) / seconds);
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
