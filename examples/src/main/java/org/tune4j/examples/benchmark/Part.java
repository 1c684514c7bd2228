package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;

/**
 * One task of a scenario: examples of a source task, optionally modified.
 *
 * @param name unique in the scenario
 * @param source task that provides the examples
 * @param from index of the first training example
 * @param train number of training examples
 * @param noise share of training and validation examples whose answer is replaced by that of
 *     another example; the test split stays clean
 * @param relabelled share of the labels that are rotated among each other: the prompts stay the
 *     same, and some or all answers contradict those of the source. The test split is relabelled
 *     too, as this is the convention of the task
 * @param cue appended to the last line of the prompt, before its colon, so that a model can tell
 *     conventions apart; empty for none
 */
public record Part(
    String name, String source, int from, int train, double noise, double relabelled, String cue) {
  static Part of(String source, int train) {
    return new Part(source, source, 0, train, 0, 0, "");
  }

  Part named(String value) {
    return new Part(value, source, from, train, noise, relabelled, cue);
  }

  Part from(int value) {
    return new Part(name, source, value, train, noise, relabelled, cue);
  }

  Part train(int value) {
    return new Part(name, source, from, value, noise, relabelled, cue);
  }

  Part noise(double value) {
    return new Part(name, source, from, train, value, relabelled, cue);
  }

  Part relabelled(double value) {
    return new Part(name, source, from, train, noise, value, cue);
  }

  Part cue(String value) {
    return new Part(name, source, from, train, noise, relabelled, value);
  }

  /**
   * Returns the task.
   *
   * @param whole the source task
   * @param validation maximum number of validation examples; also limited to the number of training
   *     examples, or to 10 if there are fewer
   * @param test maximum number of test examples
   */
  Task task(Task whole, int validation, int test) {
    if (from + train > whole.train().size()) {
      throw new IllegalArgumentException(
          "%s: training examples %d to %d of '%s' are needed; it has %d"
              .formatted(name, from, from + train, source, whole.train().size()));
    }
    Random random = new Random(31L * name.hashCode() + train);
    Map<String, String> convention = convention(whole);
    List<Example> learned =
        noisy(changed(whole.train().subList(from, from + train), convention), random);
    List<Example> held =
        noisy(
            changed(
                first(whole.validation(), Math.min(validation, Math.max(10, train))), convention),
            random);
    List<Example> tested = changed(first(whole.test(), test), convention);
    Task.Builder task = Task.builder(name).type(whole.type());
    if (!whole.labels().isEmpty()) {
      task.labels(whole.labels());
    }
    return task.train(learned).validation(held).test(tested).build();
  }

  private static List<Example> first(List<Example> all, int most) {
    return all.subList(0, Math.min(most, all.size()));
  }

  /** Returns the new labels by old ones. */
  private Map<String, String> convention(Task whole) {
    Map<String, String> convention = new LinkedHashMap<>();
    List<String> labels = whole.labels().asList();
    int rotated = (int) Math.round(relabelled * labels.size());
    if (relabelled > 0 && rotated < 2) {
      throw new IllegalArgumentException(
          "%s: %s of the %d labels of '%s' cannot be exchanged among each other"
              .formatted(name, relabelled, labels.size(), source));
    }
    for (int i = 0; i < rotated; i++) {
      convention.put(labels.get(i), labels.get((i + 1) % rotated));
    }
    return convention;
  }

  private List<Example> changed(List<Example> examples, Map<String, String> convention) {
    List<Example> changed = new ArrayList<>();
    for (Example e : examples) {
      int colon = e.prompt().lastIndexOf(':');
      String prompt =
          cue.isEmpty()
              ? e.prompt()
              : e.prompt().substring(0, colon) + cue + e.prompt().substring(colon);
      changed.add(Example.of(prompt, convention.getOrDefault(e.completion(), e.completion())));
    }
    return changed;
  }

  private List<Example> noisy(List<Example> examples, Random random) {
    ImmutableList<Example> clean = ImmutableList.copyOf(examples);
    List<Example> noisy = new ArrayList<>();
    for (Example e : clean) {
      noisy.add(
          random.nextDouble() < noise
              ? Example.of(e.prompt(), clean.get(random.nextInt(clean.size())).completion())
              : e);
    }
    return noisy;
  }
}
