package org.tune4j.core.data;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.io.RecordFile;

/** Collects encoded examples in the heap, or in a file once they exceed {@link HeapShare}. */
final class EncodedList implements AutoCloseable {
  /**
   * Heap bytes of an example besides its tokens: three objects with their headers, and references.
   */
  private static final int OVERHEAD_BYTES = 80;

  private final long maxBytes = HeapShare.bytes();
  private List<EncodedExample> inHeap = new ArrayList<>();
  private long bytes;
  private RecordFile.Writer writer;

  /**
   * Appends an example.
   *
   * @throws UncheckedIOException if it cannot be written
   */
  void add(EncodedExample e) {
    try {
      if (writer == null) {
        inHeap.add(e);
        bytes += OVERHEAD_BYTES + (Integer.BYTES + 1L) * e.ids().length;
        if (bytes > maxBytes) {
          writer = RecordFile.writer();
          for (EncodedExample earlier : inHeap) {
            writer.append(write(earlier));
          }
          inHeap = List.of();
        }
      } else {
        writer.append(write(e));
      }
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    }
  }

  /**
   * Returns the examples.
   *
   * @throws UncheckedIOException if they cannot be written
   */
  List<EncodedExample> finish() {
    if (writer == null) {
      return ImmutableList.copyOf(inHeap);
    }
    try {
      return Stored.of(writer.finish(), EncodedList::read);
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    }
  }

  @Override
  public void close() {
    if (writer != null) {
      try {
        writer.close();
      } catch (IOException failed) {
        throw new UncheckedIOException(failed);
      }
    }
  }

  /** Writes learned tokens as their complement, which is negative. */
  private static byte[] write(EncodedExample e) {
    int[] ids = e.ids();
    ByteBuffer out = ByteBuffer.allocate((2 + ids.length) * Integer.BYTES);
    out.putInt(e.promptLength()).putInt(e.example());
    for (int t = 0; t < ids.length; t++) {
      checkArgument(ids[t] >= 0, "token %s", ids[t]);
      out.putInt(e.learned()[t] ? ~ids[t] : ids[t]);
    }
    return out.array();
  }

  private static EncodedExample read(byte[] record) {
    ByteBuffer in = ByteBuffer.wrap(record);
    int promptLength = in.getInt();
    int example = in.getInt();
    int[] ids = new int[in.remaining() / Integer.BYTES];
    boolean[] learned = new boolean[ids.length];
    for (int t = 0; t < ids.length; t++) {
      int id = in.getInt();
      learned[t] = id < 0;
      ids[t] = id < 0 ? ~id : id;
    }
    return new EncodedExample(ids, learned, promptLength, example);
  }
}
