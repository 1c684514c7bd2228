package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.testing.TinyRuns;

/** Training on data that lies in files gives the bits of training on data in the heap. */
class StoredDataTest {
  private static final String HEAP = "tune4j.data.heapBytes";

  @TempDir Path directory;

  private Path rows() throws IOException {
    Random random = new Random(5);
    Path path = directory.resolve("rows.jsonl");
    try (BufferedWriter out = Files.newBufferedWriter(path)) {
      for (int i = 0; i < 60; i++) {
        out.write(
            "{\"prompt\": \"w%d w%d\", \"completion\": \" w%d\"}\n"
                .formatted(random.nextInt(60), i, random.nextInt(60)));
      }
    }
    return path;
  }

  private ResumeTest.Outcome train(LanguageModel model, String run, long heap, int stopAfter)
      throws IOException {
    System.setProperty(HEAP, Long.toString(heap));
    try {
      AtomicInteger steps = new AtomicInteger();
      FineTuner tuner =
          FineTuner.of(model)
              .tasks(List.of(Task.fromFile("a", rows()), TinyRuns.task("b", 20, 6)))
              .lora(TinyRuns.LORA)
              .strategy(Sequential.inOrder(List.of("a", "b")))
              .hyperparameters(
                  TinyRuns.hyperparameters().validateEvery(3).checkpointEvery(4).build())
              .output(directory.resolve(run))
              .resume()
              .cancelled(() -> steps.get() >= stopAfter)
              .listener(
                  new TrainingListener() {
                    @Override
                    public void onStep(StepRecord step) {
                      steps.incrementAndGet();
                    }
                  });
      try (FineTuningResult result = tuner.run()) {
        return ResumeTest.Outcome.of(result.training());
      }
    } finally {
      System.clearProperty(HEAP);
    }
  }

  @Test
  void bitsAreTheSameAlsoWhereARunIsResumedTheOtherWay() throws IOException {
    int all = Integer.MAX_VALUE;
    try (LanguageModel model = TinyRuns.load(TinyRuns.writeModel(directory.resolve("model")))) {
      ResumeTest.Outcome inHeap = train(model, "heap", Long.MAX_VALUE, all);
      assertThat(inHeap.steps()).hasSizeGreaterThan(10);
      assertThat(train(model, "files", 0, all)).isEqualTo(inHeap);
      train(model, "resumed", 0, 5);
      assertThat(train(model, "resumed", Long.MAX_VALUE, all)).isEqualTo(inHeap);
    }
  }
}
