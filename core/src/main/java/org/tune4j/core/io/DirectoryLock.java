package org.tune4j.core.io;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Reserves a directory for one writer at a time, within this JVM and across processes, by an
 * operating-system lock on the file {@value #FILE} in it. The lock ends with its process; a
 * leftover file blocks nobody. On network file systems it is as reliable as their locks.
 *
 * <p>It never waits: taking a directory that is in use fails at once.
 */
public final class DirectoryLock implements AutoCloseable {
  /** The locked file; it exists only while the directory is held. */
  public static final String FILE = ".tune4j-lock";

  /** Beyond the content, so that others can read who holds the lock. */
  private static final long LOCKED_BYTE = Long.MAX_VALUE - 1;

  /**
   * Directories held by this JVM. A second attempt must not even open the file: on some systems
   * closing it would release the first one's lock.
   */
  private static final Set<Path> HELD = new HashSet<>();

  private final Path directory; // real
  private final boolean created;
  private final RandomAccessFile file;
  private boolean closed;

  private DirectoryLock(Path directory, boolean created, RandomAccessFile file) {
    this.directory = directory;
    this.created = created;
    this.file = file;
  }

  /**
   * Takes a directory, creating it if there is none.
   *
   * @throws FileSystemException if it is in use; the message names it and, if known, the process
   * @throws IOException if it cannot be written to; the message names it
   */
  public static DirectoryLock take(Path directory) throws IOException {
    boolean created = !Files.exists(directory);
    Path real;
    try {
      Files.createDirectories(directory);
      real = directory.toRealPath();
    } catch (IOException e) {
      throw new IOException("cannot write to the output directory " + directory + ": " + e, e);
    }
    synchronized (HELD) {
      if (HELD.contains(real)) {
        throw inUse(directory, "another run of this program");
      }
      DirectoryLock lock = new DirectoryLock(real, created, lock(directory, real.resolve(FILE)));
      HELD.add(real);
      return lock;
    }
  }

  private static RandomAccessFile lock(Path directory, Path path) throws IOException {
    while (true) {
      RandomAccessFile file;
      try {
        file =
            new RandomAccessFile(path.toFile(), "rw"); // unlike a channel, not closed by interrupts
      } catch (IOException e) {
        throw new IOException("cannot write to the output directory " + directory + ": " + e, e);
      }
      boolean locked = false;
      try {
        FileLock lock = file.getChannel().tryLock(LOCKED_BYTE, 1, false);
        if (lock == null) {
          String holder = file.readLine();
          throw inUse(
              directory, holder == null || holder.isBlank() ? "another process" : holder.strip());
        }
        // the previous holder may have deleted the file after it was opened here
        if (same(path, file)) {
          file.setLength(0);
          file.write(
              ("process " + ProcessHandle.current().pid() + "\n").getBytes(StandardCharsets.UTF_8));
          locked = true;
          return file;
        }
      } finally {
        if (!locked) {
          file.close();
        }
      }
    }
  }

  /**
   * Returns whether the path still names the open file. Told by setting a length: opening the file
   * again and closing it would release the lock on some systems.
   */
  private static boolean same(Path path, RandomAccessFile file) throws IOException {
    long length = ThreadLocalRandom.current().nextLong(1 << 20, 1 << 30);
    file.setLength(length);
    try {
      return Files.size(path) == length;
    } catch (NoSuchFileException deleted) {
      return false;
    }
  }

  private static FileSystemException inUse(Path directory, String holder) {
    return new FileSystemException(
        directory.toString(),
        null,
        "the directory is in use by " + holder + "; choose another, or wait");
  }

  /** Returns the real path of the directory, with symbolic links resolved. */
  public Path directory() {
    return directory;
  }

  /** Releases the directory, and removes it if the lock created it and it is empty. */
  @Override
  public void close() throws IOException {
    synchronized (HELD) {
      if (closed) {
        return;
      }
      closed = true;
      try {
        Files.deleteIfExists(
            directory.resolve(
                FILE)); // while still locked, so that no other holder's file is deleted
      } finally {
        file.close();
        HELD.remove(directory);
      }
      if (created) {
        try {
          Files.deleteIfExists(directory);
        } catch (DirectoryNotEmptyException notEmpty) {
          // it is in use as an output directory
        }
      }
    }
  }
}
