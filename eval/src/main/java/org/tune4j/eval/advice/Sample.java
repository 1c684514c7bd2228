package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Hyperparameters;

/**
 * Seeded samples of tasks, and their examples as tokens and batches: what all probes start from.
 */
final class Sample {
  /** Rows are filled up to a multiple of this, as in training, so that engines see few shapes. */
  private static final int ROUND = 32;

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

  /**
   * Splits examples, in order, into parts of at most {@code tokens} tokens; a longer one is alone.
   */
  static List<List<EncodedExample>> passes(List<EncodedExample> examples, int tokens) {
    List<List<EncodedExample>> all = new ArrayList<>();
    List<EncodedExample> current = new ArrayList<>();
    int held = 0;
    for (EncodedExample e : examples) {
      if (!current.isEmpty() && held + e.ids().length > tokens) {
        all.add(current);
        current = new ArrayList<>();
        held = 0;
      }
      current.add(e);
      held += e.ids().length;
    }
    if (!current.isEmpty()) {
      all.add(current);
    }
    return all;
  }

  /**
   * Packs examples end to end. Segment {@code i} is example {@code i}; a last segment of task -1
   * may fill up.
   */
  static Batch pack(List<EncodedExample> examples, LanguageModel model) {
    int used = examples.stream().mapToInt(e -> e.ids().length).sum();
    int rows = (used + ROUND - 1) / ROUND * ROUND;
    int[] ids = new int[rows];
    int[] positions = new int[rows];
    int[] targets = new int[rows];
    Arrays.fill(targets, -1);
    boolean filled = rows > used;
    int[] starts = new int[examples.size() + (filled ? 2 : 1)];
    int[] tasks = new int[starts.length - 1];
    int row = 0;
    for (int i = 0; i < examples.size(); i++) {
      EncodedExample e = examples.get(i);
      starts[i] = row;
      for (int t = 0; t < e.ids().length; t++, row++) {
        ids[row] = e.ids()[t];
        positions[row] = t;
        if (t + 1 < e.ids().length && e.learned()[t + 1]) {
          targets[row] = e.ids()[t + 1];
        }
      }
    }
    starts[examples.size()] = used;
    if (filled) {
      int filler = model.tokenizer().eos().iterator().next();
      tasks[examples.size()] = -1;
      starts[examples.size() + 1] = rows;
      for (int t = 0; row < rows; t++, row++) {
        ids[row] = filler;
        positions[row] = t;
      }
    }
    return new Batch(ids, positions, starts, targets, tasks, null);
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
