package org.tune4j.core.io;

import static com.google.common.base.Preconditions.checkArgument;
import static com.google.common.base.Preconditions.checkState;

import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Byte records that are appended one by one and then read by index, from any thread, so that there
 * may be more of them than fit in the heap.
 *
 * <p>They are kept in two memory-mapped temporary files, one of the records and one of where each
 * begins, so that they take no heap whatever their number; the operating system caches what it has
 * room for. The files are in {@code java.io.tmpdir}, which should not be an in-memory file system.
 * Where the operating system allows it they are unlinked before anything is written, so that
 * nothing is left of them however the process ends, and their space is freed once this object is
 * unreachable; elsewhere they are deleted when the virtual machine exits.
 */
public final class RecordFile {
  private static final int ENTRY_BYTES = Long.BYTES;
  private static final int SEGMENT_BYTES = 1 << 30;

  private final MappedByteBuffer[] records;
  private final MappedByteBuffer[] starts;
  private final int segment;
  private final int size;

  private RecordFile(MappedByteBuffer[] records, MappedByteBuffer[] starts, int segment, int size) {
    this.records = records;
    this.starts = starts;
    this.segment = segment;
    this.size = size;
  }

  /** Returns a writer into temporary files. */
  public static Writer writer() throws IOException {
    return new Writer(SEGMENT_BYTES);
  }

  /** Returns a writer whose files are mapped in segments of the given size, a multiple of 8. */
  static Writer writer(int segment) throws IOException {
    return new Writer(segment);
  }

  /** Returns the number of records. */
  public int size() {
    return size;
  }

  /** Returns a copy of a record's bytes. */
  public byte[] get(int index) {
    checkArgument(index >= 0 && index < size, "record %s of %s", index, size);
    long entry = (long) index * ENTRY_BYTES;
    long at = starts[(int) (entry / segment)].getLong((int) (entry % segment));
    MappedByteBuffer in = records[(int) (at / segment)];
    int from = (int) (at % segment);
    byte[] record = new byte[in.getInt(from)];
    in.get(from + Integer.BYTES, record);
    return record;
  }

  /** Writes a {@link RecordFile}. */
  public static final class Writer implements AutoCloseable {
    private final int segment;
    private final Temporary records = new Temporary("records");
    private final Temporary starts;
    private int size;

    private Writer(int segment) throws IOException {
      this.segment = segment;
      try {
        starts = new Temporary("starts");
      } catch (IOException | RuntimeException e) {
        records.close();
        throw e;
      }
    }

    /**
     * Appends a record.
     *
     * @throws IOException if it cannot be written, for example because the disk is full
     */
    public void append(byte[] record) throws IOException {
      int needed = Math.addExact(Integer.BYTES, record.length);
      checkArgument(
          needed <= segment,
          "a record of %s bytes, more than %s",
          record.length,
          segment - Integer.BYTES);
      checkState(size < Integer.MAX_VALUE, "more than %s records", size);
      long left = segment - records.length % segment;
      if (needed > left) { // a record must not cross a segment boundary
        records.skip((int) left);
      }
      starts.out.writeLong(records.length);
      starts.length += ENTRY_BYTES;
      records.out.writeInt(record.length);
      records.out.write(record);
      records.length += needed;
      size++;
    }

    /** Ends writing and returns the records. */
    public RecordFile finish() throws IOException {
      try (this) {
        return new RecordFile(records.map(segment), starts.map(segment), segment, size);
      }
    }

    /** Closes the files; what {@link #finish} returned stays readable. */
    @Override
    public void close() throws IOException {
      try (records) {
        starts.close();
      }
    }
  }

  /** A temporary file, unlinked where the operating system allows it. */
  private static final class Temporary implements AutoCloseable {
    private final Path path;
    private final RandomAccessFile file;
    final DataOutputStream out;
    long length;

    Temporary(String kind) throws IOException {
      path = Files.createTempFile("tune4j-" + ProcessHandle.current().pid() + "-", "." + kind);
      file = new RandomAccessFile(path.toFile(), "rw");
      try {
        Files.delete(path);
      } catch (IOException e) { // open files cannot be deleted here
        path.toFile().deleteOnExit();
      }
      out = new DataOutputStream(new Buffered(this));
    }

    MappedByteBuffer[] map(int segment) throws IOException {
      out.flush();
      MappedByteBuffer[] pieces = new MappedByteBuffer[(int) ((length + segment - 1) / segment)];
      boolean interrupted = Thread.interrupted(); // which would close the channel
      try {
        for (int i = 0; i < pieces.length; i++) {
          long from = (long) i * segment;
          pieces[i] =
              file.getChannel()
                  .map(FileChannel.MapMode.READ_ONLY, from, Math.min(segment, length - from));
        }
      } finally {
        if (interrupted) {
          Thread.currentThread().interrupt();
        }
      }
      return pieces;
    }

    void skip(int bytes) throws IOException {
      out.flush();
      length += bytes;
      file.seek(length);
    }

    @Override
    public void close() throws IOException {
      file.close();
    }
  }

  /** Buffers writes to the file; not through a channel, which an interrupt would close. */
  private static final class Buffered extends OutputStream {
    private final Temporary to;
    private final byte[] buffer = new byte[1 << 16];
    private int used;

    Buffered(Temporary to) {
      this.to = to;
    }

    @Override
    public void write(int b) throws IOException {
      if (used == buffer.length) {
        flush();
      }
      buffer[used++] = (byte) b;
    }

    @Override
    public void write(byte[] bytes, int from, int count) throws IOException {
      if (count > buffer.length - used) {
        flush();
      }
      if (count > buffer.length) {
        send(bytes, from, count);
      } else {
        System.arraycopy(bytes, from, buffer, used, count);
        used += count;
      }
    }

    @Override
    public void flush() throws IOException {
      send(buffer, 0, used);
      used = 0;
    }

    private void send(byte[] bytes, int from, int count) throws IOException {
      try {
        to.file.write(bytes, from, count);
      } catch (IOException e) {
        throw new IOException(
            "cannot write data to a temporary file in %s: %s (the property java.io.tmpdir says where such files are)"
                .formatted(to.path.getParent(), e.getMessage()),
            e);
      }
    }
  }
}
