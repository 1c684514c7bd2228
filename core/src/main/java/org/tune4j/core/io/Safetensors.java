package org.tune4j.core.io;

import com.google.common.collect.ImmutableMap;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/**
 * A safetensors file: eight bytes of header length, a JSON header, the tensors. The header is fully
 * checked when the file is opened, so that reads stay within the file; a tensor of an unsupported
 * type is an error only when it is read.
 *
 * <p>Reading is thread-safe and works in an interrupted thread. If the file is truncated or written
 * to while it is open, reading throws an {@link IOException} that names it; it is read rather than
 * mapped, since touching the missing part of a mapped file would crash the JVM. If it is replaced
 * by another file of the same name, reading continues from the original.
 *
 * <p>The owner closes it; an unreachable one is closed by the garbage collector.
 */
public final class Safetensors implements AutoCloseable {
  private static final int BUFFER = 1 << 18;

  /**
   * One tensor.
   *
   * @param name unique in the file
   * @param dtype element type as the file names it
   * @param type element type
   * @param shape dimensions; none for a scalar
   * @param begin first byte, from the start of the file
   * @param end byte after the last
   */
  public record Entry(
      String name, String dtype, ElementType type, List<Long> shape, long begin, long end) {
    /** Returns the number of elements; the number of bytes if the type is unknown. */
    public long size() {
      return type.bits() == 0 ? end - begin : (end - begin) * 8 / type.bits();
    }
  }

  private final Path file;
  private final RandomAccessFile in;
  private final Version version;
  private final ImmutableMap<String, Entry> entries;
  private final ImmutableMap<String, String> metadata;
  private volatile boolean closed;

  private Safetensors(Path file, RandomAccessFile in, Version version, SafetensorsHeader header) {
    this.file = file;
    this.in = in;
    this.version = version;
    this.entries = ImmutableMap.copyOf(header.entries());
    this.metadata = ImmutableMap.copyOf(header.metadata());
  }

  /** Identifies a file and its state: to tell whether it was written to since it was opened. */
  private record Version(Object key, long size, long modified) {
    static Version of(Path file) throws IOException {
      BasicFileAttributes a = Files.readAttributes(file, BasicFileAttributes.class);
      return new Version(a.fileKey(), a.size(), a.lastModifiedTime().toMillis());
    }
  }

  /**
   * Opens and checks a file.
   *
   * @throws MalformedFileException if it is not a whole, consistent safetensors file
   * @throws NoSuchFileException if there is none
   */
  public static Safetensors open(Path file) throws IOException {
    if (!Files.isRegularFile(file)) {
      throw new NoSuchFileException(file.toString(), null, "no such safetensors file");
    }
    RandomAccessFile in;
    try {
      in = new RandomAccessFile(file.toFile(), "r"); // no channel: an interrupt would close it
    } catch (IOException e) {
      throw new IOException("cannot read " + file + ": " + e.getMessage(), e);
    }
    boolean opened = false;
    try {
      Version version = Version.of(file);
      long size = in.length();
      if (size < 8) {
        throw new MalformedFileException(file, "header length", size + " bytes", "at least 8");
      }
      byte[] length = new byte[8];
      in.readFully(length);
      long header = ByteBuffer.wrap(length).order(ByteOrder.LITTLE_ENDIAN).getLong();
      if (header < 2 || header > SafetensorsHeader.LIMIT || header > size - 8) {
        throw new MalformedFileException(
            file,
            "header length",
            Long.toUnsignedString(header),
            header > size - 8 || header < 2
                ? "between 2 and the file's remaining "
                    + (size - 8)
                    + " bytes (truncated, or not safetensors?)"
                : "at most " + SafetensorsHeader.LIMIT + " bytes, as the format defines");
      }
      SafetensorsHeader read = SafetensorsHeader.read(file, new Part(in, header), 8 + header, size);
      checkLayout(file, read.entries(), 8 + header, size);
      Safetensors result = new Safetensors(file, in, version, read);
      opened = true;
      return result;
    } catch (EOFException e) {
      throw new MalformedFileException(file, "", "end of file", "more bytes", e);
    } finally {
      if (!opened) {
        in.close();
      }
    }
  }

  /** The next {@code length} bytes of a file. */
  private static final class Part extends InputStream {
    private final RandomAccessFile in;
    private long left;

    Part(RandomAccessFile in, long length) {
      this.in = in;
      left = length;
    }

    @Override
    public int read() throws IOException {
      byte[] one = new byte[1];
      return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
    }

    @Override
    public int read(byte[] into, int at, int count) throws IOException {
      if (left == 0) {
        return -1;
      }
      int n = in.read(into, at, (int) Math.min(left, count));
      left -= Math.max(0, n);
      return n;
    }
  }

  private static void checkLayout(Path file, Map<String, Entry> entries, long data, long size)
      throws IOException {
    List<Entry> sorted = new ArrayList<>(entries.values());
    sorted.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
    long at = data;
    for (Entry e : sorted) {
      if (e.begin() != at) {
        throw new MalformedFileException(
            file,
            "tensor '" + e.name() + "', data_offsets",
            "a begin of " + (e.begin() - data),
            (at - data)
                + ", where the tensor before it ends ("
                + (e.begin() < at ? "they overlap" : "there is a hole")
                + ")");
      }
      at = e.end();
    }
    if (at != size) {
      throw new MalformedFileException(
          file, "", (size - at) + " bytes after the last tensor", "none");
    }
  }

  public Path file() {
    return file;
  }

