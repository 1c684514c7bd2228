package org.tune4j.core.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DatedDirectoryTest {
  private static final LocalDateTime SECOND = LocalDateTime.of(2024, 2, 29, 23, 5, 9);

  @TempDir Path folder;

  private String run(String what) throws IOException {
    return DatedDirectory.use(
        folder.resolve("runs"),
        SECOND,
        what,
        directory -> {
          Files.writeString(directory.resolve("result"), what);
          return directory.getFileName().toString();
        });
  }

  @Test
  void runsOfOneSecondAreKeptApartInAnyOrder() throws IOException {
    assertThat(run("sequential")).isEqualTo("20240229-230509-sequential");
    assertThat(run("experiment")).isEqualTo("20240229-230509-experiment");
    assertThat(run("sequential")).isEqualTo("20240229-230509-sequential-2");
    assertThat(run("experiment")).isEqualTo("20240229-230509-experiment-2");
    assertThat(run("sequential")).isEqualTo("20240229-230509-sequential-3");
  }

  @Test
  void runsThatBeginAtOnceAreKeptApart() throws Exception {
    int runs = 16;
    CyclicBarrier start = new CyclicBarrier(runs);
    ExecutorService threads = Executors.newFixedThreadPool(runs);
    try {
      List<Future<String>> names = new ArrayList<>();
      for (int i = 0; i < runs; i++) {
        names.add(
            threads.submit(
                () -> {
                  start.await();
                  return run("sequential");
                }));
      }
      List<String> got = new ArrayList<>();
      for (Future<String> name : names) {
        got.add(name.get());
      }
      assertThat(got).doesNotHaveDuplicates();
    } finally {
      threads.shutdownNow();
    }
  }

  @Test
  void onlyWhatWasWrittenStays() throws IOException {
    Path runs = folder.resolve("runs");
    assertThatThrownBy(
            () ->
                DatedDirectory.use(
                    runs,
                    SECOND,
                    "failed",
                    directory -> {
                      assertThat(directory).isEmptyDirectory();
                      throw new NoSuchFileException("data");
                    }))
        .isInstanceOf(NoSuchFileException.class);
    assertThat(runs).isEmptyDirectory();
    run("completed");
    assertThat(runs.resolve("20240229-230509-completed/result")).hasContent("completed");
  }

  @Test
  void namesAreAsciiEverywhere() throws IOException {
    Locale before = Locale.getDefault();
    try {
      Locale.setDefault(Locale.forLanguageTag("ar-EG-u-nu-arab"));
      assertThat(run("eins/zwei")).isEqualTo("20240229-230509-eins%2Fzwei");
    } finally {
      Locale.setDefault(before);
    }
  }
}
