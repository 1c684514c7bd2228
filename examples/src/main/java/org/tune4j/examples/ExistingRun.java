package org.tune4j.examples;

import java.nio.file.Path;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * What to do with an existing run in the output directory. Without either option, it is an error.
 */
final class ExistingRun {
  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  @Option(names = "--resume", description = "Continue the run in --output, if it was interrupted.")
  private boolean resume;

  @Option(names = "--overwrite", description = "Replace the run in --output.")
  private boolean overwrite;

  /** Checks that the options are compatible. */
  void check(Path output) {
    if (resume && overwrite) {
      throw Main.usage(
          spec, "--resume continues a run and --overwrite replaces it: give one of them");
    }
    if ((resume || overwrite) && output == null) {
      throw Main.usage(
          spec,
          "%s needs the --output of the run to %s"
              .formatted(resume ? "--resume" : "--overwrite", resume ? "continue" : "replace"));
    }
  }

  boolean resume() {
    return resume;
  }

  boolean overwrite() {
    return overwrite;
  }
}
