package org.tune4j.core.data;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import com.google.common.collect.ImmutableSortedSet;
import com.google.common.collect.Streams;
import com.google.common.primitives.ImmutableIntArray;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Something to learn: a name, with examples to train, validate and test on. Immutable.
 *
 * <p>A task is a classification if its label set was given or its files have a label column, or if
 * it has few distinct training completions (2 to {@value #MOST_INFERRED_LABELS}), each of which
 * occurs at least twice, and the other splits have no others; a text task if no example has a
 * prompt; a generation task otherwise. A given label set may have a single label: there is nothing
 * to tell apart then, but such a file can be trained on like any other.
 *
 * <p>Lists of examples are immutable. Those of large files are not in the heap: each access reads
 * the example from a temporary copy (see {@link TaskReader}).
 */
public final class Task {
  /** Most distinct completions that are inferred to be labels. */
  public static final int MOST_INFERRED_LABELS = 40;

  /** Kinds of tasks. */
  public enum Type {
    /** The completion is one of a known set of labels. */
    CLASSIFICATION,
    /** The completion is free text. */
    GENERATION,
    /** There is only text. */
    TEXT
  }

  /** Parts of the data. */
  public enum Split {
    /** To train on. */
    TRAIN,
    /** To decide by: early stopping, best checkpoint, comparison of strategies. */
    VALIDATION,
    /** To report on, and nothing else. */
    TEST
  }

  private final String name;
  private final Type type;
  private final ImmutableSortedSet<String> labels;
  private final List<Example> train;
  private final List<Example> validation;
  private final List<Example> test;
  private final boolean completionOnlyLoss;
  private final ImmutableList<FileReport> reports;

  private Task(Builder b) {
    name = b.name;
    train = Stored.copyOf(b.train);
    validation = Stored.copyOf(b.validation);
    test = Stored.copyOf(b.test);
    completionOnlyLoss = b.completionOnlyLoss;
    reports = ImmutableList.copyOf(b.reports);
    checkArgument(!name.isBlank(), "a task needs a name");
    checkArgument(!train.isEmpty(), "task '%s' has no training examples", name);
    for (Split s : Split.values()) {
      for (Example e : split(s)) {
        checkArgument(
            e.isConversation() || !e.completion().isBlank(),
            "task '%s', %s: an empty completion%s",
            name,
            s,
            e.origin().isEmpty() ? "" : " (" + e.origin() + ")");
      }
    }
    labels =
        ImmutableSortedSet.copyOf(
            b.labels != null
                ? b.labels
                : b.type == Type.CLASSIFICATION ? everyCompletion() : inferLabels());
    if (b.type != null) {
      type = b.type;
    } else if (!labels.isEmpty()) {
      type = Type.CLASSIFICATION;
    } else {
      type =
          train.stream().allMatch(e -> e.prompt().isEmpty() && !e.isConversation())
              ? Type.TEXT
              : Type.GENERATION;
    }
    if (type == Type.CLASSIFICATION) {
      for (Split s : Split.values()) {
        for (Example e : split(s)) {
          checkArgument(
              labels.contains(e.completion()),
              "task '%s', %s%s: the label '%s' is not in the label set %s",
              name,
              s,
              e.origin().isEmpty() ? "" : ", " + e.origin(),
              e.completion(),
              labels);
        }
      }
    }
  }

  private Set<String> everyCompletion() {
    return Streams.concat(train.stream(), validation.stream(), test.stream())
        .map(Example::completion)
        .collect(ImmutableSet.toImmutableSet());
  }

  private Set<String> inferLabels() {
    Map<String, Integer> counts = new HashMap<>();
    for (Example e : train) {
      if (e.isConversation() || e.prompt().isEmpty()) {
        return Set.of();
      }
      counts.merge(e.completion(), 1, Integer::sum);
      if (counts.size() > MOST_INFERRED_LABELS) {
        return Set.of();
      }
    }
    boolean labels =
        counts.size() >= 2
            && counts.values().stream().allMatch(n -> n >= 2)
            && Streams.concat(validation.stream(), test.stream())
                .allMatch(e -> counts.containsKey(e.completion()));
    return labels ? counts.keySet() : Set.of();
  }

  /** Returns a builder of a task without examples. */
  public static Builder builder(String name) {
    return new Builder(name);
  }

  /** Builds a {@link Task}. */
  public static final class Builder {
    private final String name;
    private List<Example> train = List.of();
    private List<Example> validation = List.of();
    private List<Example> test = List.of();
    private Set<String> labels;
    private Type type;
    private boolean completionOnlyLoss = true;
    private List<FileReport> reports = List.of();

    private Builder(String name) {
      this.name = name;
    }

    /** Sets the training examples. */
    public Builder train(List<Example> examples) {
      train = examples;
      return this;
    }

    /** Sets the validation examples. */
    public Builder validation(List<Example> examples) {
      validation = examples;
      return this;
    }

    /** Sets the test examples. */
    public Builder test(List<Example> examples) {
      test = examples;
      return this;
    }

    /**
     * Splits examples by a seeded shuffle, stratified by label where completions are few enough to
     * be labels.
     *
     * @param validationShare share of the examples to validate on, such as 0.1
     * @param testShare share to test on
     */
    public Builder split(
        List<Example> examples, double validationShare, double testShare, long seed) {
      checkArgument(
          validationShare >= 0 && testShare >= 0 && validationShare + testShare < 1,
          "shares %s for validation and %s for test leave nothing to train on",
          validationShare,
          testShare);
      Random random = new Random(seed);
      ImmutableIntArray.Builder forTrain = ImmutableIntArray.builder();
      ImmutableIntArray.Builder forValidation = ImmutableIntArray.builder();
      ImmutableIntArray.Builder forTest = ImmutableIntArray.builder();
      int seen = 0;
      int validated = 0;
      int tested = 0;
      for (int[] group : byLabel(examples)) {
        Shuffles.shuffle(group, random);
        seen += group.length;
        // rounds running totals, so that many small groups add up to the shares; each label keeps
        // at least one example to train on
        int most = group.length - 1;
        int v = (int) Math.round(seen * validationShare) - validated;
        v = Math.max(0, Math.min(most, v));
        int t = (int) Math.round(seen * testShare) - tested;
        t = Math.max(0, Math.min(most - v, t));
        validated += v;
        tested += t;
        forValidation.addAll(Arrays.stream(group, 0, v));
        forTest.addAll(Arrays.stream(group, v, v + t));
        forTrain.addAll(Arrays.stream(group, v + t, group.length));
      }
      List<List<Example>> parts = new ArrayList<>();
      for (ImmutableIntArray.Builder part : List.of(forTrain, forValidation, forTest)) {
        int[] indices = part.build().toArray();
        Shuffles.shuffle(indices, random);
        parts.add(Stored.select(examples, indices));
      }
      return train(parts.get(0)).validation(parts.get(1)).test(parts.get(2));
    }

    /**
     * Returns the indices of examples grouped by label, or in one group if there are many
     * completions.
     */
    private static List<int[]> byLabel(List<Example> examples) {
      Map<String, Integer> numbers = new LinkedHashMap<>();
      int[] label = new int[examples.size()];
      int at = 0;
      for (Example e : examples) {
        String completion = e.isConversation() ? "" : e.completion();
        label[at++] = numbers.computeIfAbsent(completion, k -> numbers.size());
        if (numbers.size() > MOST_INFERRED_LABELS) {
          break;
        }
      }
      if (numbers.size() > MOST_INFERRED_LABELS || 2 * numbers.size() > examples.size()) {
        return List.of(IntStream.range(0, examples.size()).toArray());
      }
      return IntStream.range(0, numbers.size())
          .mapToObj(n -> IntStream.range(0, label.length).filter(i -> label[i] == n).toArray())
          .toList();
    }

    /** Sets the label set; an example with any other completion is an error. */
    public Builder labels(Set<String> value) {
      labels = value;
      return this;
    }

    /**
     * Sets the kind instead of inferring it. The labels of a classification are all its
     * completions, unless they were given.
     */
    public Builder type(Type value) {
      type = value;
      if (value != Type.CLASSIFICATION && labels == null) {
        labels = Set.of();
      }
      return this;
    }

    /** Sets whether only completions carry loss; true by default. Otherwise prompts do as well. */
    public Builder completionOnlyLoss(boolean value) {
      completionOnlyLoss = value;
      return this;
    }

    Builder reports(List<FileReport> value) {
      reports = ImmutableList.copyOf(value);
      return this;
    }

    /**
     * Builds the task.
     *
     * @throws IllegalArgumentException if there is nothing to train on, a completion is empty, or a
     *     label is not in the label set
     */
    public Task build() {
      return new Task(this);
    }
  }

  /**
   * Reads a directory as {@link #fromDirectory(Path)} does, or a file as {@link #fromFile(String,
   * Path)} does. The task is named after the directory, or the file without its extension.
   *
   * @throws java.nio.file.NoSuchFileException if there is neither
   */
  public static Task read(Path path, TaskReader reader) throws IOException {
    return TaskFiles.read(TaskFiles.name(path), path, reader);
  }

  /** Like {@link #read(Path, TaskReader)} with the given name. */
  public static Task read(String name, Path path, TaskReader reader) throws IOException {
    return TaskFiles.read(name, path, reader);
  }

  /**
   * Reads a directory's {@code train}, {@code validation} (or {@code valid}, {@code dev}) and
   * {@code test} files with any of the extensions {@code .jsonl}, {@code .json}, {@code .csv},
   * optionally followed by {@code .gz}. The task is named after the directory. Without a validation
   * file, a tenth of the training examples is set aside, by a shuffle with seed 0.
   */
  public static Task fromDirectory(Path directory) throws IOException {
    return fromDirectory(directory, TaskReader.detecting());
  }

  /** Like {@link #fromDirectory(Path)} with the given reader. */
  public static Task fromDirectory(Path directory, TaskReader reader) throws IOException {
    return TaskFiles.directory(TaskFiles.name(directory), directory, reader);
  }

  /** Like {@link #fromDirectory(Path, TaskReader)} with the given name. */
  public static Task fromDirectory(String name, Path directory, TaskReader reader)
      throws IOException {
    return TaskFiles.directory(name, directory, reader);
  }

  /** Reads one file and splits it 80 : 10 : 10 by a shuffle with seed 0. */
  public static Task fromFile(String name, Path file) throws IOException {
    return fromFile(name, file, TaskReader.detecting());
  }

  /** Like {@link #fromFile(String, Path)} with the given reader. */
  public static Task fromFile(String name, Path file, TaskReader reader) throws IOException {
    return TaskFiles.file(name, file, reader);
  }

  /**
   * Checks that names are unique.
   *
   * @throws IllegalArgumentException if two tasks have the same name, or there are none
   */
  public static void requireDistinctNames(List<Task> tasks) {
    checkArgument(!tasks.isEmpty(), "no tasks were given");
    Set<String> names = new HashSet<>();
    for (Task t : tasks) {
      checkArgument(
          names.add(t.name()), "two tasks are named '%s'; give each a name of its own", t.name());
    }
  }

  /**
   * Returns the name, which identifies the task in plans, results and directories; unique within a
   * run.
   */
  public String name() {
    return name;
  }

  /** Returns the kind, which determines how the task is scored. */
  public Type type() {
    return type;
  }

  /** Returns the labels, sorted; empty unless this is a classification. */
  public ImmutableSortedSet<String> labels() {
    return type == Type.CLASSIFICATION ? labels : ImmutableSortedSet.of();
  }

  public List<Example> split(Split split) {
    return switch (split) {
      case TRAIN -> train;
      case VALIDATION -> validation;
      case TEST -> test;
    };
  }

  /** Returns the training examples; each access may read from disk. */
  public List<Example> train() {
    return train;
  }

  /** Returns the validation examples; may be empty. */
  public List<Example> validation() {
    return validation;
  }

  /** Returns the test examples; may be empty. */
  public List<Example> test() {
    return test;
  }

  /** Returns what its files had besides the examples; empty if the task was built in code. */
  public ImmutableList<FileReport> reports() {
    return reports;
  }

  /** Returns whether only completions carry loss, not prompts. */
  public boolean completionOnlyLoss() {
    return completionOnlyLoss;
  }

  /** Returns this task with at most the first so many training, validation and test examples. */
  public Task limit(int trainLimit, int validationLimit, int testLimit) {
    return withExamples(
        train.subList(0, Math.min(trainLimit, train.size())),
        validation.subList(0, Math.min(validationLimit, validation.size())),
        test.subList(0, Math.min(testLimit, test.size())));
  }

  /**
   * Returns this task with the examples at the given indices, in that order, and without a test
   * split.
   *
   * @param trainIndices at least one
   */
  public Task select(int[] trainIndices, int[] validationIndices) {
    return withExamples(
        Stored.select(train, trainIndices),
        Stored.select(validation, validationIndices),
        List.of());
  }

  /**
   * Returns this task with other examples and the same name, kind, labels and loss.
   *
   * @throws IllegalArgumentException as {@link Builder#build} does
   */
  public Task withExamples(List<Example> train, List<Example> validation, List<Example> test) {
    Builder b = builder(name).completionOnlyLoss(completionOnlyLoss).type(type);
    b.reports = reports;
    if (type == Type.CLASSIFICATION) {
      b.labels(labels);
    }
    return b.train(train).validation(validation).test(test).build();
  }

  @Override
  public String toString() {
    return "%s (%s%s; %d train, %d validation, %d test)"
        .formatted(
            name,
            type.name().toLowerCase(java.util.Locale.ROOT),
            labels().isEmpty() ? "" : ", " + labels.size() + " labels",
            train.size(),
            validation.size(),
            test.size());
  }
}
