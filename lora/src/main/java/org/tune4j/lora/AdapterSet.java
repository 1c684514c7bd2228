package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;
import static com.google.common.base.Preconditions.checkState;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Generation;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;

/**
 * Several named adapters on one loaded base model, chosen per call: serves many tasks from one copy
 * of the weights.
 *
 * <p><b>Threads.</b> Any thread may call any method. Calls that use adapters ({@link #with} and
 * everything built on it) may run concurrently, with the same or different adapters: they advance
 * in turns, as the engine runs one step at a time, and a step of generation is a token. Adding an
 * adapter does not wait for calls. {@link #remove}, {@link #merge}, {@link #unmerge} and {@link
 * #close} would affect running calls: they wait until none is running and block new ones meanwhile.
 * From inside a call they would wait for themselves, so they are refused there.
 *
 * <p>This applies to calls through the same set. The caller must not train an adapter of the set,
 * or merge into the model directly, during such calls.
 *
 * <p>The set owns its adapters, and frees them when they are removed or the set is closed. The
 * model belongs to the caller.
 */
public final class AdapterSet implements AutoCloseable {
  private final LanguageModel model;
  private final Map<String, Adapter> adapters = new LinkedHashMap<>(); // guarded by itself
  private final ReentrantReadWriteLock use = new ReentrantReadWriteLock();
  private List<String> merged = List.of(); // guarded by use
  private boolean closed; // guarded by use

  /** Creates an empty set. */
  public AdapterSet(LanguageModel model) {
    this.model = model;
  }

  /** Returns the model of all adapters; the set does not close it. */
  public LanguageModel model() {
    return model;
  }

  /** Returns the names, in the order in which they were added. */
  public ImmutableSet<String> names() {
    synchronized (adapters) {
      return ImmutableSet.copyOf(adapters.keySet());
    }
  }

  /**
   * Loads an adapter in PEFT's format.
   *
   * @throws IllegalArgumentException if the name is taken
   * @throws IOException as in {@link PeftFormat#load}; the set is unchanged then
   */
  public LoraAdapter load(String name, Path directory) throws IOException {
    checkFree(name);
    LoraAdapter adapter = PeftFormat.load(model, name, directory);
    try {
      add(adapter);
    } catch (RuntimeException e) {
      adapter.close();
      throw e;
    }
    return adapter;
  }

  /**
   * Adds an adapter under its name and takes ownership of it.
   *
   * @throws IllegalArgumentException if the name is taken, or the adapter belongs to another model
   */
  public void add(Adapter adapter) {
    checkArgument(
        adapter.model() == model,
        "adapter '%s' belongs to %s, but this set to %s",
        adapter.name(),
        adapter.model().name(),
        model.name());
    holding(
        use.readLock(),
        () -> {
          synchronized (adapters) {
            checkFree(adapter.name());
            adapters.put(adapter.name(), adapter);
          }
          return null;
        });
  }

  private void checkFree(String name) {
    synchronized (adapters) {
      checkArgument(
          !adapters.containsKey(name),
          "an adapter named '%s' already exists: remove it first",
          name);
    }
  }

  /**
   * Returns an adapter. It must not be used after it is removed; {@link #with} prevents its removal
   * until the work is done.
   *
   * @throws IllegalArgumentException if there is no such adapter
   */
  public Adapter get(String name) {
    synchronized (adapters) {
      Adapter adapter = adapters.get(name);
      checkArgument(
          adapter != null, "no adapter is named '%s'; there are: %s", name, adapters.keySet());
      return adapter;
    }
  }

