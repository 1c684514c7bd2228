package org.tune4j.core.model;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.tune4j.core.data.EncodedExample;

/**
 * Packs examples end to end into batches. Examples of the same lane are adjacent, so that its
 * adapters work on one slice of rows; each slice is filled up to a multiple of {@value
 * #ROW_MULTIPLE} rows, so that engines see few different shapes.
 */
public final class Packer {
  /** Slices are filled up to a multiple of this many rows. */
  static final int ROW_MULTIPLE = 32;

  /**
   * A packed pass.
   *
   * @param routing the adapters of each slice
   * @param lossItems for each row with a target, the index of its example in the pass
   */
  public record Packed(Batch batch, Routing routing, int[] lossItems) {}

  private Packer() {}

  /**
   * Packs a pass.
   *
   * @param filler token of filler rows
   */
  static Packed pack(Pass pass, int filler) {
    List<Pass.Item> items = pass.items();
    int capacity = Math.toIntExact(pass.tokens() + ROW_MULTIPLE * (pass.stacks().size() + 1L));
    int[] ids = new int[capacity];
    int[] positions = new int[capacity];
    int[] targets = new int[capacity];
    int[] itemOf = new int[capacity];
    Arrays.fill(targets, -1);
    List<Integer> starts = new ArrayList<>(List.of(0));
    List<Integer> tasks = new ArrayList<>();
    ImmutableList.Builder<Routing.Slice> slices = ImmutableList.builder();
    int row = 0;
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
          itemOf[row] = i;
          if (t + 1 < n && e.learned()[t + 1]) {
            targets[row] = e.ids()[t + 1];
          }
        }
        starts.add(row);
        tasks.add(items.get(i).task());
      }
      int rest = Math.floorMod(sliceStart - row, ROW_MULTIPLE);
      if (rest > 0) {
        for (int t = 0; t < rest; t++, row++) {
          ids[row] = filler;
          positions[row] = t;
        }
        starts.add(row);
        tasks.add(-1);
      }
      if (!pass.stacks().get(lane).isEmpty()) {
        slices.add(new Routing.Slice(sliceStart, row - sliceStart, pass.stacks().get(lane)));
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
    int[] lossItems = new int[lossRows.length];
    for (int k = 0; k < lossRows.length; k++) {
      lossItems[k] = itemOf[lossRows[k]];
    }
    return new Packed(batch, new Routing(slices.build()), lossItems);
  }
}
