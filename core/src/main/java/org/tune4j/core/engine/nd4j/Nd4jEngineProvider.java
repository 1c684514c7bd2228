package org.tune4j.core.engine.nd4j;

import com.google.common.base.Supplier;
import com.google.common.base.Suppliers;
import com.google.common.base.Throwables;
import java.util.Optional;
import org.nd4j.common.config.ND4JSystemProperties;
import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.EngineProvider;
import org.tune4j.core.engine.Precision;

/**
 * Provides {@link Nd4jEngine}. Suppresses ND4J's start-up log unless the system property {@code
 * org.nd4j.log.initialization} is true.
 */
public final class Nd4jEngineProvider implements EngineProvider {
  static {
    // otherwise ND4J logs ten lines about the machine
    if (System.getProperty(ND4JSystemProperties.LOG_INITIALIZATION) == null) {
      System.setProperty(ND4JSystemProperties.LOG_INITIALIZATION, "false");
    }
  }

  // a class that failed to initialise reports the cause only the first time
  private static final Supplier<Optional<String>> PROBLEM =
      Suppliers.memoize(Nd4jEngineProvider::start);

  @Override
  public String name() {
    return "nd4j";
  }

  @Override
  public int priority() {
    return 0;
  }

  @Override
  public Optional<String> unavailable(Precision precision) {
    if (precision != Precision.F32) {
      return Optional.of("ND4J's products are F32 only");
    }
    return backendProblem();
  }

  /** Returns why ND4J cannot be used; empty if it can. */
  public static Optional<String> backendProblem() {
    return PROBLEM.get();
  }

  private static Optional<String> start() {
    try {
      Nd4j.getBackend();
      return Optional.empty();
    } catch (LinkageError | RuntimeException e) {
      return Optional.of(
          "no ND4J backend could be loaded (add org.nd4j:nd4j-native with your platform's classifier): "
              + cause(e));
    }
  }

  /** Describes the root cause of a failure to load native libraries. */
  public static String cause(Throwable failure) {
    return Throwables.getRootCause(failure)
        + "; native libraries are extracted to ~/.javacpp/cache, or to the folder that -Dorg.bytedeco.javacpp.cachedir names";
  }

  @Override
  public Engine create(Precision precision) {
    return new Nd4jEngine();
  }
}
