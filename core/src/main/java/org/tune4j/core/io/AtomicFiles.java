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
 * Writes that happen whole or not at all: to a temporary neighbour, forced to the disk, then moved
 * into place. What was there before stays until then. Interrupting the thread does not disturb a
 * write.
 */
public final class AtomicFiles {
  private static final String TEMPORARY = ".tmp-";
  private static final String OLD = ".old";

  private AtomicFiles() {}

  /** Writes to a stream. */
  @FunctionalInterface
  public interface Writer {
    /** Writes everything; the stream is closed by the caller. */
    void write(OutputStream out) throws IOException;
  }

  /** Fills a directory. */
  @FunctionalInterface
  public interface DirectoryWriter {
    /** Writes files into an empty directory. */
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
   * Writes a directory; one that exists is replaced. Between removing the old and moving the new
   * one in, a crash leaves the old one under its name with {@code .old} appended, which {@link
   * #recover} puts back. No other process may be writing it.
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
   * Like {@link #writeDirectory(Path, DirectoryWriter)}, but refuses to replace what is no
   * directory or holds anything that the new one would not: it is probably not what the caller
   * meant.
   *
   * @param replaceable accepts the names of files that may be replaced or removed; of a directory
   *     inside, its name with a slash behind, then those of what it holds, as in {@code a/b}
   */
  public static void writeDirectory(
      Path directory, Predicate<String> replaceable, DirectoryWriter writer) throws IOException {
    if (Files.exists(directory)) {
      if (!Files.isDirectory(directory)) {
        throw new FileAlreadyExistsException(directory.toString(), null, "it is no directory");
      }
      Optional<String> other = foreign(directory, "", replaceable);
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

  private static Optional<String> foreign(
      Path directory, String prefix, Predicate<String> replaceable) throws IOException {
    List<Path> entries;
    try (Stream<Path> list = Files.list(directory)) {
      entries = list.toList();
    }
    for (Path entry : entries) {
      boolean inner = Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS);
      String name = prefix + entry.getFileName() + (inner ? "/" : "");
      if (!replaceable.test(name) || !(inner || Files.isRegularFile(entry))) {
        return Optional.of(name);
      }
      Optional<String> within = inner ? foreign(entry, name, replaceable) : Optional.empty();
      if (within.isPresent()) {
        return within;
      }
    }
    return Optional.empty();
  }

  /**
   * Puts right what a process that was killed in {@link #writeDirectory(Path, DirectoryWriter)}
   * left: what it had set aside is put back if the new one is not in place, and what it had not
   * finished is deleted. No other process may be writing the directory.
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
        String prefix = target.getFileName() + TEMPORARY;
        unfinished = siblings.filter(p -> p.getFileName().toString().startsWith(prefix)).toList();
      }
      for (Path p : unfinished) {
        deleteRecursively(p);
      }
    }
  }

  private static Path old(Path target) {
    return target.resolveSibling(target.getFileName() + OLD);
  }

  /** A name of its own, and not Java's temporary files, which only their owner may read. */
  private static Path temporary(Path target) {
    return target.resolveSibling(target.getFileName() + TEMPORARY + UUID.randomUUID());
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

  /** Deletes a directory and all in it, if it exists. */
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
