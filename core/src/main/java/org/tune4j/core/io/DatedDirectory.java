package org.tune4j.core.io;

import com.google.common.annotations.VisibleForTesting;
import java.io.IOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.Locale;

/**
 * Where a run writes whose caller named no directory: {@code tune4j-runs/<time>-<what>} in the
 * working directory, with the local time to the second. Runs that begin in the same second get
 * directories of their own, also those of other processes: making one is what claims it, and a name
 * that is taken is continued with {@code -2}, {@code -3} and so on.
 */
public final class DatedDirectory {
  private static final Path RUNS = Path.of("tune4j-runs");
  private static final DateTimeFormatter TIME =
      DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss", Locale.ROOT);

  private DatedDirectory() {}

  /** What is done in a directory. */
  @FunctionalInterface
  public interface Use<T> {
    /** Runs in a directory, which is empty. */
    T in(Path directory) throws IOException;
  }

  /**
   * Makes a directory and runs in it. One that is still empty at the end is removed.
   *
   * @param what is run, such as the name of a strategy
   * @throws IOException if the directory cannot be made, or as {@code use} does
   */
  public static <T> T use(String what, Use<T> use) throws IOException {
    return use(RUNS, LocalDateTime.now(ZoneId.systemDefault()), what, use);
  }

  @VisibleForTesting
  static <T> T use(Path parent, LocalDateTime time, String what, Use<T> use) throws IOException {
    Path directory = make(parent, TIME.format(time) + "-" + FileNames.of(what));
    try {
      return use.in(directory);
    } finally {
      try {
        Files.deleteIfExists(directory);
      } catch (DirectoryNotEmptyException filled) {
        // as it should be
      }
    }
  }

  private static Path make(Path parent, String name) throws IOException {
    Files.createDirectories(parent);
    for (int i = 1; ; i++) {
      try {
        return Files.createDirectory(parent.resolve(i == 1 ? name : name + "-" + i));
      } catch (FileAlreadyExistsException taken) {
        // by a run that began in the same second
      }
    }
  }
}
