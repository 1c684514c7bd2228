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
 * Records of bytes that are written one after the other and then read by number, from any thread,
 * so that there may be more of them than the heap holds.
 *
 * <p>They lie in two temporary files that are mapped into memory, the records and where each
 * begins, so that the heap holds nothing of them whatever their number; the operating system keeps
 * in memory what it has room for. The files are in {@code java.io.tmpdir}, which should not be a
 * file system in memory. Where the operating system allows it they lose their names before anything
 * is written, so that nothing is left of them however the process ends, and their space is free
 * once nobody refers to this any more; elsewhere they are deleted when the virtual machine ends.
 */
public final class RecordFile {
  private static final int ENTRY = Long.BYTES;
  private static final int SEGMENT = 1 << 30;

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
    return new Writer(SEGMENT);
  }

  /** Returns a writer of files that are mapped in pieces of a size, a multiple of 8. */
  static Writer writer(int segment) throws IOException {
    return new Writer(segment);
  }

  /** Returns how many records it holds. */
  public int size() {
    return size;
  }

  /** Returns a copy of a record's bytes. */
  public byte[] get(int index) {
    checkArgument(index >= 0 && index < size, "record %s of %s", index, size);
    long entry = (long) index * ENTRY;
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
     * @throws IOException if there is no room for it on the disk, for example
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
      if (needed > left) { // no record lies in two segments
        records.skip((int) left);
      }
      starts.out.writeLong(records.length);
      starts.length += ENTRY;
      records.out.writeInt(record.length);
      records.out.write(record);
      records.length += needed;
      size++;
    }

    /** Returns what was written; nothing can be appended any more. */
    public RecordFile finish() throws IOException {
      try (this) {
        return new RecordFile(records.map(segment), starts.map(segment), segment, size);
      }
    }

    /** Ends the writing; what {@link #finish} returned stays readable. */
    @Override
    public void close() throws IOException {
      try (records) {
        starts.close();
      }
    }
  }

  /** A file without a name, where the operating system has such. */
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
      } catch (IOException e) { // an open file keeps its name
        path.toFile().deleteOnExit();
      }
      out = new DataOutputStream(new Buffered(this));
    }

    /** Maps all of it, in pieces. */
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

  /** Writes to the file in large pieces, and not through a channel, which an interrupt closes. */
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
