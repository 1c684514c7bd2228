package org.tune4j.examples;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.tune4j.core.engine.Precision;
import org.tune4j.testing.ParityCheck;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/**
 * Checks parity with transformers + PEFT on recorded cases in the layout of {@link ParityCheck}.
 * Prints the largest relative error of each group and a verdict per case; the exit status is 1 if
 * anything is missing or differs.
 */
@Command(
    name = "golden",
    description = "Compares with recorded cases of transformers + PEFT.",
    mixinStandardHelpOptions = true)
public final class Golden implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(arity = "1..*", paramLabel = "DIR", description = "Case directories.")
  private List<Path> cases;

  @Option(
      names = "--engine",
      defaultValue = "",
      description = "Engine. Default: the fastest available.")
  private String engine;

  @Option(
      names = "--precision",
      defaultValue = "F32",
      description =
          "${COMPLETION-CANDIDATES}; default: ${DEFAULT-VALUE}. Cases are recorded in F32; lower precisions get a tolerance for their rounding errors.")
  private Precision precision;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    int passed = 0;
    for (Path directory : cases) {
      ParityCheck.Report report = ParityCheck.run(directory, engine, precision);
      out.println(report);
      out.flush();
      passed += report.passed() ? 1 : 0;
    }
    boolean all = passed == cases.size();
    out.printf("%s: %d of %d cases agree%n", all ? "PASSED" : "FAILED", passed, cases.size());
    out.flush();
    return all ? 0 : 1;
  }
}
