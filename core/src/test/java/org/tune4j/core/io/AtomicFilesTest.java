package org.tune4j.core.io;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AtomicFilesTest {
  @TempDir Path directory;

  private Stream<String> names() throws IOException {
    try (Stream<Path> files = Files.list(directory)) {
      return files.map(p -> p.getFileName().toString()).sorted().toList().stream();
    }
  }

  @Test
  void aFailedWriteLeavesWhatWasThere() throws IOException {
    Path file = directory.resolve("new/file.txt");
    AtomicFiles.writeString(file, "first");
    assertThatThrownBy(
            () ->
                AtomicFiles.write(
                    file,
                    out -> {
                      out.write("second".getBytes(UTF_8));
                      throw new IOException("disk full");
                    }))
        .isInstanceOf(IOException.class)
        .hasMessageContaining(file.toString())
        .hasMessageContaining("disk full");
    assertThat(file).hasContent("first");

    assertThat(file.getParent()).isDirectoryNotContaining(p -> p.toString().contains(".tmp"));
  }

  @Test
  void aFailedDirectoryLeavesWhatWasThere() throws IOException {
    Path target = directory.resolve("adapter");
    AtomicFiles.writeDirectory(target, d -> Files.writeString(d.resolve("a"), "1"));
    for (Throwable failure :
        new Throwable[] {new IOException("full"), new IllegalStateException("bug")}) {
      assertThatThrownBy(
              () ->
                  AtomicFiles.writeDirectory(
                      target,
                      d -> {
                        Files.writeString(d.resolve("b"), "2");
                        if (failure instanceof IOException e) {
                          throw e;
                        }
                        throw (IllegalStateException) failure;
                      }))
          .hasMessageContaining(failure.getMessage());
    }
    assertThat(target.resolve("a")).hasContent("1");
    assertThat(target.resolve("b")).doesNotExist();
    assertThat(names()).containsExactly("adapter");
  }

  @Test
  void aDirectoryIsReplacedWhole() throws IOException {
    Path target = directory.resolve("adapter");
    AtomicFiles.writeDirectory(target, d -> Files.writeString(d.resolve("a"), "1"));
    AtomicFiles.writeDirectory(target, d -> Files.writeString(d.resolve("b"), "2"));
    assertThat(target.resolve("a")).doesNotExist();
    assertThat(target.resolve("b")).hasContent("2");
    assertThat(names()).containsExactly("adapter");
  }

  /** The states that a process killed in the middle of a write leaves. */
  @Test
  void whatAKilledProcessLeftIsPutRight() throws IOException {
    Path target = directory.resolve("checkpoint");
    Files.createDirectory(directory.resolve("checkpoint.tmp-1"));
    Files.writeString(directory.resolve("checkpoint.tmp-1/state.json.tmp-2"), "{");
    AtomicFiles.recover(target);
    assertThat(names()).isEmpty();

    Files.createDirectory(directory.resolve("checkpoint.old"));
    Files.writeString(directory.resolve("checkpoint.old/state.json"), "old");
    Files.createDirectory(directory.resolve("checkpoint.tmp-1"));
    AtomicFiles.recover(target);
    assertThat(target.resolve("state.json")).as("not moved yet: the old one").hasContent("old");
    assertThat(names()).containsExactly("checkpoint");

    Files.createDirectory(directory.resolve("checkpoint.old"));
    Files.writeString(directory.resolve("checkpoint.old/state.json"), "older");
    AtomicFiles.writeDirectory(target, d -> Files.writeString(d.resolve("state.json"), "new"));
    assertThat(target.resolve("state.json")).hasContent("new");
    assertThat(names()).containsExactly("checkpoint");
    AtomicFiles.recover(directory.resolve("nowhere/checkpoint"));
  }

  @Test
  void interruptsDoNotDisturb() throws IOException {
    Thread.currentThread().interrupt();
    AtomicFiles.writeString(directory.resolve("file"), "text");
    assertThat(Thread.interrupted()).isTrue();
    assertThat(directory.resolve("file")).hasContent("text");
  }

  @Test
  void filesCanBeReadByWhomTheUserLets() throws IOException {
    Assumptions.assumeTrue(
        directory.getFileSystem().supportedFileAttributeViews().contains("posix"));
    Path plain = Files.writeString(directory.resolve("plain"), "x");
    Path ours = directory.resolve("ours");
    AtomicFiles.writeString(ours, "x");
    java.util.Set<PosixFilePermission> expected = Files.getPosixFilePermissions(plain);
    assertThat(Files.getPosixFilePermissions(ours)).isEqualTo(expected);
  }

  @Test
  void unwritablePlacesAreNamed() throws IOException {
    Path file = Files.writeString(directory.resolve("file"), "x");
    assertThatThrownBy(() -> AtomicFiles.writeString(file.resolve("below"), "y"))
        .isInstanceOf(IOException.class)
        .hasMessageContaining(file.resolve("below").toString());
    assertThatThrownBy(() -> AtomicFiles.writeDirectory(file.resolve("below"), d -> {}))
        .isInstanceOf(IOException.class)
        .hasMessageContaining(file.resolve("below").toString());
    assertThat(file).hasContent("x");
  }
}