  /**
   * Combines several adapters into one and adds it.
   *
   * @param weights by name, in the order in which they are combined
   * @throws IllegalArgumentException if the name is taken, or the adapters cannot be combined; the
   *     message names what differs
   */
  public LoraAdapter combine(String name, Combination combination, Map<String, Double> weights) {
    checkFree(name);
    return with(
        ImmutableList.copyOf(weights.keySet()),
        found -> {
          List<LoraAdapter> parts = new ArrayList<>();
          for (Adapter a : found) {
            checkArgument(
                a instanceof LoraAdapter,
                "'%s' is a %s; only LoRA adapters can be combined",
                a.name(),
                a.getClass().getSimpleName());
            parts.add((LoraAdapter) a);
          }
          double[] factors = weights.values().stream().mapToDouble(Double::doubleValue).toArray();
          LoraAdapter combined = combination.apply(name, parts, factors);
          try {
            add(combined);
          } catch (RuntimeException e) {
            combined.close();
            throw e;
          }
          return combined;
        });
  }

  // ---- use

  /**
   * Runs work with adapters that are not removed until it is done: scoring, evaluation, or anything
   * else that uses a list of adapters.
   *
   * @param names in the order in which they are applied; none for the base model
   * @throws IllegalArgumentException if there is no adapter of a name
   */
  public <T> T with(List<String> names, Function<? super List<Adapter>, T> work) {
    return holding(use.readLock(), () -> work.apply(names.stream().map(this::get).toList()));
  }

  /**
   * Continues a text.
   *
   * @param names of the adapters, in the order in which they are applied; none for the base model
   */
  public Generation generate(String prompt, GenerationConfig generation, String... names) {
    return with(List.of(names), found -> model.generate(prompt, generation, found));
  }

  /** Continues several texts in parallel. */
  public List<Generation> generateAll(
      List<String> prompts, GenerationConfig generation, String... names) {
    return with(List.of(names), found -> model.generateAll(prompts, generation, found));
  }

  // ---- exclusive operations

  /**
   * Removes and frees an adapter, once no call is running.
   *
   * @throws IllegalArgumentException if there is no such adapter
   * @throws IllegalStateException if it is merged, or if called from inside a call
   */
  public void remove(String name) {
    exclusively(
        () -> {
          checkState(!merged.contains(name), "adapter '%s' is merged: unmerge first", name);
          Adapter adapter = get(name);
          synchronized (adapters) {
            adapters.remove(name);
          }
          adapter.close();
          return null;
        });
  }

  /**
   * Merges adapters into the model, in order, once no call is running: calls without adapters then
   * use the merged model, and others apply their adapters on top of it.
   *
   * @throws IllegalStateException if adapters are merged already, or if called from inside a call
   */
  public void merge(String... names) {
    exclusively(
        () -> {
          checkState(merged.isEmpty(), "%s are merged already: unmerge first", merged);
          List<Adapter> found = Stream.of(names).map(this::get).toList();
          try {
            Merging.merge(found);
          } catch (RuntimeException e) {
            Merging.unmerge(model); // adapters that were merged before one that cannot be
            throw e;
          }
          merged = List.of(names);
          return null;
        });
  }

  /** Undoes all merges exactly, once no call is running. */
  public void unmerge() {
    exclusively(
        () -> {
          Merging.unmerge(model);
          merged = List.of();
          return null;
        });
  }

  private <T> T exclusively(Supplier<T> work) {
    checkState(
        use.getReadHoldCount() == 0,
        "called from inside a call that uses adapters, whose end it would wait for");
    return holding(use.writeLock(), work);
  }

  private <T> T holding(Lock lock, Supplier<T> work) {
    lock.lock();
    try {
      checkState(!closed, "the adapter set is closed");
      return work.get();
    } finally {
      lock.unlock();
    }
  }

  /** Frees all adapters, once no call is running; merged weights stay merged. */
  @Override
  public void close() {
    checkState(
        use.getReadHoldCount() == 0,
        "called from inside a call that uses adapters, whose end it would wait for");
    use.writeLock().lock();
    try {
      closed = true;
      synchronized (adapters) {
        adapters.values().forEach(Adapter::close);
        adapters.clear();
      }
    } finally {
      use.writeLock().unlock();
    }
  }
}
