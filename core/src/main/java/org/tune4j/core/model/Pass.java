package org.tune4j.core.model;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.data.EncodedExample;

/**
 * Examples that are run at once, with the adapters that work on them.
 *
 * @param items sorted by lane
 * @param stacks of each lane, the adapters applied to its examples, in order
 */
public record Pass(ImmutableList<Item> items, ImmutableList<ImmutableList<Adapter>> stacks) {
  /**
   * An example.
   *
   * @param task index of its task
   * @param lane index of its lane
   */
  public record Item(int task, int lane, EncodedExample example) {}

  /** Returns the tokens of all examples. */
  public long tokens() {
    return items.stream().mapToLong(i -> i.example().ids().length).sum();
  }

  /**
   * Divides items into passes of at most {@code budget} tokens each (a longer example goes alone),
   * keeping their order.
   */
  public static List<Pass> divide(
      List<Item> items, ImmutableList<ImmutableList<Adapter>> stacks, int budget) {
    List<Pass> all = new ArrayList<>();
    int from = 0;
    int tokens = 0;
    for (int i = 0; i < items.size(); i++) {
      int n = items.get(i).example().ids().length;
      if (i > from && tokens + n > budget) {
        all.add(new Pass(ImmutableList.copyOf(items.subList(from, i)), stacks));
        from = i;
        tokens = 0;
      }
      tokens += n;
    }
    if (from < items.size()) {
      all.add(new Pass(ImmutableList.copyOf(items.subList(from, items.size())), stacks));
    }
    return all;
  }
}
