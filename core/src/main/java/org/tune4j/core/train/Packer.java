package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.Routing;

/**
 * Packs examples end to end into batches. Examples of one adapter are neighbours, so that it works
 * on one slice of rows; each slice is filled up to a multiple of {@value #ROUND} rows, so that
 * engines see few shapes.
 */
final class Packer {
  static final int ROUND = 32;

  /** An example of a task, for an adapter. */
  record Item(int task, int lane, EncodedExample example) {}

  /**
   * A packed batch.
   *
   * @param batch rows
   * @param routing adapters on their slices
   * @param items what was packed, in order
   * @param tokens rows that are not filler
   * @param lossLane adapter (lane) of each loss row
   */
  record Packed(Batch batch, Routing routing, List<Item> items, long tokens, int[] lossLane) {}

  private Packer() {}

  /** Packs items, sorted by lane; {@code stacks} gives each lane's adapters. */
  static Packed pack(List<Item> items, List<List<Adapter>> stacks, int filler) {
    int capacity =
        items.stream().mapToInt(i -> i.example().ids().length).sum() + ROUND * (stacks.size() + 1);
    int[] ids = new int[capacity];
    int[] positions = new int[capacity];
    int[] targets = new int[capacity];
    int[] laneOf = new int[capacity];
    Arrays.fill(targets, -1);
    List<Integer> starts = new ArrayList<>(List.of(0));
    List<Integer> tasks = new ArrayList<>();
    ImmutableList.Builder<Routing.Slice> slices = ImmutableList.builder();
    int row = 0;
    long tokens = 0;
    int i = 0;
    while (i < items.size()) {
      int lane = items.get(i).lane();
      int sliceStart = row;
      for (; i < items.size() && items.get(i).lane() == lane; i++) {
        EncodedExample e = items.get(i).example();
        int n = e.ids().length;
        for (int t = 0; t < n; t++, row++) {
          ids[row] = e.ids()[t];
          positions[row] = t;
          laneOf[row] = lane;
          if (t + 1 < n && e.learned()[t + 1]) {
            targets[row] = e.ids()[t + 1];
          }
        }
        tokens += n;
        starts.add(row);
        tasks.add(items.get(i).task());
      }
      int rest = Math.floorMod(sliceStart - row, ROUND);
      if (rest > 0) {
        for (int t = 0; t < rest; t++, row++) {
          ids[row] = filler;
          positions[row] = t;
        }
        starts.add(row);
        tasks.add(-1);
      }
      if (!stacks.get(lane).isEmpty()) {
        slices.add(
            new Routing.Slice(
                sliceStart, row - sliceStart, ImmutableList.copyOf(stacks.get(lane))));
      }
    }
    Batch batch =
        new Batch(
            Arrays.copyOf(ids, row),
            Arrays.copyOf(positions, row),
            starts.stream().mapToInt(Integer::intValue).toArray(),
            Arrays.copyOf(targets, row),
            tasks.stream().mapToInt(Integer::intValue).toArray(),
            null);
    int[] lossRows = batch.lossRows();
    int[] lossLane = new int[lossRows.length];
    for (int k = 0; k < lossRows.length; k++) {
      lossLane[k] = laneOf[lossRows[k]];
    }
    return new Packed(batch, new Routing(slices.build()), items, tokens, lossLane);
  }

  /**
   * Splits items into passes of at most {@code budget} tokens each (a longer example goes alone),
   * keeping their order.
   */
  static List<List<Item>> passes(List<Item> items, int budget) {
    List<List<Item>> all = new ArrayList<>();
    List<Item> current = new ArrayList<>();
    int tokens = 0;
    for (Item item : items) {
      int n = item.example().ids().length;
      if (!current.isEmpty() && tokens + n > budget) {
        all.add(current);
        current = new ArrayList<>();
        tokens = 0;
      }
      current.add(item);
      tokens += n;
    }
    if (!current.isEmpty()) {
      all.add(current);
    }
    return all;
  }
}
