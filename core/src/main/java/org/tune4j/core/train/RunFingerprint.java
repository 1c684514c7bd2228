package org.tune4j.core.train;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.AdapterFactory;

/**
 * Everything that determines a run, as text: model, engine, kind of adapter, hyperparameters, data
 * and plan. A checkpoint can only be continued by a run with the same fingerprint.
 */
record RunFingerprint(String text) {
  static RunFingerprint of(
      AdaptableModel model,
      AdapterFactory factory,
      Hyperparameters h,
      TrainingData data,
      TrainingPlan plan) {
    StringBuilder text = new StringBuilder();
    text.append(model.fingerprint())
        .append(' ')
        .append(model.engine().describe())
        .append(' ')
        .append(factory)
        .append('\n');
    text.append(h.fingerprint()).append('\n');
    return new RunFingerprint(text.append(describe(data)).append(plan.describe()).toString());
  }

  static String describe(TrainingData data) {
    StringBuilder text = new StringBuilder();
    for (String task : data.tasks()) {
      text.append(describe(task, data.train(task)));
    }
    for (String task : data.tasks()) {
      text.append("validation of ").append(describe(task, data.validation(task)));
    }
    return text.toString();
  }

  private static String describe(String task, List<EncodedExample> examples) {
    long hash = 17;
    for (int i = 0; i < examples.size(); i++) {
      EncodedExample e = examples.get(i);
      hash = hash * 31 + Arrays.hashCode(e.ids());
      hash = hash * 31 + Arrays.hashCode(e.learned());
    }
    return "%s: %s examples, %s%n".formatted(task, examples.size(), Long.toHexString(hash));
  }

  /**
   * Checks that a checkpoint is of this run.
   *
   * @throws IOException if it is not; the message has both fingerprints
   */
  void requireSame(String checkpoint, Path directory) throws IOException {
    if (!text.equals(checkpoint)) {
      throw new IOException(
          "%s belongs to another run and cannot be resumed; it was%n%s%nthis is%n%s"
              .formatted(directory, checkpoint, text));
    }
  }
}
