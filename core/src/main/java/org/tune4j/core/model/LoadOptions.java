package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.Optional;
import java.util.function.BooleanSupplier;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.progress.ProgressListener;

/**
 * How a model is loaded. The defaults are {@link Precision#F32} on the fastest engine present,
 * without a memory limit.
 */
public final class LoadOptions {
  private final Precision precision;
  private final String engineName;
  private final Engine engine;
  private final ProgressListener progress;
  private final BooleanSupplier cancelled;
  private final long maxMemory;

  private LoadOptions(Builder b) {
    precision = b.precision;
    engineName = b.engineName;
    engine = b.engine;
    progress = b.progress;
    cancelled = b.cancelled;
    maxMemory = b.maxMemory;
  }

  /** Returns F32 on the fastest engine present. */
  public static LoadOptions defaults() {
    return builder().build();
  }

  /** Returns the defaults in another precision. */
  public static LoadOptions of(Precision precision) {
    return builder().precision(precision).build();
  }

  /** Returns a builder with the defaults. */
  public static Builder builder() {
    return new Builder();
  }

  /** Builds {@link LoadOptions}. */
  public static final class Builder {
    private Precision precision = Precision.F32;
    private String engineName = System.getProperty(Engines.PROPERTY, "");
    private Engine engine;
    private ProgressListener progress = ProgressListener.none();
    private BooleanSupplier cancelled = () -> false;
    private long maxMemory = Long.MAX_VALUE;

    private Builder() {}

    /** Sets the precision. Ignored with {@link #engine(Engine)}, which has its own. */
    public Builder precision(Precision value) {
      precision = value;
      return this;
    }

    /**
     * Chooses the engine by name; the default is the system property {@value Engines#PROPERTY},
     * else the fastest that runs here.
     */
    public Builder engine(String name) {
      engineName = name;
      return this;
    }

    /** Loads into the given engine, which the caller closes after the model. */
    public Builder engine(Engine value) {
      engine = value;
      return this;
    }

    /** Sets a listener that is notified after each weight matrix. */
    public Builder progress(ProgressListener value) {
      progress = value;
      return this;
    }

    /**
     * Sets a supplier that is polled after each weight matrix; true cancels loading with a {@link
     * java.util.concurrent.CancellationException}. Interrupting the thread does not cancel it.
     */
    public Builder cancelled(BooleanSupplier value) {
      cancelled = value;
      return this;
    }

    /** Limits the off-heap bytes that the weights may take. */
    public Builder maxMemory(long bytes) {
      checkArgument(bytes > 0, "memory limit %s", bytes);
      maxMemory = bytes;
      return this;
    }

    /** Builds the options. */
    public LoadOptions build() {
      return new LoadOptions(this);
    }
  }

  /** Returns the precision, which is that of the caller's engine if there is one. */
  public Precision precision() {
    return engine == null ? precision : engine.precision();
  }

  Optional<Engine> callersEngine() {
    return Optional.ofNullable(engine);
  }

  String engineName() {
    return engineName;
  }

  ProgressListener progress() {
    return progress;
  }

  BooleanSupplier cancelled() {
    return cancelled;
  }

  long maxMemory() {
    return maxMemory;
  }
}
