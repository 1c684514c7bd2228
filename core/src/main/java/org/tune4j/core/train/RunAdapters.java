package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkState;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.AdapterFactory;

/**
 * The adapters of a run by name, and the model that they are on: the one given, or, once adapters
 * are merged, one of the run's own.
 */
final class RunAdapters implements AutoCloseable {
  private final AdaptableModel model;
  private final AdapterFactory factory;
  private final long seed;
  private final Engine engine;
  private final Map<String, Adapter> all = new LinkedHashMap<>();
  private final Set<String> merged = new LinkedHashSet<>();
  private final Set<String> dropped = new LinkedHashSet<>();
  private AdaptableModel base;

  RunAdapters(AdaptableModel model, AdapterFactory factory, long seed) {
    this.model = model;
    this.factory = factory;
    this.seed = seed;
    engine = model.engine();
    base = model;
  }

  /** Returns the model that they are on. */
  AdaptableModel base() {
    return base;
  }

  /** Returns the run's own model, if adapters were merged. */
  Optional<AdaptableModel> own() {
    return base == model ? Optional.empty() : Optional.of(base);
  }

  /** Returns all, in the order in which they were made. */
  Map<String, Adapter> all() {
    return Collections.unmodifiableMap(all);
  }

  /** Returns adapters by name. */
  ImmutableList<Adapter> stack(List<String> names) {
    return names.stream().map(all::get).collect(ImmutableList.toImmutableList());
  }

  /** Returns the adapters that serve each task after a stage, without those that were dropped. */
  ImmutableMap<String, ImmutableList<Adapter>> serving(Stage stage) {
    ImmutableMap.Builder<String, ImmutableList<Adapter>> serving = ImmutableMap.builder();
    stage
        .serving()
        .forEach(
            (task, names) ->
                serving.put(
                    task, stack(names.stream().filter(n -> !dropped.contains(n)).toList())));
    return serving.buildOrThrow();
  }

  /** Returns the adapter that a stage trains under a name: a known one, or a new one. */
  Adapter train(Stage stage, String name) {
    Adapter adapter = all.containsKey(name) ? all.get(name) : begin(stage, name);
    adapter.setTrainable(true);
    return adapter;
  }

  /** Makes an adapter that a stage trains first. */
  private Adapter begin(Stage stage, String name) {
    String source = stage.startFrom().get(name);
    Adapter made =
        source == null
            ? factory.sized(stage.sizes().getOrDefault(name, 1.0)).create(base, name, seed)
            : factory.copy(all.get(source), base, name, seed);
    all.put(name, made);
    return made;
  }

  /**
   * Makes anew the adapters of a stage that ended, with the last values of their training.
   *
   * @param gains of its optional adapters
   */
  void restore(Stage stage, Map<String, Gain> gains, Checkpoint from, Path output)
      throws IOException {
    for (String name : stage.adapters()) {
      if (gains.containsKey(name) && !gains.get(name).kept()) {
        dropped.add(name);
      } else if (!all.containsKey(name)) {
        // a plan changes no adapter after merging it, so its last values are those that were merged
        fill(begin(stage, name), from, output);
      }
    }
    for (Stage.Combined c : stage.combined()) {
      fill(combine(c), from, output); // which has the values at the time, even if others went on
    }
  }

  private void fill(Adapter adapter, Checkpoint from, Path output) throws IOException {
    fill(adapter, from.tensor("w", adapter.name(), adapter.parameters().size(), output));
  }

  /** Gives up an adapter that did not gain. */
  void drop(String name) {
    dropped.add(name);
    all.remove(name).close();
  }

  /** Makes an adapter of others. */
  Adapter combine(Stage.Combined of) {
    Adapter made =
        of.how()
            .combine(
                of.name(),
                stack(of.weights().keySet().asList()),
                of.weights().values().stream().mapToDouble(w -> w).toArray());
    all.put(of.name(), made);
    return made;
  }

  /** Freezes all. */
  void freeze() {
    all.values().forEach(a -> a.setTrainable(false));
  }

  /**
   * Makes and saves the base of a stage that merges adapters, and takes the others over to it.
   *
   * @param again whether a run before may have saved it
   */
  void merge(Stage stage, Path directory, boolean again) throws IOException {
    if (stage.mergedBefore().isEmpty()) {
      return;
    }
    AdaptableModel below = base;
    base = below.withMerged(stack(stage.mergedBefore()), directory);
    if (!again || !Files.exists(directory)) {
      base.save(directory, ElementType.F32);
    }
    merged.addAll(stage.mergedBefore());
    for (Map.Entry<String, Adapter> e : all.entrySet()) {
      if (!merged.contains(e.getKey())) {
        Adapter old = e.getValue();
        e.setValue(factory.copy(old, base, old.name(), seed));
        old.close();
      }
    }
    closeIfMade(below);
  }

  private void closeIfMade(AdaptableModel of) {
    if (of != model) {
      of.close();
    }
  }

  // ---- values

  /** Works with adapters' values under the engine's lock, unless they or the model were closed. */
  <T> T locked(Supplier<T> work) {
    engine.lock().lock();
    try {
      requireOpen();
      return work.get();
    } finally {
      engine.lock().unlock();
    }
  }

  /** Like {@link #locked(Supplier)}, for work without a result. */
  void runLocked(Runnable work) {
    engine.lock().lock();
    try {
      requireOpen();
      work.run();
    } finally {
      engine.lock().unlock();
    }
  }

  /** Checks that nobody has closed what the run works with. */
  void requireOpen() {
    model.requireOpen();
    for (Adapter a : all.values()) {
      checkState(!a.parameters().closed(), "adapter '%s' is closed", a.name());
    }
  }

  /** Sets an adapter's parameters. */
  void fill(Adapter adapter, float[] weights) {
    runLocked(
        () -> {
          engine.write(adapter.parameters().flat(), weights);
          adapter.parameters().changed();
        });
  }

  /** Returns an adapter's parameters. */
  float[] weights(Adapter adapter) {
    return locked(() -> engine.read(adapter.parameters().flat()));
  }

  /** Returns the root mean square of an adapter's parameters. */
  double size(Adapter adapter) {
    Parameters p = adapter.parameters();
    return locked(() -> Math.sqrt(engine.sumOfSquares(p.flat()) / Math.max(1, p.size())));
  }

  /** Frees the adapters and the run's own model. */
  @Override
  public void close() {
    all.values().forEach(Adapter::close);
    closeIfMade(base);
  }
}
