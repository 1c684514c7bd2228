package org.tune4j.dl4j;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.progress.ProgressListener;

/**
 * Encodes examples as their places: task with split, and row, in the two "tokens" that an example
 * has, of which the second carries its loss.
 *
 * @param tasks of the model, by number
 */
record RowEncoder(int maxLength, ImmutableList<Dl4jTask> tasks) implements TaskEncoder {
  private static final ImmutableList<Task.Split> SPLITS = ImmutableList.copyOf(Task.Split.values());

  @Override
  public EncodingReport encode(
      Task task,
      Task.Split split,
      Consumer<EncodedExample> to,
      ProgressListener progress,
      BooleanSupplier cancelled) {
    int number = 0;
    while (number < tasks.size() && !tasks.get(number).name().equals(task.name())) {
      number++;
    }
    checkArgument(
        number < tasks.size(),
        "the network has no data of a task named '%s'; it has %s",
        task.name(),
        tasks.stream().map(Dl4jTask::name).toList());
    Dl4jTask known = tasks.get(number);
    int count = 0;
    for (Example e : task.split(split)) {
      if (cancelled.getAsBoolean() || Thread.currentThread().isInterrupted()) {
        throw new CancellationException("the encoding of task '" + task.name() + "' was cancelled");
      }
      Dl4jTask.Place place = known.place(e);
      to.accept(
          new EncodedExample(
              new int[] {number * SPLITS.size() + SPLITS.indexOf(place.split()), place.row()},
              new boolean[] {false, true},
              1,
              count++));
    }
    return new EncodingReport(count, 0, 0, 2L * count, count, count == 0 ? 0 : 2);
  }

  /** Returns the number of an encoded example's task. */
  static int task(EncodedExample example) {
    return example.ids()[0] / SPLITS.size();
  }

  /** Returns where an encoded example lies. */
  static Dl4jTask.Place place(EncodedExample example) {
    return new Dl4jTask.Place(SPLITS.get(example.ids()[0] % SPLITS.size()), example.ids()[1]);
  }
}
