package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Hyperparameters;

/** Seeded samples of tasks, and their examples as tokens: what all probes start from. */
final class Sample {
  private Sample() {}

  /**
   * Returns a task with a random part of the examples. Without a validation split, validation
   * examples are held out of the training examples: at most a quarter of them.
   *
   * @param train most training examples
   * @param validation most validation examples
   */
  static Task of(Task task, int train, int validation, long seed) {
    List<Example> learn = shuffled(task.train(), seed, task.name());
    List<Example> held;
    if (task.validation().isEmpty()) {
      int n = Math.min(validation, learn.size() / 4);
      held = learn.subList(learn.size() - n, learn.size());
      learn = learn.subList(0, learn.size() - n);
    } else {
      held = shuffled(task.validation(), seed, task.name());
    }
    return task.withExamples(
        learn.subList(0, Math.min(train, learn.size())),
        held.subList(0, Math.min(validation, held.size())),
        List.of());
  }

  /** Returns a random part of a task's encoded examples, at most {@code n}. */
  static List<EncodedExample> of(List<EncodedExample> examples, int n, long seed, String name) {
    return shuffled(examples, seed, name).subList(0, Math.min(n, examples.size()));
  }

  private static <T> List<T> shuffled(List<T> examples, long seed, String name) {
    List<T> all = new ArrayList<>(examples);
    Collections.shuffle(all, new Random(seed * 31 + name.hashCode()));
    return all;
  }

  /** Returns the encoder that training uses with these hyperparameters. */
  static ExampleEncoder encoder(LanguageModel model, Hyperparameters h) {
    return model.encoder(h.maxLength(), h.lengthPolicy(), h.learnedTurns());
  }

  /** Returns every second example, and the others; one list only if there is one example only. */
  static List<List<EncodedExample>> halves(List<EncodedExample> examples) {
    List<List<EncodedExample>> halves = new ArrayList<>();
    for (int first = 0; first < Math.min(2, examples.size()); first++) {
      ImmutableList.Builder<EncodedExample> half = ImmutableList.builder();
      for (int i = first; i < examples.size(); i += 2) {
        half.add(examples.get(i));
      }
      halves.add(half.build());
    }
    return halves;
  }

  /** Returns a task with the examples only that were encoded, and without a test split. */
  static Task usable(Task task, List<EncodedExample> train, List<EncodedExample> validation) {
    return task.withExamples(
        train.stream().map(e -> task.train().get(e.example())).toList(),
        validation.stream().map(e -> task.validation().get(e.example())).toList(),
        List.of());
  }
}
