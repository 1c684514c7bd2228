package org.tune4j.core.data;

import com.google.common.collect.ImmutableList;
import java.util.AbstractList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.RandomAccess;
import java.util.function.Function;
import org.tune4j.core.io.RecordFile;

/**
 * An immutable list in a file: each access reads and decodes the element anew. A selection in any
 * order takes 4 bytes of heap per element.
 */
final class Stored<T> extends AbstractList<T> implements RandomAccess {
  private final RecordFile file;
  private final Function<byte[], T> reader;
  private final int[] order; // indices of the list's records; null for all in order
  private final int from;
  private final int size;

  private Stored(RecordFile file, Function<byte[], T> reader, int[] order, int from, int size) {
    this.file = file;
    this.reader = reader;
    this.order = order;
    this.from = from;
    this.size = size;
  }

  /**
   * Returns a list of all records.
   *
   * @param reader decodes a record; must be thread-safe
   */
  static <T> Stored<T> of(RecordFile file, Function<byte[], T> reader) {
    return new Stored<>(file, reader, null, 0, file.size());
  }

  /** Returns an immutable copy, which is the list itself if it is stored. */
  static <T> List<T> copyOf(List<T> list) {
    return list instanceof Stored ? list : ImmutableList.copyOf(list);
  }

  /** Returns the elements at the given indices; stored if the list is. */
  static <T> List<T> select(List<T> list, int[] indices) {
    if (list instanceof Stored<T> stored) {
      int[] records = Arrays.stream(indices).map(stored::record).toArray();
      return new Stored<>(stored.file, stored.reader, records, 0, records.length);
    }
    return Arrays.stream(indices).mapToObj(list::get).collect(ImmutableList.toImmutableList());
  }

  private int record(int index) {
    Objects.checkIndex(index, size);
    return order == null ? from + index : order[from + index];
  }

  @Override
  public T get(int index) {
    return reader.apply(file.get(record(index)));
  }

  @Override
  public int size() {
    return size;
  }

  @Override
  public List<T> subList(int start, int end) {
    Objects.checkFromToIndex(start, end, size);
    return new Stored<>(file, reader, order, from + start, end - start);
  }
}
