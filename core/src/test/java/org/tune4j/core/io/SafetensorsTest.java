package org.tune4j.core.io;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.IntFunction;
import java.util.stream.Stream;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.Tuple;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;

class SafetensorsTest {
  private static final Map<Integer, byte[]> VALID = new HashMap<>();
  private static Path directory;

  @BeforeContainer
  static void create() throws IOException {
    directory = Files.createTempDirectory("safetensors");
  }

  @AfterContainer
  static void delete() throws IOException {
    AtomicFiles.deleteRecursively(directory);
  }

  private static Path file() {
    return directory.resolve("model.safetensors");
  }

  /** A file with a header as given, and so many bytes of data. */
  private static Path file(String header, int data) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    byte[] json = header.getBytes(UTF_8);
    out.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(json.length).array());
    out.write(json);
    out.write(new byte[data]);
    return Files.write(file(), out.toByteArray());
  }

  @Provide
  Arbitrary<Map<String, float[]>> tensors() {
    Arbitrary<float[]> values =
        Arbitraries.integers()
            .map(Float::intBitsToFloat)
            .array(float[].class)
            .ofMinSize(0)
            .ofMaxSize(40);
    return Combinators.combine(Arbitraries.strings().ofMaxLength(12), values)
        .as(Tuple::of)
        .list()
        .ofMaxSize(6)
        .map(
            list -> {
              Map<String, float[]> all = new LinkedHashMap<>();
              list.forEach(
                  t -> {
                    if (!t.get1().equals("__metadata__")) {
                      all.put(t.get1().replaceAll("\\p{Cs}", "x"), t.get2());
                    }
                  });
              return all;
            });
  }

  private static void write(Map<String, float[]> tensors, Path to) throws IOException {
    SafetensorsWriter writer = new SafetensorsWriter().metadata("format", "pt");
    tensors.forEach((n, v) -> writer.add(n, v, v.length));
    writer.write(to);
  }

  @Property(tries = 200)
  void readsWhatWasWritten(@ForAll("tensors") Map<String, float[]> tensors) throws IOException {
    write(tensors, file());
    Safetensors read = Safetensors.open(file());
    assertThat(read.names()).containsExactlyElementsOf(tensors.keySet());
    assertThat(read.metadata()).isEqualTo(Map.of("format", "pt"));
    tensors.forEach(
        (n, v) -> {
          assertThat(read.entry(n).shape()).isEqualTo(List.of((long) v.length));
          int[] bits = new int[v.length];
          for (int i = 0; i < v.length; i++) {
            bits[i] = Float.floatToRawIntBits(v[i]);
          }
          ByteBuffer raw = read.raw(n, 0, v.length);
          for (int bit : bits) {
            assertThat(raw.getInt()).isEqualTo(bit);
          }
          assertThat(read.floats(n)).isEqualTo(v);
        });
  }

  @Property(tries = 100)
  void readsAnyPartOfATensor(@ForAll @Size(min = 1, max = 50) float[] values, @ForAll Random random)
      throws IOException {
    write(Map.of("t", values), file());
    int from = random.nextInt(values.length);
    int count = random.nextInt(values.length - from + 1);
    float[] part = new float[count + 2];
    Safetensors.open(file()).readFloats("t", from, part, 1, count);
    assertThat(Arrays.copyOfRange(part, 1, 1 + count))
        .isEqualTo(Arrays.copyOfRange(values, from, from + count));
  }

  /** Whatever is done to a file, reading it is right or a {@link MalformedFileException}. */
  @Property(tries = 1500)
  void damageIsNeverAnotherException(
      @ForAll long seed, @ForAll @IntRange(min = 0, max = 3) int kind) throws IOException {
    Random random = new Random(seed);
    byte[] bytes = VALID.computeIfAbsent(random.nextInt(12), SafetensorsTest::valid).clone();
    switch (kind) {
      case 0 -> bytes = Arrays.copyOf(bytes, random.nextInt(bytes.length));
      case 1 -> bytes[random.nextInt(bytes.length)] ^= (byte) (1 << random.nextInt(8));
      case 2 -> {
        for (int i = 0; i < 4; i++) {
          bytes[random.nextInt(bytes.length)] = (byte) random.nextInt();
        }
      }
      default -> {
        // a digit, bracket or comma of the header for another: offsets, shapes, types, nesting
        int header = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getInt();
        String others = "0123456789[]{},:\"-.eFBIU \\";
        for (int i = 0; i < 2; i++) {
          bytes[8 + random.nextInt(header)] = (byte) others.charAt(random.nextInt(others.length()));
        }
      }
    }
    Path damaged = Files.write(directory.resolve("damaged.safetensors"), bytes);
    try {
      Safetensors read = Safetensors.open(damaged);
      for (String name : read.names()) {
        try {
          Safetensors.Entry e = read.entry(name);
          assertThat(e.size()).isBetween(0L, bytes.length - 8L);
          Object values = e.type().isFloat() ? read.floats(name) : read.longs(name);
          assertThat(values).isNotNull();
        } catch (UncheckedIOException e) {
          assertThat(e.getCause()).isInstanceOf(MalformedFileException.class);
        }
      }
    } catch (MalformedFileException e) {
      assertThat(e).hasMessageStartingWith(damaged.toString());
    }
  }

  private static byte[] valid(int seed) {
    Random random = new Random(seed);
    Map<String, float[]> tensors = new LinkedHashMap<>();
    for (int i = random.nextInt(4); i >= 0; i--) {
      float[] values = new float[random.nextInt(9)];
      Arrays.fill(values, random.nextFloat());
      tensors.put("layer." + i + ".weight", values);
    }
    try {
      write(tensors, file());
      return Files.readAllBytes(file());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static Stream<List<Object>> damaged() {
    return Stream.of(
        List.of("{}", 3, "3 bytes after the last tensor"),
        List.of("[]", 0, "JSON that is not an object"),
        List.of("{\"a\": 1}", 0, "tensor 'a', dtype"),
        List.of("{\"a\": {\"dtype\": 8}}", 0, "tensor 'a', dtype"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": 2, \"data_offsets\": [0, 8]}}",
            8,
            "tensor 'a', shape"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0]}}",
            8,
            "tensor 'a', data_offsets"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": [-2], \"data_offsets\": [0, 8]}}",
            8,
            "tensor 'a', shape"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": [1.5], \"data_offsets\": [0, 6]}}",
            6,
            "tensor 'a', shape"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": [4294967296, 4294967296], \"data_offsets\": [0, 8]}}",
            8,
            "tensor 'a', shape"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": [3], \"data_offsets\": [0, 8]}}",
            8,
            "8 bytes, expected 12"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8]}}",
            7,
            "within the file's 7 data bytes"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [-8, 0]}}",
            8,
            "tensor 'a', data_offsets"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]},"
                + " \"b\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [2, 6]}}",
            6,
            "they overlap"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]},"
                + " \"b\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [8, 12]}}",
            12,
            "there is a hole"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": [0], \"data_offsets\": [0, 0]},"
                + " \"a\": {\"dtype\": \"F32\", \"shape\": [0], \"data_offsets\": [0, 0]}}",
            0,
            "Duplicate field 'a'"),
        List.of("{} {}", 0, "more after the object"),
        List.of("{\"__metadata__\": {}, \"__metadata__\": {}}", 0, "Duplicate field"),
        List.of("{\"__metadata__\": {\"a\": {}}}", 0, "__metadata__, a"),
        List.of(
            "{\"a\": {\"dtype\": \"F4\", \"shape\": [3], \"data_offsets\": [0, 2]}}",
            2,
            "12 bits for F4[3]"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": ["
                + "1,".repeat(100)
                + "1], \"data_offsets\": [0, 4]}}",
            4,
            "more than 64 numbers"),
        List.of("{\"a\": {\"dtype\": }", 0, "no valid JSON"),
        List.of("{\"__metadata__\": 3}", 0, "__metadata__"),
        List.of(
            "{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0.0, 8]}}",
            8,
            "tensor 'a', data_offsets"));
  }

  @Example
  void headersThatLieAreNamed() throws IOException {
    for (List<Object> bad : damaged().toList()) {
      Path file = file((String) bad.get(0), (Integer) bad.get(1));
      assertThatThrownBy(() -> Safetensors.open(file))
          .as(bad.get(0).toString())
          .isInstanceOf(MalformedFileException.class)
          .hasMessageStartingWith(file.toString())
          .hasMessageContaining((String) bad.get(2));
    }
  }

  /** A file whose header is {@code begin}, items by number, {@code end}, of ninety megabytes. */
  private static Path large(String begin, IntFunction<String> item, String end) throws IOException {
    Path file = directory.resolve("large.safetensors");
    long length;
    try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(file))) {
      out.write(new byte[8]);
      out.write(begin.getBytes(UTF_8));
      length = begin.length();
      for (int i = 0; length < 90_000_000; i++) {
        byte[] bytes = item.apply(i).getBytes(UTF_8);
        out.write(bytes);
        length += bytes.length;
      }
      out.write(end.getBytes(UTF_8));
      length += end.length();
    }
    try (RandomAccessFile out = new RandomAccessFile(file.toFile(), "rw")) {
      out.writeLong(Long.reverseBytes(length));
    }
    return file;
  }

  /** Headers of the longest that the format allows cost no more than what is kept of them. */
  @Example
  void longHeadersAreBounded() throws IOException {
    String empty = "{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}";
    String ones = "1,".repeat(1000);
    IntFunction<String> tensors = i -> "\"t" + i + "\":" + empty + ",";
    for (int kind = 0; kind < 6; kind++) {
      Path file =
          switch (kind) {
            case 0 -> large("{", tensors, "\"end\":" + empty + "}");
            case 1 -> large("{\"", i -> "n".repeat(1000), "\":" + empty + "}");
            case 2 -> large("{\"__metadata__\":{\"k\":\"", i -> "v".repeat(1000), "\"}}");
            case 3 -> large("{\"__metadata__\":{", i -> "\"" + i + "\":\"\",", "\"k\":\"\"}}");
            case 4 -> large("{\"a\":{\"shape\":[", i -> ones, "1]}}");
            default -> large("{\"a\":{\"b\":", i -> "[".repeat(1000), "}}");
          };
      com.sun.management.ThreadMXBean threads =
          (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
      long before = threads.getCurrentThreadAllocatedBytes();
      assertThatThrownBy(() -> Safetensors.open(file))
          .as("kind %s", kind)
          .isInstanceOf(MalformedFileException.class)
          .hasMessageStartingWith(file.toString());
      assertThat(threads.getCurrentThreadAllocatedBytes() - before)
          .as("bytes that kind %s allocated", kind)
          .isLessThan(400L << 20);
      Files.delete(file);
    }
  }

  @Example
  void headerLengthsAreChecked() throws IOException {
    for (long length : new long[] {0, 1, 3, 1000, Long.MAX_VALUE, -1, 200_000_000}) {
      byte[] bytes =
          ByteBuffer.allocate(10)
              .order(ByteOrder.LITTLE_ENDIAN)
              .putLong(length)
              .put((byte) '{')
              .put((byte) '}')
              .array();
      Path file = Files.write(file(), bytes);
      assertThatThrownBy(() -> Safetensors.open(file))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining("header length")
          .hasMessageContaining(Long.toUnsignedString(length));
    }
    Path file = Files.write(file(), new byte[5]);
    assertThatThrownBy(() -> Safetensors.open(file)).hasMessageContaining("5 bytes");
    assertThatThrownBy(() -> Safetensors.open(directory.resolve("none")))
        .isInstanceOf(NoSuchFileException.class)
        .hasMessageContaining("none");
  }

  @Example
  void typesAndNamesAreChecked() throws IOException {
    new SafetensorsWriter()
        .add("f", ElementType.BF16, (first, into, n) -> Arrays.fill(into, 0, n, 1.5f), 2, 2)
        .add("i", new long[] {-7, 1L << 40}, 2)
        .write(file());
    Safetensors read = Safetensors.open(file());
    assertThat(read.floats("f")).containsExactly(1.5f, 1.5f, 1.5f, 1.5f);
    assertThat(read.longs("i")).containsExactly(-7, 1L << 40);
    assertThatThrownBy(() -> read.floats("i"))
        .hasMessageContaining("'i'")
        .hasMessageContaining("I64");
    assertThatThrownBy(() -> read.longs("f"))
        .hasMessageContaining("'f'")
        .hasMessageContaining("BF16");
    assertThatThrownBy(() -> read.entry("g"))
        .hasMessageContaining("'g'")
        .hasMessageContaining("[f, i]");
    assertThatThrownBy(() -> read.readFloats("f", 3, new float[2], 0, 2))
        .isInstanceOf(IndexOutOfBoundsException.class);
    assertThatThrownBy(
            () -> new SafetensorsWriter().add("a", new float[1], 1).add("a", new float[1], 1))
        .hasMessageContaining("two tensors are named 'a'");
    new SafetensorsWriter().copy("f2", read, "f").write(directory.resolve("copy"));
    Safetensors copy = Safetensors.open(directory.resolve("copy"));
    assertThat(copy.entry("f2").type()).isEqualTo(ElementType.BF16);
    assertThat(copy.entry("f2").shape()).isEqualTo(List.of(2L, 2L));
    assertThat(copy.floats("f2")).isEqualTo(read.floats("f"));
  }

  @Property(tries = 2000)
  void halvesAreRoundedToTheNearest(@ForAll float value) {
    // the half above and below are no nearer
    for (boolean brain : new boolean[] {false, true}) {
      short bits = brain ? Floats.toBf16(value) : Floats.toF16(value);
      float back = brain ? Floats.fromBf16(bits) : Floats.fromF16(bits);
      if (Float.isInfinite(back)) {
        assertThat(Math.abs(value)).isGreaterThanOrEqualTo(brain ? 0x1.ffp127f : 65520f);
        continue;
      }
      for (int step : new int[] {-1, 1}) {
        short neighbour = (short) (bits + step);
        float other = brain ? Floats.fromBf16(neighbour) : Floats.fromF16(neighbour);
        if (Float.isFinite(other)) {
          assertThat(Math.abs((double) value - back))
              .isLessThanOrEqualTo(Math.abs((double) value - other));
        }
      }
    }
  }

  @Example
  void everyHalfIsItself() {
    for (int bits = 0; bits < 1 << 16; bits++) {
      float half = Floats.fromF16((short) bits);
      float brain = Floats.fromBf16((short) bits);
      if (Float.isNaN(half)) {
        assertThat(Floats.fromF16(Floats.toF16(half))).isNaN();
      } else {
        assertThat(Floats.toF16(half)).isEqualTo((short) bits);
      }
      if (Float.isNaN(brain)) {
        assertThat(Floats.fromBf16(Floats.toBf16(brain))).isNaN();
      } else {
        assertThat(Floats.toBf16(brain)).isEqualTo((short) bits);
      }
    }
  }
}
