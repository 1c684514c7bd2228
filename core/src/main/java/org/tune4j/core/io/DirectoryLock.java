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
 * Holds a directory for one writer at a time, within this JVM and among processes, by a lock of the
 * operating system on the file {@value #FILE} in it. A process that dies, however, gives it back;
 * the file that it leaves holds up nobody. On network file systems it is as good as their locks.
 *
 * <p>Nobody waits: a directory in use is refused at once.
 */
public final class DirectoryLock implements AutoCloseable {
  /** The file that is locked; it is there only while the directory is held. */
  public static final String FILE = ".tune4j-lock";

  /** A byte that is never written, so that others can read who holds the file. */
  private static final long LOCKED_BYTE = Long.MAX_VALUE - 1;

  /**
   * What this JVM holds. Beside telling at once, this keeps a second attempt from opening the file,
   * as closing it again would give up the first one's lock on some systems.
   */
  private static final Set<Path> HELD = new HashSet<>();

  private final Path directory; // real
  private final boolean made;
  private final RandomAccessFile file;
  private boolean closed;

  private DirectoryLock(Path directory, boolean made, RandomAccessFile file) {
    this.directory = directory;
    this.made = made;
    this.file = file;
  }

  /**
   * Takes a directory, which is made if there is none.
   *
   * @throws FileSystemException if it is in use; the message names it, and the process if known
   * @throws IOException if it cannot be written to; the message names it
   */
  public static DirectoryLock take(Path directory) throws IOException {
    boolean made = !Files.exists(directory);
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
      DirectoryLock lock = new DirectoryLock(real, made, lock(directory, real.resolve(FILE)));
      HELD.add(real);
      return lock;
    }
  }

  private static RandomAccessFile lock(Path directory, Path path) throws IOException {
    while (true) {
      RandomAccessFile file;
      try {
        file = new RandomAccessFile(path.toFile(), "rw"); // writes that interrupts leave alone
      } catch (IOException e) {
        throw new IOException("cannot write to the output directory " + directory + ": " + e, e);
      }
      boolean kept = false;
      try {
        FileLock lock = file.getChannel().tryLock(LOCKED_BYTE, 1, false);
        if (lock == null) {
          String holder = file.readLine();
          throw inUse(
              directory, holder == null || holder.isBlank() ? "another process" : holder.strip());
        }
        // whoever held it may have deleted the file after it was opened here
        if (same(path, file)) {
          file.setLength(0);
          file.write(
              ("process " + ProcessHandle.current().pid() + "\n").getBytes(StandardCharsets.UTF_8));
          kept = true;
          return file;
        }
      } finally {
        if (!kept) {
          file.close();
        }
      }
    }
  }

  /**
   * Returns whether the open file is the one that the path names now: by a length, as closing the
   * file after opening it another time would give up the lock on some systems.
   */
  private static boolean same(Path path, RandomAccessFile file) throws IOException {
    long length = ThreadLocalRandom.current().nextLong(1 << 20, 1 << 30);
    file.setLength(length);
    try {
      return Files.size(path) == length;
    } catch (NoSuchFileException gone) {
      return false;
    }
  }

  private static FileSystemException inUse(Path directory, String holder) {
    return new FileSystemException(
        directory.toString(),
        null,
        "the directory is in use by " + holder + "; choose another, or wait");
  }

  /** Returns the directory, without symbolic links. */
  public Path directory() {
    return directory;
  }

  /** Gives the directory back; one that was made for it and holds nothing is removed. */
  @Override
  public void close() throws IOException {
    synchronized (HELD) {
      if (closed) {
        return;
      }
      closed = true;
      try {
        Files.deleteIfExists(directory.resolve(FILE)); // first, so that nobody's file is deleted
      } finally {
        file.close();
        HELD.remove(directory);
      }
      if (made) {
        try {
          Files.deleteIfExists(directory);
        } catch (DirectoryNotEmptyException filled) {
          // as it should be
        }
      }
    }
  }
}
