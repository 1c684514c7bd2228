package org.tune4j.dl4j;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.deeplearning4j.nn.conf.layers.BaseOutputLayer;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.DataSet;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.iterator.DataSetIterator;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.nd4j.linalg.dataset.api.preprocessor.DataNormalization;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.Task.Split;

/**
 * Something for a DL4J network to learn: data of any {@link DataSetIterator} or {@link
 * MultiDataSetIterator}, those of record readers included, and the output layer that learns it. The
 * iterators are read once, and their examples are held in memory.
 *
 * <p>Labels {@code [n, classes]} of which each row has a single 1 make it a classification, of
 * which the classes have names; others a regression or, in three dimensions, a sequence. Without an
 * {@linkplain Builder#output output layer of its own} it gets one like the network's, with as many
 * outputs as there are labels.
 *
 * <p>{@link #task()} is what strategies know of it: its examples are named by split and number, and
 * completed with the names of their classes. The data is looked up by those.
 */
public final class Dl4jTask {
  private final String name;
  private final Map<Split, Rows> rows;
  private final ImmutableList<String> labels;
  private final Optional<BaseOutputLayer> output;
  private final Optional<DataNormalization> normalizer;
  private final Task task;

  private Dl4jTask(Builder b) {
    name = b.name;
    rows = b.rows;
    output = b.output;
    normalizer = b.normalizer;
    Rows train = rows.get(Split.TRAIN);
    checkArgument(train.size() > 0, "task '%s' has no training examples", name);
    int outputs = outputs();
    for (Split s : Split.values()) {
      for (int i = 0; i < rows.get(s).size(); i++) {
        long found = rows.get(s).get(i).getLabels(0).size(1);
        checkArgument(
            found == outputs,
            "task '%s', %s: labels of %s values; the first training example has %s",
            name,
            key(s, i),
            found,
            outputs);
      }
    }
    boolean classification = true;
    for (Split s : Split.values()) {
      for (int i = 0; i < rows.get(s).size(); i++) {
        classification &= oneOf(rows.get(s).get(i).getLabels(0));
      }
    }
    checkArgument(
        b.labels.isEmpty() || classification,
        "task '%s': names of classes were given, but its labels are not one 1 among zeros",
        name);
    labels = classification ? names(b.labels, outputs) : ImmutableList.of();
    Task.Builder builder =
        Task.builder(name)
            .train(examples(Split.TRAIN))
            .validation(examples(Split.VALIDATION))
            .test(examples(Split.TEST));
    if (classification) {
      builder.labels(java.util.Set.copyOf(labels)).type(Task.Type.CLASSIFICATION);
    } else {
      builder.type(Task.Type.TEXT); // what is measured of it is its loss
    }
    task = builder.build();
  }

  private ImmutableList<String> names(List<String> given, int classes) {
    checkArgument(
        given.isEmpty() || given.size() == classes,
        "task '%s': %s names of classes %s, but labels of %s values",
        name,
        given.size(),
        given,
        classes);
    if (!given.isEmpty()) {
      return ImmutableList.copyOf(given);
    }
    List<String> numbers = new ArrayList<>();
    for (int i = 0; i < classes; i++) {
      numbers.add(Integer.toString(i));
    }
    return ImmutableList.copyOf(numbers);
  }

  private static boolean oneOf(INDArray labels) {
    if (labels.rank() != 2 || labels.size(1) < 2) {
      return false;
    }
    int ones = 0;
    for (float v : labels.dup('c').data().asFloat()) {
      if (v != 0 && v != 1) {
        return false;
      }
      ones += v == 1 ? 1 : 0;
    }
    return ones == 1;
  }

  private List<Example> examples(Split split) {
    List<Example> examples = new ArrayList<>();
    for (int i = 0; i < rows.get(split).size(); i++) {
      examples.add(Example.of(key(split, i), text(rows.get(split).get(i).getLabels(0))));
    }
    return examples;
  }

  static String key(Split split, int row) {
    return split.name().toLowerCase(Locale.ROOT) + " " + row;
  }

  /** Returns labels, or what a network says of them, as text: the class, or the values. */
  String text(INDArray values) {
    if (!labels.isEmpty()) {
      return labels.get(values.reshape(values.length()).argMax(0).getInt(0));
    }
    float[] all = values.dup('c').data().asFloat();
    StringBuilder text = new StringBuilder();
    for (float v : all) {
      text.append(text.length() == 0 ? "" : " ").append(String.format(Locale.ROOT, "%.4g", v));
    }
    return text.toString();
  }

  /** An example's place. */
  record Place(Split split, int row) {}

