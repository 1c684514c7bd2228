package org.tune4j.core.model;

import com.google.common.collect.AbstractIterator;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.Iterators;
import com.google.common.collect.PeekingIterator;
import java.util.List;
import java.util.stream.IntStream;
import org.tune4j.core.data.EncodedExample;

/**
 * Examples that are run together, with their adapters.
 *
 * @param items sorted by lane
 * @param stacks for each lane, the adapters applied to its examples, in order
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
   * Divides items lazily into passes of at most {@code budget} tokens each (a longer example goes
   * alone), keeping their order.
   */
  public static Iterable<Pass> divide(
      Iterable<Item> items, ImmutableList<ImmutableList<Adapter>> stacks, int budget) {
    return () ->
        new AbstractIterator<>() {
          private final PeekingIterator<Item> rest = Iterators.peekingIterator(items.iterator());

          @Override
          protected Pass computeNext() {
            if (!rest.hasNext()) {
              return endOfData();
            }
            ImmutableList.Builder<Item> part = ImmutableList.builder();
            long tokens = 0;
            do {
              Item item = rest.next();
              part.add(item);
              tokens += item.example().ids().length;
            } while (rest.hasNext() && tokens + rest.peek().example().ids().length <= budget);
            return new Pass(part.build(), stacks);
          }
        };
  }

  /** Divides examples of one task with one stack of adapters. */
  public static Iterable<Pass> divide(
      List<EncodedExample> examples, List<? extends Adapter> adapters, int budget) {
    return divide(
        () ->
            IntStream.range(0, examples.size())
                .mapToObj(i -> new Item(0, 0, examples.get(i)))
                .iterator(),
        ImmutableList.of(ImmutableList.copyOf(adapters)),
        budget);
  }
}
