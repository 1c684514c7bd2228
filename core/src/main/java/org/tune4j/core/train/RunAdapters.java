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
 * The adapters of a run by name, and their model: the given one, or, once adapters are merged, the
 * run's own.
 */
final class RunAdapters implements AutoCloseable {
  private final AdaptableModel model;
  private final AdapterFactory factory;
  private final TrainingPlan plan;
  private final long seed;
  private final Engine engine;
  private final Map<String, Adapter> all = new LinkedHashMap<>();
  private final Set<String> merged = new LinkedHashSet<>();
  private final Set<String> dropped = new LinkedHashSet<>();
  private AdaptableModel base;

  RunAdapters(AdaptableModel model, AdapterFactory factory, TrainingPlan plan, long seed) {
    this.model = model;
    this.factory = factory;
    this.plan = plan;
    this.seed = seed;
    engine = model.engine();
    base = model;
  }

  /** Returns the model that the adapters currently belong to. */
  AdaptableModel base() {
    return base;
  }

  /** Returns the run's own model, if adapters were merged. */
  Optional<AdaptableModel> own() {
    return base == model ? Optional.empty() : Optional.of(base);
  }

  /** Returns all adapters, in the order of their creation. */
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

  /** Returns the adapter that a stage trains under a name: an existing or a new one. */
  Adapter train(Stage stage, String name) {
    Adapter adapter = all.containsKey(name) ? all.get(name) : create(stage, name);
    adapter.setTrainable(true);
    return adapter;
  }

  /** Creates an adapter that a stage trains for the first time. */
  private Adapter create(Stage stage, String name) {
    String source = stage.startFrom().get(name);
    Adapter created =
        source == null
            ? factory
                .sized(stage.sizes().getOrDefault(name, 1.0))
                .create(base, name, plan.tasks(name), seed)
            : factory.copy(all.get(source), base, name, plan.tasks(name), seed);
    all.put(name, created);
    return created;
  }

  /**
   * Recreates the adapters of a completed stage, with their final values.
   *
   * @param gains of its optional adapters
   */
  void restore(Stage stage, Map<String, Gain> gains, Checkpoint from, Path output)
      throws IOException {
    for (String name : stage.adapters()) {
      if (gains.containsKey(name) && !gains.get(name).kept()) {
        dropped.add(name);
      } else if (!all.containsKey(name)) {
        // plans do not train an adapter after merging it, so its final values are the merged ones
        fill(create(stage, name), from, output);
      }
    }
    for (Stage.Combined c : stage.combined()) {
      fill(
          combine(c),
          from,
          output); // with the values of that time, even if its sources were trained further
    }
  }

  private void fill(Adapter adapter, Checkpoint from, Path output) throws IOException {
    fill(adapter, from.tensor("w", adapter.name(), adapter.parameters().size(), output));
  }

  /** Removes an adapter that did not gain. */
  void drop(String name) {
    dropped.add(name);
    all.remove(name).close();
  }

  /** Creates an adapter by combining others. */
  Adapter combine(Stage.Combined combined) {
    Adapter created =
        combined
            .how()
            .combine(
                combined.name(),
                stack(combined.weights().keySet().asList()),
                combined.weights().values().stream().mapToDouble(w -> w).toArray());
    all.put(combined.name(), created);
    return created;
  }

  void freeze() {
    all.values().forEach(a -> a.setTrainable(false));
  }

  /**
   * Creates and saves the base of a stage that merges adapters, and moves the other adapters to it.
   *
   * @param again whether an earlier run may have saved it
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
    closeIfOwn(below);
  }

  private void closeIfOwn(AdaptableModel used) {
    if (used != model) {
      used.close();
    }
  }

  // ---- values

  /**
   * Runs work on the adapters' values under the engine's lock, after checking that nothing was
   * closed.
   */
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

  /** Checks that neither the model nor an adapter was closed. */
  void requireOpen() {
    model.requireOpen();
    for (Adapter a : all.values()) {
      checkState(!a.parameters().closed(), "adapter '%s' is closed", a.name());
    }
  }

  void fill(Adapter adapter, float[] weights) {
    runLocked(
        () -> {
          engine.write(adapter.parameters().flat(), weights);
          adapter.parameters().changed();
        });
  }

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
    closeIfOwn(base);
  }
}
