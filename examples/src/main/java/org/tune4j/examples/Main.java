package org.tune4j.examples;

import picocli.CommandLine;
import picocli.CommandLine.Command;

/**
 * The examples' entry point: the first argument names one. Without arguments the quickstart runs.
 */
@Command(
    name = "tune4j",
    mixinStandardHelpOptions = true,
    version = "Tune4J 0.1.0-SNAPSHOT",
    description = "Examples of Tune4J.",
    subcommands = {Golden.class, CommandLine.HelpCommand.class})
public final class Main {
  private Main() {}

  /** Runs an example and exits with its status if that is not 0. */
  public static void main(String[] args) {
    CommandLine commands = new CommandLine(new Main());
    commands.setExecutionExceptionHandler(
        (e, command, parsed) -> {
          command.getErr().println(command.getColorScheme().errorText(message(e)));
          if (Boolean.getBoolean("tune4j.trace")) {
            e.printStackTrace(command.getErr());
          }
          return 1;
        });
    int status = commands.execute(args.length == 0 ? new String[] {"help"} : args);
    if (status != 0) {
      System.exit(status);
    }
  }

  private static String message(Throwable e) {
    return e.getMessage() == null
        ? e.toString()
        : e.getClass().getSimpleName() + ": " + e.getMessage();
  }
}
