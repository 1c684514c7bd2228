package org.tune4j.examples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.tune4j.core.text.TemplateCheck;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/**
 * Renders recorded cases of chat templates in the layout of {@link TemplateCheck}. Prints the
 * differences and a verdict; the exit status is 1 if anything differs.
 */
@Command(
    name = "templates",
    description = "Renders recorded cases of chat templates and compares with transformers.",
    mixinStandardHelpOptions = true)
public final class Templates implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(
      arity = "1..*",
      paramLabel = "FILE",
      description = "Files of cases: JSON lines, optionally compressed (.gz).")
  private List<Path> files;

  @Override
  public Integer call() throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    int cases = 0;
    int equal = 0;
    for (Path file : files) {
      TemplateCheck.Report report = TemplateCheck.run(file);
      report
          .differences()
          .forEach(
              d ->
                  out.printf(
                      "%s%n  expected %s%n  found    %s%n",
                      d.name(), quoted(d.expected()), quoted(d.found())));
      int same = report.cases() - report.differences().size();
      out.printf("%s: %d of %d cases equal%n", file, same, report.cases());
      cases += report.cases();
      equal += same;
    }
    out.printf("%s: %d of %d cases equal%n", equal == cases ? "PASSED" : "FAILED", equal, cases);
    out.flush();
    return equal == cases ? 0 : 1;
  }

  /** Returns a text in quotes, with line breaks and control characters escaped. */
  private static String quoted(String text) {
    StringBuilder out = new StringBuilder("\"");
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      switch (c) {
        case '\n' -> out.append("\\n");
        case '"', '\\' -> out.append('\\').append(c);
        default -> {
          if (Character.isISOControl(c)) {
            out.append("\\u%04x".formatted((int) c));
          } else {
            out.append(c);
          }
        }
      }
    }
    return out.append('"').toString();
  }
}
