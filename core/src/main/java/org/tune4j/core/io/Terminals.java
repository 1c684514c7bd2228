package org.tune4j.core.io;

import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** Detects terminals: lines that are redrawn in place would fill a log with control codes. */
public final class Terminals {
  private Terminals() {}

  /**
   * Returns whether standard error is a terminal that can redraw a line, outside of continuous
   * integration (environment variables {@code TERM} and {@code CI}).
   */
  public static boolean onStandardError() {
    return capable(System.getenv(), System.getProperty("os.name", "").startsWith("Windows"))
        && isTerminal();
  }

  static boolean capable(Map<String, String> environment, boolean windows) {
    String term = environment.getOrDefault("TERM", windows ? "windows" : "");
    String ci = environment.getOrDefault("CI", "");
    return !term.isEmpty() && !term.equals("dumb") && (ci.isEmpty() || ci.equals("false"));
  }

  private static boolean isTerminal() {
    Path error = Path.of("/proc/self/fd/2");
    if (Files.isSymbolicLink(error)) {
      try {
        String target = Files.readSymbolicLink(error).toString();
        return target.startsWith("/dev/pts/")
            || target.startsWith("/dev/tty")
            || target.equals("/dev/console");
      } catch (IOException e) {
        return false;
      }
    }
    return hasConsole() && !redirected();
  }

  /**
   * Since JDK 22 there is a console even without a terminal; only the newer {@code isTerminal}
   * tells.
   */
  @SuppressWarnings("SystemConsoleNull")
  private static boolean hasConsole() {
    java.io.Console console = System.console();
    if (console == null) {
      return false;
    }
    try {
      return (boolean) java.io.Console.class.getMethod("isTerminal").invoke(console);
    } catch (ReflectiveOperationException e) {
      return true;
    }
  }

  /** {@code Console} does not know about standard error, but a shell does, where there is one. */
  private static boolean redirected() {
    Path shell = Path.of("/bin/sh");
    if (!Files.isExecutable(shell)) {
      return false;
    }
    try {
      Process test =
          new ProcessBuilder(shell.toString(), "-c", "test -t 2")
              .redirectError(Redirect.INHERIT)
              .start();
      return test.waitFor() != 0;
    } catch (IOException e) {
      return true;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return true;
    }
  }
}