  /**
   * Returns where an example of {@link #task()} lies.
   *
   * @throws IllegalArgumentException if it is none of this task
   */
  Place place(Example example) {
    String[] parts = example.prompt().split(" ");
    for (Split s : Split.values()) {
      if (parts.length == 2 && parts[0].equals(s.name().toLowerCase(Locale.ROOT))) {
        int row = parts[1].matches("[0-9]{1,9}") ? Integer.parseInt(parts[1]) : -1;
        if (row >= 0 && row < rows.get(s).size()) {
          return new Place(s, row);
        }
      }
    }
    throw new IllegalArgumentException(
        "task '%s': no example is '%s'; those of Dl4jTask.task() are expected, such as '%s'"
            .formatted(name, example.prompt(), key(Split.TRAIN, 0)));
  }

  /** Returns an example as a batch of one. */
  MultiDataSet row(Place place) {
    return rows.get(place.split()).get(place.row());
  }

  Rows rows(Split split) {
    return rows.get(split);
  }

  /** Returns how many values its labels have for each example, or step of a sequence. */
  int outputs() {
    return Math.toIntExact(rows.get(Split.TRAIN).get(0).getLabels(0).size(1));
  }

  /** Returns what determines it, on one line. */
  String fingerprint() {
    StringBuilder text = new StringBuilder(name);
    rows.forEach(
        (split, r) ->
            text.append(' ').append(r.size()).append(' ').append(Long.toHexString(r.hash())));
    return text.toString();
  }

  /** Returns a builder of a task without examples. */
  public static Builder builder(String name) {
    return new Builder(name);
  }

  /** Builds a {@link Dl4jTask}. */
  public static final class Builder {
    private final String name;
    private final Map<Split, Rows> rows = new EnumMap<>(Split.class);
    private List<String> labels = List.of();
    private Optional<BaseOutputLayer> output = Optional.empty();
    private Optional<DataNormalization> normalizer = Optional.empty();

    private Builder(String name) {
      this.name = name;
      for (Split s : Split.values()) {
        rows.put(s, new Rows());
      }
    }

    /** Adds examples to train on. */
    public Builder train(DataSetIterator data) {
      return add(Split.TRAIN, data);
    }

    /** Adds examples to train on. */
    public Builder train(MultiDataSetIterator data) {
      return add(Split.TRAIN, data);
    }

    /** Adds examples to validate on. */
    public Builder validation(DataSetIterator data) {
      return add(Split.VALIDATION, data);
    }

    /** Adds examples to validate on. */
    public Builder validation(MultiDataSetIterator data) {
      return add(Split.VALIDATION, data);
    }

    /** Adds examples to test on. */
    public Builder test(DataSetIterator data) {
      return add(Split.TEST, data);
    }

    /** Adds examples to test on. */
    public Builder test(MultiDataSetIterator data) {
      return add(Split.TEST, data);
    }

    private Builder add(Split split, DataSetIterator data) {
      List<DataSet> batches = new ArrayList<>();
      data.forEachRemaining(batches::add);
      for (DataSet batch : batches) {
        add(split, batch.toMultiDataSet());
      }
      return this;
    }

    private Builder add(Split split, MultiDataSetIterator data) {
      data.forEachRemaining(batch -> add(split, batch));
      return this;
    }

    /** Adds the examples of a minibatch to a split. */
    public Builder add(Split split, MultiDataSet batch) {
      rows.get(split).add(batch, "task '%s', %s".formatted(name, split));
      return this;
    }

    /** Sets the names of the classes, in the order of the labels; the default is their numbers. */
    public Builder labels(List<String> value) {
      labels = value;
      return this;
    }

    /**
     * Sets the output layer, which is trained in full; its numbers of inputs and outputs are found
     * out if they are not set. The default is one like the network's.
     */
    public Builder output(BaseOutputLayer value) {
      output = Optional.of(value);
      return this;
    }

    /**
     * Sets the normaliser that the data went through (as the iterators' preprocessor), to be saved
     * with adapters and merged networks.
     */
    public Builder normalizer(DataNormalization value) {
      normalizer = Optional.of(value);
      return this;
    }

    /**
     * Returns the task.
     *
     * @throws IllegalArgumentException if there is nothing to train on, or labels differ in size
     */
    public Dl4jTask build() {
      return new Dl4jTask(this);
    }
  }

  /** Returns the name by which plans, results and folders know it. */
  public String name() {
    return name;
  }

  /** Returns what strategies know of it. */
  public Task task() {
    return task;
  }

  /** Returns the names of the classes, in the order of the labels; empty unless it has classes. */
  public ImmutableList<String> labels() {
    return labels;
  }

  /** Returns the output layer that was given. */
  public Optional<BaseOutputLayer> output() {
    return output;
  }

  /** Returns the normaliser of its data. */
  public Optional<DataNormalization> normalizer() {
    return normalizer;
  }

  @Override
  public String toString() {
    return task.toString();
  }
}
