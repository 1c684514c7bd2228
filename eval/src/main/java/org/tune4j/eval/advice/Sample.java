package org.tune4j.eval.advice;

import java.util.AbstractList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.Shuffles;
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
    int[] learn = shuffled(task.train(), seed, task.name());
    List<Example> held;
    if (task.validation().isEmpty()) {
      int n = Math.min(validation, learn.length / 4);
      held = pick(task.train(), Arrays.copyOfRange(learn, learn.length - n, learn.length), n);
      learn = Arrays.copyOf(learn, learn.length - n);
    } else {
      int[] order = shuffled(task.validation(), seed, task.name());
      held = pick(task.validation(), order, validation);
    }
    return task.withExamples(pick(task.train(), learn, train), held, List.of());
  }

  /** Returns a random part of a task's encoded examples, at most {@code n}. */
  static List<EncodedExample> of(List<EncodedExample> examples, int n, long seed, String name) {
    return pick(examples, shuffled(examples, seed, name), n);
  }

  private static int[] shuffled(List<?> examples, long seed, String name) {
    return Shuffles.numbers(examples.size(), new Random(seed * 31 + name.hashCode()));
  }

  private static <T> List<T> pick(List<T> examples, int[] order, int most) {
    return Arrays.stream(order).limit(most).mapToObj(examples::get).toList();
  }

  /** Returns the encoder that training uses with these hyperparameters. */
  static ExampleEncoder encoder(LanguageModel model, Hyperparameters h) {
    return model.encoder(h.maxLength(), h.lengthPolicy(), h.learnedTurns());
  }

  /** Returns every second example, and the others; one list only if there is one example only. */
  static List<List<EncodedExample>> halves(List<EncodedExample> examples) {
    return IntStream.range(0, Math.min(2, examples.size()))
        .mapToObj(first -> half(examples, first))
        .toList();
  }

  /** A view, as there may be more examples than the heap holds. */
  private static List<EncodedExample> half(List<EncodedExample> examples, int first) {
    return new AbstractList<>() {
      @Override
      public EncodedExample get(int index) {
        return examples.get(first + 2 * index);
      }

      @Override
      public int size() {
        return (examples.size() - first + 1) / 2;
      }
    };
  }

  /** Returns a task with the examples only that were encoded, and without a test split. */
  static Task usable(Task task, List<EncodedExample> train, List<EncodedExample> validation) {
    return task.select(
        train.stream().mapToInt(EncodedExample::example).toArray(),
        validation.stream().mapToInt(EncodedExample::example).toArray());
  }
}
