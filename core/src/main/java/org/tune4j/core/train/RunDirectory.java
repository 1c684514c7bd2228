package org.tune4j.core.train;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.DirectoryLock;
import org.tune4j.core.io.FileNames;

/** The output directory of a run: its layout, its lock, and the treatment of an existing run. */
final class RunDirectory implements AutoCloseable {
  /** What to do if the directory already has a run. */
  enum Existing {
    /** Fail and leave it unchanged. */
    REFUSE,
    /** Continue it. */
    RESUME,
    /** Remove it and start over. */
    OVERWRITE
  }

  private static final List<String> PARTS =
      List.of("checkpoint", "steps.jsonl", "stages", "bases", "adapters");

  private final Path path;
  private final DirectoryLock lock;

  private RunDirectory(Path path, DirectoryLock lock) {
    this.path = path;
    this.lock = lock;
  }

  /**
   * Takes a directory for a run.
   *
   * @throws java.nio.file.FileSystemException if another run is using it
   * @throws FileAlreadyExistsException if it has a run and {@code existing} is {@code REFUSE}
   */
  static RunDirectory take(Path path, Existing existing) throws IOException {
    DirectoryLock lock = DirectoryLock.take(path);
    if (existing == Existing.REFUSE) {
      for (String part : PARTS) {
        if (Files.exists(path.resolve(part))) {
          lock.close();
          throw new FileAlreadyExistsException(
              path.toString(),
              null,
              "the directory already has a run ('%s'): resume() or --resume continues it, overwrite() or --overwrite replaces it"
                  .formatted(part));
        }
      }
    }
    return new RunDirectory(path, lock);
  }

  /** Removes the existing run. */
  void clear() throws IOException {
    for (String part : PARTS) {
      AtomicFiles.recover(path.resolve(part)); // removes unfinished writes
      AtomicFiles.deleteRecursively(path.resolve(part));
    }
  }

  static Path steps(Path output) {
    return output.resolve("steps.jsonl");
  }

  static Path checkpoint(Path output) {
    return output.resolve("checkpoint");
  }

  static Path stage(Path output, int index, Stage stage) {
    return output.resolve("stages").resolve(numbered(index, stage));
  }

  static Path base(Path output, int index, Stage stage) {
    return output.resolve("bases").resolve(numbered(index, stage));
  }

  private static String numbered(int index, Stage stage) {
    return FileNames.of((index + 1) + "-" + stage.name());
  }

  static Path adapter(Path output, String adapter) {
    return named(output.resolve("adapters"), adapter);
  }

  static Path named(Path directory, String adapter) {
    return directory.resolve(FileNames.of(adapter));
  }

  @Override
  public void close() throws IOException {
    lock.close();
  }
}