  /** Returns the tensors' names, in the header's order. */
  public Set<String> names() {
    return entries.keySet();
  }

  /** Returns the header's {@code __metadata__}. */
  public Map<String, String> metadata() {
    return metadata;
  }

  public boolean contains(String name) {
    return entries.containsKey(name);
  }

  /** Returns the description of a tensor, which must exist. */
  public Entry entry(String name) {
    Entry e = entries.get(name);
    if (e == null) {
      throw new IllegalArgumentException(
          "%s has no tensor '%s'; it has %s".formatted(file, name, entries.keySet()));
    }
    return e;
  }

  private static void range(Entry e, long firstElement, int count) {
    if (firstElement < 0 || count < 0 || firstElement > e.size() - count) {
      throw new IndexOutOfBoundsException(
          "elements %s+%s of tensor '%s' with %s"
              .formatted(firstElement, count, e.name(), e.size()));
    }
  }

  private ByteBuffer bytes(Entry e, long firstElement, int count) throws IOException {
    byte[] bytes = new byte[count * e.type().bytes()];
    try {
      synchronized (in) {
        in.seek(e.begin() + firstElement * e.type().bytes());
        in.readFully(bytes);
      }
      checkUnchanged();
    } catch (MalformedFileException x) {
      throw x;
    } catch (EOFException x) {
      throw new MalformedFileException(
          file,
          "tensor '" + e.name() + "'",
          "the end of the file",
          "the " + version.size + " bytes that it had when it was opened (was it truncated?)",
          x);
    } catch (IOException x) {
      throw new IOException(
          "cannot read " + file + ": " + (closed ? "the file has been closed" : x.getMessage()), x);
    }
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** A different file under this name does not matter: the one that was opened still exists. */
  private void checkUnchanged() throws IOException {
    Version now;
    try {
      now = Version.of(file);
    } catch (NoSuchFileException e) {
      return;
    }
    if (Objects.equals(now.key, version.key) && !now.equals(version)) {
      throw new MalformedFileException(
          file,
          "",
          "%s bytes, written since it was opened".formatted(now.size),
          "the %s bytes that were opened (load it again)".formatted(version.size));
    }
  }

  /**
   * Reads {@code count} floating-point elements from {@code firstElement} on, converted to F32.
   *
   * @throws UncheckedIOException if the file can no longer be read, or holds another type
   */
  public void readFloats(String name, long firstElement, float[] into, int at, int count) {
    Entry e = entry(name);
    if (!e.type().isFloat()) {
      throw wrongType(e, "a floating-point type");
    }
    range(e, firstElement, count);
    int step = BUFFER / e.type().bytes();
    try {
      for (int done = 0; done < count; done += step) {
        int n = Math.min(step, count - done);
        convert(bytes(e, firstElement + done, n), e.type(), into, at + done, n);
      }
    } catch (IOException x) {
      throw new UncheckedIOException(x);
    }
  }

  private static void convert(ByteBuffer b, ElementType type, float[] into, int at, int n) {
    switch (type) {
      case F32 -> b.asFloatBuffer().get(into, at, n);
      case F64 -> {
        for (int i = 0; i < n; i++) {
          into[at + i] = (float) b.getDouble(i * 8);
        }
      }
      case F16 -> {
        short[] bits = new short[n];
        b.asShortBuffer().get(bits);
        for (int i = 0; i < n; i++) {
          into[at + i] = Floats.fromF16(bits[i]);
        }
      }
      default -> {
        short[] bits = new short[n];
        b.asShortBuffer().get(bits);
        for (int i = 0; i < n; i++) {
          into[at + i] = Floats.fromBf16(bits[i]);
        }
      }
    }
  }

  private UncheckedIOException wrongType(Entry e, String expected) {
    return new UncheckedIOException(
        new MalformedFileException(file, "tensor '" + e.name() + "', dtype", e.dtype(), expected));
  }

  /** Returns all of a floating-point tensor as F32. */
  public float[] floats(String name) {
    float[] values = new float[Math.toIntExact(entry(name).size())];
    readFloats(name, 0, values, 0, values.length);
    return values;
  }

  /** Returns all of an integer or truth-value tensor. */
  public long[] longs(String name) {
    Entry e = entry(name);
    ElementType type = e.type();
    if (!type.isInteger()) {
      throw wrongType(e, "an integer type");
    }
    ByteBuffer b = raw(name, 0, Math.toIntExact(e.size()));
    long[] values = new long[Math.toIntExact(e.size())];
    for (int i = 0; i < values.length; i++) {
      values[i] =
          switch (type) {
            case I64 -> b.getLong(i * 8);
            case I32 -> b.getInt(i * 4);
            case I16 -> b.getShort(i * 2);
            case I8 -> b.get(i);
            default -> b.get(i) & 0xFF;
          };
    }
    return values;
  }

  /**
   * Returns the raw little-endian bytes of {@code count} elements, whose type must have whole
   * bytes.
   *
   * @throws UncheckedIOException if the file can no longer be read
   */
  public ByteBuffer raw(String name, long firstElement, int count) {
    Entry e = entry(name);
    if (e.type().bits() % 8 != 0 || e.type() == ElementType.UNKNOWN) {
      throw wrongType(e, "a type of whole bytes");
    }
    range(e, firstElement, count);
    try {
      return bytes(e, firstElement, count);
    } catch (IOException x) {
      throw new UncheckedIOException(x);
    }
  }

  /** Closes the file; no tensor can be read afterwards. */
  @Override
  public void close() throws IOException {
    closed = true;
    in.close();
  }
}
