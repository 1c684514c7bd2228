package org.tune4j.examples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import org.tune4j.core.io.Terminals;
import org.tune4j.examples.benchmark.AdviceBenchmark;
import org.tune4j.examples.wordnet.MakeTasks;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ScopeType;

/**
 * Entry point of the examples: the first argument names a command, the rest are its arguments.
 * Without arguments the quickstart runs. The exit status is 0 on success, 2 for invalid arguments
 * and 1 for any other failure.
 */
@Command(
    name = "tune4j",
    mixinStandardHelpOptions = true,
    scope = ScopeType.INHERIT,
    version = "Tune4J 0.1.0-SNAPSHOT",
    usageHelpAutoWidth = true,
    showDefaultValues = true,
    sortOptions = false,
    description =
        "Fine-tunes language models on several tasks with LoRA, and recommends a strategy.",
    footer = {
      "",
      "Without a command the quickstart runs. A command's own options: tune4j COMMAND --help",
      "Where defaults differ from those of PEFT and transformers: docs/formats.md, Defaults",
      "Stack traces of errors: -Dtune4j.trace=true"
    },
    subcommands = {
      Quickstart.class,
      Recommend.class,
      Affinity.class,
      Train.class,
      Evaluate.class,
      Generate.class,
      Golden.class,
      Templates.class,
      Bench.class,
      AdviceBenchmark.class,
      MakeTasks.class,
      CommandLine.HelpCommand.class
    })
public final class Main {
  private Main() {}

  /** Runs an example and exits with its status if that is not 0. */
  public static void main(String[] args) {
    int status = commandLine().execute(args.length == 0 ? new String[] {"quickstart"} : args);
    if (status != 0) {
      System.exit(status);
    }
  }

  static CommandLine commandLine() {
    return new CommandLine(new Main())
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setColorScheme(
            Help.defaultColorScheme(Terminals.onStandardError() ? Help.Ansi.AUTO : Help.Ansi.OFF))
        .setParameterExceptionHandler((e, args) -> usageError(e))
        .setExecutionExceptionHandler(
            (e, command, parsed) -> {
              PrintWriter err = command.getErr();
              err.println(command.getColorScheme().errorText("error: " + message(e)));
              if (Boolean.getBoolean("tune4j.trace")) {
                e.printStackTrace(err);
              }
              err.flush();
              return CommandLine.ExitCode.SOFTWARE;
            });
  }

  /** Prints the message last, and not the full help, which would scroll it off the screen. */
  private static int usageError(CommandLine.ParameterException e) {
    CommandLine command = e.getCommandLine();
    String name = command.getCommandSpec().qualifiedName();
    PrintWriter err = command.getErr();
    err.printf(
        "Usage: %s %s; %s --help describes them%n",
        name, command.getSubcommands().isEmpty() ? "[OPTIONS]" : "COMMAND", name);
    CommandLine.UnmatchedArgumentException.printSuggestions(e, err);
    err.println(command.getColorScheme().errorText("error: " + e.getMessage()));
    err.flush();
    return CommandLine.ExitCode.USAGE;
  }

  /**
   * Returns the text of an error: only the message if the user can fix it, and also the exception's
   * type if it is more likely a bug.
   */
  private static String message(Throwable e) {
    if (e instanceof FileSystemException f && f.getReason() == null) {
      String file = f.getFile();
      if (e instanceof NoSuchFileException) {
        return file + ": no such file or directory";
      }
      return file
          + ": "
          + (e instanceof AccessDeniedException ? "permission denied" : e.toString());
    }
    boolean actionable =
        e instanceof IOException
            || e instanceof IllegalArgumentException
            || e instanceof IllegalStateException
            || e.getClass().getName().startsWith("org.tune4j.");
    return actionable && e.getMessage() != null
        ? e.getMessage()
        : e + " (-Dtune4j.trace=true shows where)";
  }

  /** Returns a usage error of a command; it is printed with a pointer to the help. */
  static CommandLine.ParameterException usage(CommandSpec spec, String message) {
    return new CommandLine.ParameterException(spec.commandLine(), message);
  }
}
