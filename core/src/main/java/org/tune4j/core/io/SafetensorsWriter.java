package org.tune4j.core.io;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes a safetensors file, streaming each tensor in blocks, so that a model larger than the heap
 * can be written. Tensors are stored in the order in which they are added; add wide element types
 * first if readers rely on alignment.
 */
public final class SafetensorsWriter {
  private static final int BLOCK = 1 << 18;

  /** Supplies a tensor's values in blocks. */
  @FunctionalInterface
  public interface FloatSource {
    /** Copies elements {@code [first, first + count)} to the start of {@code into}. */
    void read(long first, float[] into, int count) throws IOException;
  }

  private interface Content {
    void write(OutputStream out) throws IOException;
  }

  private record Item(ElementType type, long[] shape, long bytes, Content content) {}

  private final Map<String, Item> items = new LinkedHashMap<>();
  private final Map<String, String> metadata = new LinkedHashMap<>();

  /**
   * Adds an entry to the header's metadata; loaders of the PyTorch ecosystem look for {@code
   * format: pt}.
   */
  public SafetensorsWriter metadata(String key, String value) {
    metadata.put(key, value);
    return this;
  }

  private void put(String name, Item item) {
    if (items.put(name, item) != null) {
      throw new IllegalArgumentException("two tensors are named '" + name + "'");
    }
  }

  private static long size(long... shape) {
    long size = 1;
    for (long d : shape) {
      size = Math.multiplyExact(size, d);
    }
    return size;
  }

  /** Adds a floating-point tensor, converted to {@code type}: F32, F16 or BF16. */
  public SafetensorsWriter add(String name, ElementType type, FloatSource source, long... shape) {
    long size = size(shape);
    if (type != ElementType.F32 && type != ElementType.F16 && type != ElementType.BF16) {
      throw new IllegalArgumentException("cannot write floats as " + type);
    }
    put(
        name,
        new Item(
            type,
            shape.clone(),
            size * type.bytes(),
            out -> {
              float[] values = new float[(int) Math.min(BLOCK, Math.max(1, size))];
              byte[] bytes = new byte[values.length * type.bytes()];
              ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
              for (long first = 0; first < size; first += values.length) {
                int n = (int) Math.min(values.length, size - first);
                source.read(first, values, n);
                switch (type) {
                  case F32 -> buffer.asFloatBuffer().put(values, 0, n);
                  case F16 -> {
                    for (int i = 0; i < n; i++) {
                      buffer.putShort(2 * i, Floats.toF16(values[i]));
                    }
                  }
                  default -> {
                    for (int i = 0; i < n; i++) {
                      buffer.putShort(2 * i, Floats.toBf16(values[i]));
                    }
                  }
                }
                out.write(bytes, 0, n * type.bytes());
              }
            }));
    return this;
  }

  /** Adds an F32 tensor held in memory. */
  public SafetensorsWriter add(String name, float[] values, long... shape) {
    if (size(shape) != values.length) {
      throw new IllegalArgumentException("'%s' has %s values".formatted(name, values.length));
    }
    return add(
        name,
        ElementType.F32,
        (first, into, count) -> System.arraycopy(values, (int) first, into, 0, count),
        shape);
  }

  /** Adds a tensor of 64-bit integers. */
  public SafetensorsWriter add(String name, long[] values, long... shape) {
    if (size(shape) != values.length) {
      throw new IllegalArgumentException("'%s' has %s values".formatted(name, values.length));
    }
    put(
        name,
        new Item(
            ElementType.I64,
            shape.clone(),
            8L * values.length,
            out -> {
              ByteBuffer buffer =
                  ByteBuffer.allocate(8 * values.length).order(ByteOrder.LITTLE_ENDIAN);
              buffer.asLongBuffer().put(values);
              out.write(buffer.array());
            }));
    return this;
  }

  /** Adds a copy of another file's tensor, byte for byte. */
  public SafetensorsWriter copy(String name, Safetensors from, String fromName) {
    Safetensors.Entry e = from.entry(fromName);
    long[] shape = e.shape().stream().mapToLong(Long::longValue).toArray();
    put(
        name,
        new Item(
            e.type(),
            shape,
            e.end() - e.begin(),
            out -> {
              for (long first = 0; first < e.size(); first += BLOCK) {
                int n = (int) Math.min(BLOCK, e.size() - first);
                byte[] bytes = new byte[n * e.type().bytes()];
                from.raw(fromName, first, n).get(bytes);
                out.write(bytes);
              }
            }));
    return this;
  }

  /**
   * Writes the file, which appears only once it is complete.
   *
   * @throws IOException if it cannot be written; the message names the file
   */
  public void write(Path file) throws IOException {
    ObjectNode header = JsonNodeFactory.instance.objectNode();
    if (!metadata.isEmpty()) {
      ObjectNode m = header.putObject("__metadata__");
      metadata.forEach(m::put);
    }
    long at = 0;
    List<Item> ordered = new ArrayList<>();
    for (Map.Entry<String, Item> e : items.entrySet()) {
      Item item = e.getValue();
      ObjectNode node = header.putObject(e.getKey());
      node.put("dtype", item.type().name());
      for (long d : item.shape()) {
        node.withArray("shape").add(d);
      }
      if (item.shape().length == 0) {
        node.putArray("shape");
      }
      node.putArray("data_offsets").add(at).add(at + item.bytes());
      at += item.bytes();
      ordered.add(item);
    }
    byte[] json = header.toString().getBytes(StandardCharsets.UTF_8);
    int padded = (json.length + 7) / 8 * 8;
    AtomicFiles.write(
        file,
        out -> {
          out.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(padded).array());
          out.write(json);
          for (int i = json.length; i < padded; i++) {
            out.write(' ');
          }
          for (Item item : ordered) {
            item.content().write(out);
          }
        });
  }
}
