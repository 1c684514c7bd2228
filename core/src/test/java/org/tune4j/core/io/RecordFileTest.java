package org.tune4j.core.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;

class RecordFileTest {
  private static List<byte[]> records(long seed, int count, int longest) {
    Random random = new Random(seed);
    List<byte[]> all = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      byte[] record = new byte[random.nextInt(longest + 1)];
      random.nextBytes(record);
      all.add(record);
    }
    return all;
  }

  private static RecordFile write(List<byte[]> records, int segment) throws IOException {
    try (RecordFile.Writer writer = RecordFile.writer(segment)) {
      for (byte[] record : records) {
        writer.append(record);
      }
      return writer.finish();
    }
  }

  @Property(tries = 200)
  void givesBackEveryRecordInAnyOrderOverAnyNumberOfPieces(
      @ForAll long seed,
      @ForAll @IntRange(max = 200) int count,
      @ForAll @IntRange(min = 1, max = 20) int eights)
      throws IOException {
    int segment = 8 * eights;
    List<byte[]> records = records(seed, count, segment - Integer.BYTES);
    RecordFile file = write(records, segment);
    assertThat(file.size()).isEqualTo(count);
    IntStream.range(0, count)
        .parallel()
        .map(i -> count - 1 - i)
        .forEach(i -> assertThat(file.get(i)).isEqualTo(records.get(i)));
  }

  @Example
  void takesRecordsLargerThanItsBuffer() throws IOException {
    List<byte[]> records = records(1, 20, 300_000);
    RecordFile file = write(records, 1 << 20);
    for (int i = 0; i < records.size(); i++) {
      assertThat(file.get(i)).isEqualTo(records.get(i));
    }
  }

  @Example
  void anInterruptDoesNotDisturbIt() throws IOException {
    List<byte[]> records = records(2, 1000, 100);
    Thread.currentThread().interrupt();
    RecordFile file = write(records, 4096);
    assertThat(Thread.interrupted()).isTrue();
    assertThat(file.get(999)).isEqualTo(records.get(999));
  }

  @Example
  void leavesNoFile() throws IOException {
    RecordFile file = write(records(3, 100, 100), 4096);
    if (!Files.isDirectory(Path.of("/proc/self"))) {
      return; // the names go on Linux; elsewhere they may stay until the end
    }
    try (Stream<Path> all = Files.list(Path.of(System.getProperty("java.io.tmpdir")))) {
      long pid = ProcessHandle.current().pid();
      assertThat(all.map(Path::toString).filter(p -> p.contains("tune4j-" + pid + "-"))).isEmpty();
    }
    assertThat(file.size()).isEqualTo(100);
  }

  @Example
  void refusesWhatIsNotThereOrDoesNotFit() throws IOException {
    RecordFile file = write(records(4, 3, 10), 64);
    assertThatThrownBy(() -> file.get(3)).hasMessageContaining("record 3 of 3");
    assertThatThrownBy(() -> file.get(-1)).isInstanceOf(IllegalArgumentException.class);
    try (RecordFile.Writer writer = RecordFile.writer(64)) {
      assertThatThrownBy(() -> writer.append(new byte[61]))
          .hasMessageContaining("61 bytes, more than 60");
    }
  }
}
