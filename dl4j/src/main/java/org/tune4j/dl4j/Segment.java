package org.tune4j.dl4j;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.model.Pass;

/**
 * Examples of a pass that are of one task and one lane, as a batch.
 *
 * @param items their indices in the pass
 */
record Segment(int lane, String task, int[] items, MultiDataSet batch) {
  int size() {
    return items.length;
  }

  INDArray labels() {
    return batch.getLabels(0);
  }

  INDArray labelsMask() {
    return batch.getLabelsMaskArray(0);
  }

  /** Divides a pass, by shapes of features, then by lanes. */
  static List<List<Segment>> groups(Pass pass, List<Dl4jTask> tasks) {
    Integer[] order =
        IntStream.range(0, pass.items().size())
            .boxed()
            .sorted(
                Comparator.<Integer>comparingInt(i -> pass.items().get(i).lane())
                    .thenComparingInt(i -> RowEncoder.task(pass.items().get(i).example())))
            .toArray(Integer[]::new);
    Map<String, List<Segment>> groups = new LinkedHashMap<>();
    for (int from = 0; from < order.length; ) {
      Pass.Item first = pass.items().get(order[from]);
      int number = RowEncoder.task(first.example());
      Dl4jTask task = tasks.get(number);
      int to = from;
      List<MultiDataSet> rows = new ArrayList<>();
      for (; to < order.length; to++) {
        Pass.Item item = pass.items().get(order[to]);
        if (item.lane() != first.lane() || RowEncoder.task(item.example()) != number) {
          break;
        }
        rows.add(task.row(RowEncoder.place(item.example())));
      }
      int[] items = Arrays.stream(order, from, to).mapToInt(Integer::intValue).toArray();
      Segment made = new Segment(first.lane(), task.name(), items, Rows.batch(rows));
      groups.computeIfAbsent(made.shapes(), k -> new ArrayList<>()).add(made);
      from = to;
    }
    return List.copyOf(groups.values());
  }

  /** Divides segments by lanes, which are in order. */
  static List<List<Segment>> byLane(List<Segment> of) {
    Map<Integer, List<Segment>> lanes = new LinkedHashMap<>();
    of.forEach(s -> lanes.computeIfAbsent(s.lane(), k -> new ArrayList<>()).add(s));
    return List.copyOf(lanes.values());
  }

  private String shapes() {
    StringBuilder text = new StringBuilder();
    for (INDArray[] arrays : Arrays.asList(batch.getFeatures(), batch.getFeaturesMaskArrays())) {
      if (arrays != null) {
        for (INDArray a : arrays) {
          long[] shape = a == null ? new long[0] : a.shape();
          text.append(
              Arrays.toString(Arrays.copyOfRange(shape, Math.min(1, shape.length), shape.length)));
        }
      }
      text.append('|');
    }
    return text.toString();
  }

  /** Returns the features of segments of one shape as one batch, without labels. */
  static MultiDataSet features(List<Segment> segments) {
    if (segments.size() == 1) {
      return segments.get(0).batch();
    }
    return new org.nd4j.linalg.dataset.MultiDataSet(
        concat(segments.stream().map(s -> s.batch().getFeatures()).toList()),
        new INDArray[1],
        concat(segments.stream().map(s -> s.batch().getFeaturesMaskArrays()).toList()),
        null);
  }

  private static INDArray[] concat(List<INDArray[]> of) {
    INDArray[] first = of.get(0);
    if (first == null) {
      return null;
    }
    INDArray[] all = new INDArray[first.length];
    for (int i = 0; i < all.length; i++) {
      int index = i;
      all[i] =
          first[i] == null
              ? null
              : Nd4j.concat(0, of.stream().map(a -> a[index]).toArray(INDArray[]::new));
    }
    return all;
  }
}
