package org.tune4j.core.io;

import java.io.BufferedOutputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * All-or-nothing writes: to a temporary sibling, synced to disk, then moved into place. What was
 * there before stays until then. Interrupting the thread does not disturb a write.
 */
public final class AtomicFiles {
  private static final String TEMPORARY_INFIX = ".tmp-";
  private static final String OLD_SUFFIX = ".old";

  private AtomicFiles() {}

  /** Writes to a stream. */
  @FunctionalInterface
  public interface Writer {
    /** Writes the whole content; the caller closes the stream. */
    void write(OutputStream out) throws IOException;
  }

  /** Fills a directory. */
  @FunctionalInterface
  public interface DirectoryWriter {
    /** Writes files into a directory that is empty. */
    void write(Path directory) throws IOException;
  }

  /**
   * Writes a file.
   *
   * @throws IOException if it cannot be written; the message names the file
   */
  public static void write(Path file, Writer writer) throws IOException {
    Path target = file.toAbsolutePath().normalize();
    Path temporary = null;
    try {
      Files.createDirectories(target.getParent());
      temporary = temporary(target);
      // no channel: an interrupt would close it
      try (FileOutputStream opened = new FileOutputStream(temporary.toFile())) {
        OutputStream out = new BufferedOutputStream(opened, 1 << 16);
        writer.write(out);
        out.flush();
        opened.getFD().sync();
      }
      move(temporary, target);
    } catch (IOException e) {
      deleteIfPresent(temporary);
      throw new IOException("cannot write " + file + ": " + e, e);
    } catch (RuntimeException | Error e) {
      deleteIfPresent(temporary);
      throw e;
    }
  }

  /** Writes a text file in UTF-8. */
  public static void writeString(Path file, String text) throws IOException {
    write(file, out -> out.write(text.getBytes(StandardCharsets.UTF_8)));
  }

  /**
   * Writes a directory, replacing one that exists. A crash after the old one was moved away and
   * before the new one is in place leaves the old one under its name plus {@code .old}; {@link
   * #recover} restores it. No other process may write the directory at the same time.
   *
   * @throws IOException if it cannot be written; the message names the directory
   */
  public static void writeDirectory(Path directory, DirectoryWriter writer) throws IOException {
    Path target = directory.toAbsolutePath().normalize();
    Path old = old(target);
    Path temporary = null;
    try {
      Files.createDirectories(target.getParent());
      recover(target);
      temporary = Files.createDirectory(temporary(target));
      writer.write(temporary);
      deleteRecursively(old);
      if (Files.exists(target)) {
        move(target, old);
      }
      move(temporary, target);
      deleteRecursively(old);
    } catch (IOException e) {
      deleteRecursively(temporary);
      if (Files.exists(old) && !Files.exists(target)) {
        move(old, target);
      }
      throw new IOException("cannot write " + directory + ": " + e, e);
    } catch (RuntimeException | Error e) {
      deleteRecursively(temporary);
      throw e;
    }
  }

  /**
   * Like {@link #writeDirectory(Path, DirectoryWriter)}, but refuses to replace something that is
   * not a directory, or a directory with files that are not {@code replaceable}: the caller
   * probably named the wrong one.
   *
   * @param replaceable accepts the names of files that may be replaced or removed; a subdirectory
   *     is asked for as {@code a/}, then its entries as {@code a/b}
   */
  public static void writeDirectory(
      Path directory, Predicate<String> replaceable, DirectoryWriter writer) throws IOException {
    if (Files.exists(directory)) {
      if (!Files.isDirectory(directory)) {
        throw new FileAlreadyExistsException(directory.toString(), null, "it is not a directory");
      }
      Optional<String> other = firstUnreplaceable(directory, "", replaceable);
      if (other.isPresent()) {
        throw new FileAlreadyExistsException(
            directory.toString(),
            null,
            "it holds '%s', which replacing the directory would delete: choose one that is new, or only holds what is written here"
                .formatted(other.get()));
      }
    }
    writeDirectory(directory, writer);
  }

  private static Optional<String> firstUnreplaceable(
      Path directory, String prefix, Predicate<String> replaceable) throws IOException {
    List<Path> entries;
    try (Stream<Path> list = Files.list(directory)) {
      entries = list.toList();
    }
    for (Path entry : entries) {
      boolean isDirectory = Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS);
      String name = prefix + entry.getFileName() + (isDirectory ? "/" : "");
      if (!replaceable.test(name) || !(isDirectory || Files.isRegularFile(entry))) {
        return Optional.of(name);
      }
      Optional<String> nested =
          isDirectory ? firstUnreplaceable(entry, name, replaceable) : Optional.empty();
      if (nested.isPresent()) {
        return nested;
      }
    }
    return Optional.empty();
  }

  /**
   * Cleans up after a process that was killed in {@link #writeDirectory(Path, DirectoryWriter)}:
   * restores the old directory if the new one is not in place, and deletes unfinished ones. No
   * other process may write the directory at the same time.
   */
  public static void recover(Path directory) throws IOException {
    Path target = directory.toAbsolutePath().normalize();
    Path old = old(target);
    if (Files.exists(old) && !Files.exists(target)) {
      move(old, target);
    }
    deleteRecursively(old);
    if (Files.isDirectory(target.getParent())) {
      List<Path> unfinished;
      try (Stream<Path> siblings = Files.list(target.getParent())) {
        String prefix = target.getFileName() + TEMPORARY_INFIX;
        unfinished = siblings.filter(p -> p.getFileName().toString().startsWith(prefix)).toList();
      }
      for (Path p : unfinished) {
        deleteRecursively(p);
      }
    }
  }

  private static Path old(Path target) {
    return target.resolveSibling(target.getFileName() + OLD_SUFFIX);
  }

  /** A unique sibling; not {@code Files.createTempFile}, whose files only their owner may read. */
  private static Path temporary(Path target) {
    return target.resolveSibling(target.getFileName() + TEMPORARY_INFIX + UUID.randomUUID());
  }

  private static void move(Path from, Path to) throws IOException {
    try {
      Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
    } catch (AtomicMoveNotSupportedException e) {
      Files.move(from, to, StandardCopyOption.REPLACE_EXISTING);
    }
  }

  private static void deleteIfPresent(Path file) throws IOException {
    if (file != null) {
      Files.deleteIfExists(file);
    }
  }

  /** Deletes a directory and everything in it, if it exists. */
  public static void deleteRecursively(Path directory) throws IOException {
    if (directory == null || !Files.exists(directory)) {
      return;
    }
    List<Path> all;
    try (Stream<Path> walk = Files.walk(directory)) {
      all = walk.sorted(Comparator.reverseOrder()).toList();
    }
    for (Path p : all) {
      Files.delete(p);
    }
  }
}
