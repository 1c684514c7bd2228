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
 * The output directory of a run whose caller named none: {@code tune4j-runs/<time>-<what>} in the
 * working directory, with the local time to the second. Creating the directory claims it, across
 * processes too: if the name is taken, {@code -2}, {@code -3} and so on is appended.
 */
public final class DatedDirectory {
  private static final Path RUNS = Path.of("tune4j-runs");
  private static final DateTimeFormatter TIME =
      DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss", Locale.ROOT);

  private DatedDirectory() {}

  /** Work done in a directory. */
  @FunctionalInterface
  public interface Use<T> {
    /** Runs in a directory that is empty. */
    T in(Path directory) throws IOException;
  }

  /**
   * Creates a directory and runs in it. If it is still empty at the end, it is removed.
   *
   * @param what names the run, such as the name of a strategy
   * @throws IOException if the directory cannot be created, or {@code use} throws it
   */
  public static <T> T use(String what, Use<T> use) throws IOException {
    return use(RUNS, LocalDateTime.now(ZoneId.systemDefault()), what, use);
  }

  @VisibleForTesting
  static <T> T use(Path parent, LocalDateTime time, String what, Use<T> use) throws IOException {
    Path directory = create(parent, TIME.format(time) + "-" + FileNames.of(what));
    try {
      return use.in(directory);
    } finally {
      try {
        Files.deleteIfExists(directory);
      } catch (DirectoryNotEmptyException notEmpty) {
        // the run's output stays
      }
    }
  }

  private static Path create(Path parent, String name) throws IOException {
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
