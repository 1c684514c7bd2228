package org.tune4j.core.io;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A safetensors file, memory-mapped: eight bytes of header length, a JSON header, the tensors.
 * Everything that the header says is checked when the file is opened, so that reading cannot run
 * out of it.
 *
 * <p>Reading is thread-safe. The mapping is released by the garbage collector, as Java's mappings
 * are.
 */
public final class Safetensors {
  private static final ObjectMapper JSON =
      new ObjectMapper()
          .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
  private static final long HEADER_LIMIT = 100_000_000;
  private static final long WINDOW = 1L << 30;

  /**
   * One tensor.
   *
   * @param name name
   * @param type element type
   * @param shape dimensions; none for a scalar
   * @param begin first byte, from the start of the file
   * @param end byte after the last
   */
  public record Entry(String name, ElementType type, List<Long> shape, long begin, long end) {
    /** Returns the number of elements. */
    public long size() {
      return (end - begin) / type.bytes();
    }
  }

  private final Path file;
  private final ImmutableMap<String, Entry> entries;
  private final ImmutableMap<String, String> metadata;
  private final MappedByteBuffer[] windows;

  private Safetensors(
      Path file,
      Map<String, Entry> entries,
      Map<String, String> metadata,
      MappedByteBuffer[] windows) {
    this.file = file;
    this.entries = ImmutableMap.copyOf(entries);
    this.metadata = ImmutableMap.copyOf(metadata);
    this.windows = windows;
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
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      long size = channel.size();
      if (size < 8) {
        throw new MalformedFileException(file, "header length", size + " bytes", "at least 8");
      }
      ByteBuffer length = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
      readFully(channel, length, 0, file);
      long header = length.getLong(0);
      if (header < 2 || header > HEADER_LIMIT || header > size - 8) {
        throw new MalformedFileException(
            file,
            "header length",
            Long.toUnsignedString(header),
            "between 2 and the file's remaining "
                + (size - 8)
                + " bytes (truncated, or not safetensors?)");
      }
      ByteBuffer text = ByteBuffer.allocate((int) header);
      readFully(channel, text, 8, file);
      JsonNode root;
      try {
        root = JSON.readTree(UTF_8.newDecoder().decode(text.flip()).toString());
      } catch (CharacterCodingException e) {
        throw new MalformedFileException(file, "header", "bytes that are no UTF-8", "JSON", e);
      } catch (JsonProcessingException e) {
        throw new MalformedFileException(
            file, "header", "no valid JSON (" + e.getOriginalMessage() + ")", "JSON", e);
      }
      if (root == null || !root.isObject()) {
        throw new MalformedFileException(file, "header", "JSON that is no object", "an object");
      }
      Map<String, Entry> entries = new LinkedHashMap<>();
      Map<String, String> metadata = new LinkedHashMap<>();
      for (Map.Entry<String, JsonNode> field : root.properties()) {
        if (field.getKey().equals("__metadata__")) {
          if (!field.getValue().isObject()) {
            throw new MalformedFileException(
                file, "header, __metadata__", field.getValue().toString(), "an object");
          }
          for (Map.Entry<String, JsonNode> m : field.getValue().properties()) {
            metadata.put(m.getKey(), m.getValue().asText());
          }
        } else {
          entries.put(
              field.getKey(), entry(file, field.getKey(), field.getValue(), 8 + header, size));
        }
      }
      checkLayout(file, entries, 8 + header, size);
      int count = (int) ((size + WINDOW - 1) / WINDOW);
      MappedByteBuffer[] windows = new MappedByteBuffer[count];
      for (int i = 0; i < count; i++) {
        // windows overlap by one, so that no element spans two
        long from = i * WINDOW;
        windows[i] =
            channel.map(FileChannel.MapMode.READ_ONLY, from, Math.min(2 * WINDOW - 1, size - from));
        windows[i].order(ByteOrder.LITTLE_ENDIAN);
      }
      return new Safetensors(file, entries, metadata, windows);
    }
  }

  private static void readFully(FileChannel channel, ByteBuffer into, long position, Path file)
      throws IOException {
    while (into.hasRemaining()) {
      if (channel.read(into, position + into.position()) < 0) {
        throw new MalformedFileException(file, "", "end of file", "more bytes");
      }
    }
  }

  private static Entry entry(Path file, String name, JsonNode node, long data, long size)
      throws IOException {
    String place = "tensor '" + name + "'";
    String typeName = node.path("dtype").asText("nothing");
    ElementType type =
        Arrays.stream(ElementType.values())
            .filter(t -> t.name().equals(typeName))
            .findFirst()
            .orElse(null);
    if (type == null) {
      throw new MalformedFileException(
          file, place + ", dtype", typeName, "one of " + Arrays.toString(ElementType.values()));
    }
    JsonNode shapeNode = node.path("shape");
    JsonNode offsets = node.path("data_offsets");
    if (!shapeNode.isArray()) {
      throw new MalformedFileException(file, place + ", shape", shapeNode.toString(), "an array");
    }
    if (!offsets.isArray()
        || offsets.size() != 2
        || !isLong(offsets.get(0))
        || !isLong(offsets.get(1))) {
      throw new MalformedFileException(
          file, place + ", data_offsets", offsets.toString(), "[begin, end]");
    }
    List<Long> shape = new ArrayList<>();
    long bytes = type.bytes();
    try {
      for (JsonNode d : shapeNode) {
        if (!isLong(d) || d.asLong() < 0) {
          throw new MalformedFileException(
              file, place + ", shape", shapeNode.toString(), "sizes from 0 on");
        }
        shape.add(d.asLong());
        bytes = Math.multiplyExact(bytes, d.asLong());
      }
    } catch (ArithmeticException e) {
      throw new MalformedFileException(
          file, place + ", shape", shapeNode.toString(), "fewer than 2^63 bytes", e);
    }
    long begin = offsets.get(0).asLong();
    long end = offsets.get(1).asLong();
    if (begin < 0 || end < begin || end > size - data) {
      throw new MalformedFileException(
          file,
          place + ", data_offsets",
          offsets.toString(),
          "a range within the file's " + (size - data) + " data bytes");
    }
    if (end - begin != bytes) {
      throw new MalformedFileException(
          file, place, (end - begin) + " bytes", bytes + " bytes for " + typeName + shapeNode);
    }
    return new Entry(name, type, List.copyOf(shape), data + begin, data + end);
  }

  private static boolean isLong(JsonNode node) {
    return node.isIntegralNumber() && node.canConvertToLong();
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

  /** Returns the file. */
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

  /** Returns whether there is a tensor of that name. */
  public boolean contains(String name) {
    return entries.containsKey(name);
  }

  /** Returns a tensor's description. */
  public Entry entry(String name) {
    Entry e = entries.get(name);
    if (e == null) {
      throw new IllegalArgumentException(
          "%s has no tensor '%s'; it has %s".formatted(file, name, entries.keySet()));
    }
    return e;
  }

  private ByteBuffer bytes(Entry e, long firstElement, int count) {
    long begin = e.begin() + firstElement * e.type().bytes();
    if (firstElement < 0 || count < 0 || begin + (long) count * e.type().bytes() > e.end()) {
      throw new IndexOutOfBoundsException(
          "elements %s+%s of tensor '%s' with %s"
              .formatted(firstElement, count, e.name(), e.size()));
    }
    int window = (int) Math.min(windows.length - 1, begin / WINDOW);
    ByteBuffer slice = windows[window].duplicate().order(ByteOrder.LITTLE_ENDIAN);
    slice.position((int) (begin - window * WINDOW));
    return slice.slice().order(ByteOrder.LITTLE_ENDIAN);
  }

  /** Reads {@code count} floating-point elements from {@code firstElement} on, converted to F32. */
  public void readFloats(String name, long firstElement, float[] into, int at, int count) {
    Entry e = entry(name);
    int step = 1 << 26; // elements a time, well within a window
    for (int done = 0; done < count; done += step) {
      int n = Math.min(step, count - done);
      ByteBuffer b = bytes(e, firstElement + done, n);
      int to = at + done;
      switch (e.type()) {
        case F32 -> b.asFloatBuffer().get(into, to, n);
        case F64 -> {
          for (int i = 0; i < n; i++) {
            into[to + i] = (float) b.getDouble(i * 8);
          }
        }
        case F16 -> {
          short[] bits = new short[n];
          b.asShortBuffer().get(bits);
          for (int i = 0; i < n; i++) {
            into[to + i] = Floats.fromF16(bits[i]);
          }
        }
        case BF16 -> {
          short[] bits = new short[n];
          b.asShortBuffer().get(bits);
          for (int i = 0; i < n; i++) {
            into[to + i] = Floats.fromBf16(bits[i]);
          }
        }
        default ->
            throw new UncheckedIOException(
                new MalformedFileException(
                    file,
                    "tensor '" + name + "', dtype",
                    e.type().name(),
                    "a floating-point type"));
      }
    }
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
    int n = Math.toIntExact(e.size());
    ByteBuffer b = bytes(e, 0, n);
    long[] values = new long[n];
    for (int i = 0; i < n; i++) {
      values[i] =
          switch (e.type()) {
            case I64 -> b.getLong(i * 8);
            case I32 -> b.getInt(i * 4);
            case I16 -> b.getShort(i * 2);
            case I8 -> b.get(i);
            case U8, BOOL -> b.get(i) & 0xFF;
            default ->
                throw new UncheckedIOException(
                    new MalformedFileException(
                        file, "tensor '" + name + "', dtype", e.type().name(), "an integer type"));
          };
    }
    return values;
  }

  /** Returns the raw little-endian bytes of {@code count} elements. */
  public ByteBuffer raw(String name, long firstElement, int count) {
    Entry e = entry(name);
    return bytes(e, firstElement, count).limit(count * e.type().bytes());
  }
}
