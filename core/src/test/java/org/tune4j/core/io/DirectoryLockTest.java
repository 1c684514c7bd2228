package org.tune4j.core.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

class DirectoryLockTest {
  @TempDir Path folder;

  @Test
  void holdsADirectoryUntilItIsClosed() throws IOException {
    Path run = folder.resolve("run");
    DirectoryLock lock = DirectoryLock.take(run);
    Files.createSymbolicLink(folder.resolve("link"), run);
    for (Path same : List.of(run, run.resolve("../run"), folder.resolve("link"))) {
      assertThatThrownBy(() -> DirectoryLock.take(same))
          .isInstanceOf(FileSystemException.class)
          .hasMessageContaining(same.toString())
          .hasMessageContaining("in use");
    }
    DirectoryLock.take(folder.resolve("other")).close();
    lock.close();
    lock.close();
    assertThat(run).as("made for the lock and empty").doesNotExist();
    try (DirectoryLock again = DirectoryLock.take(run)) {
      Files.writeString(run.resolve("kept"), "");
      assertThat(again.directory()).isEqualTo(run.toRealPath());
    }
    assertThat(run).isDirectoryContaining("glob:**/kept");
    assertThat(run.resolve(DirectoryLock.FILE)).doesNotExist();
  }

  @Test
  void anInterruptedThreadTakesItToo() throws IOException {
    Thread.currentThread().interrupt();
    try (DirectoryLock lock = DirectoryLock.take(folder.resolve("run"))) {
      assertThatThrownBy(() -> DirectoryLock.take(lock.directory())).hasMessageContaining("in use");
    }
    assertThat(Thread.interrupted()).isTrue();
  }

  @Test
  void aPlaceThatCannotBeWrittenToIsNamed() throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "");
    assertThatThrownBy(() -> DirectoryLock.take(file.resolve("run")))
        .isInstanceOf(IOException.class)
        .hasMessageContaining("cannot write to the output directory " + file.resolve("run"));
  }

  @Test
  void ofManyAtOnceOneHasIt() throws Exception {
    AtomicInteger inside = new AtomicInteger();
    AtomicInteger taken = new AtomicInteger();
    Callable<Void> work =
        () -> {
          for (int i = 0; i < 200; i++) {
            try (DirectoryLock lock = DirectoryLock.take(folder)) {
              assertThat(inside.incrementAndGet()).as("%s", lock.directory()).isEqualTo(1);
              taken.incrementAndGet();
              inside.decrementAndGet();
            } catch (FileSystemException busy) {
              assertThat(busy).hasMessageContaining("in use");
            }
          }
          return null;
        };
    ExecutorService threads = Executors.newFixedThreadPool(4);
    try {
      List<Future<Void>> all = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        all.add(threads.submit(work));
      }
      for (Future<Void> f : all) {
        f.get();
      }
    } finally {
      threads.shutdownNow();
    }
    assertThat(taken.get()).isPositive();
  }

  /** Takes a directory and says so, then waits. */
  static final class Holder {
    private Holder() {}

    public static void main(String[] args) throws Exception {
      DirectoryLock.take(Path.of(args[0]));
      System.out.println("taken");
      Thread.sleep(600_000);
    }
  }

  @Test
  @Timeout(120)
  void anotherProcessHoldsItUntilItIsKilled() throws Exception {
    Path run = folder.resolve("run");
    Process holder =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty(
                    "surefire.test.class.path", System.getProperty("java.class.path")),
                Holder.class.getName(),
                run.toString())
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    try (BufferedReader out = holder.inputReader(StandardCharsets.UTF_8)) {
      assertThat(out.readLine()).isEqualTo("taken");
      assertThatThrownBy(() -> DirectoryLock.take(run))
          .isInstanceOf(FileSystemException.class)
          .hasMessageContaining("process " + holder.pid());
    } finally {
      holder.destroyForcibly();
    }
    holder.waitFor();
    assertThat(run.resolve(DirectoryLock.FILE)).as("left behind").exists();
    assertThatCode(() -> DirectoryLock.take(run).close()).doesNotThrowAnyException();
    assertThat(run.resolve(DirectoryLock.FILE)).doesNotExist();
  }
}
