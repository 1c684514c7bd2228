package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import com.google.common.collect.Maps;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.tune4j.core.model.AdapterCombination;

/**
 * One stage of a {@link TrainingPlan}: which examples are drawn from which tasks, and which
 * adapters learn them. Adapters are referred to by name; the trainer creates one when a stage first
 * trains it.
 *
 * <pre>{@code
 * Stage.named("second").train("b", "2-b", 500).on("1-a").serve("b", "1-a", "2-b").build()
 * }</pre>
 *
 * @param name shown to users and used for directories
 * @param examples number of examples drawn from each task; each is drawn once before any is drawn
 *     again
 * @param routes the adapter that each drawn task trains; adapters are trained in parallel and
 *     independently
 * @param below adapters that are applied, frozen, below those in training
 * @param mergedBefore adapters that are merged into the run's own base model before this stage, and
 *     stay merged
 * @param startFrom for new adapters that start from the values of another, the name of that one;
 *     other new ones have initial values, existing ones continue
 * @param sizes sizes of new adapters, relative to the run's; 1 for those that are absent
 * @param optional adapters that are kept only if they {@linkplain Gain#kept() gain} on the
 *     validation examples of their tasks, compared with the adapters below alone
 * @param combined adapters that are combined from others after training, in order
 * @param serving the adapters that serve each task of the run after this stage, also tasks of later
 *     stages, applied in order; optional ones that were not kept are left out
 * @param gradients hooks on the gradients of each adapter in training, in order
 */
public record Stage(
    String name,
    ImmutableMap<String, Integer> examples,
    ImmutableMap<String, String> routes,
    ImmutableList<String> below,
    ImmutableList<String> mergedBefore,
    ImmutableMap<String, String> startFrom,
    ImmutableMap<String, Double> sizes,
    ImmutableSet<String> optional,
    ImmutableList<Combined> combined,
    ImmutableMap<String, ImmutableList<String>> serving,
    ImmutableList<GradientHook> gradients) {
  /**
   * An adapter that is combined from others.
   *
   * @param weights of the others, by name, in order
   */
  public record Combined(
      String name, AdapterCombination how, ImmutableMap<String, Double> weights) {
    /** Checks the weights. */
    public Combined {
      checkArgument(!weights.isEmpty(), "adapter '%s' is combined from nothing", name);
      weights.forEach(
          (a, w) ->
              checkArgument(
                  Double.isFinite(w), "adapter '%s' is combined from %s times '%s'", name, w, a));
    }

    @Override
    public String toString() {
      return name + " = " + how + " of " + weights;
    }
  }

  /** Checks that the components are consistent. */
  public Stage {
    checkArgument(!name.isBlank(), "a stage needs a name");
    checkArgument(!examples.isEmpty(), "stage '%s' draws nothing", name);
    examples.forEach(
        (task, n) -> checkArgument(n > 0, "stage '%s' draws %s examples of '%s'", name, n, task));
    checkArgument(
        routes.keySet().equals(examples.keySet()),
        "stage '%s' draws from %s, but routes %s",
        name,
        examples.keySet(),
        routes.keySet());
    for (String adapter : routes.values()) {
      checkArgument(
          !below.contains(adapter),
          "stage '%s' both trains and freezes adapter '%s'",
          name,
          adapter);
      checkArgument(
          !mergedBefore.contains(adapter),
          "stage '%s' both trains and merges adapter '%s'",
          name,
          adapter);
    }
    checkArgument(
        gradients.stream().map(GradientHook::name).distinct().count() == gradients.size(),
        "stage '%s' has two gradient hooks of the same name: %s",
        name,
        gradients);
    for (String adapter : startFrom.keySet()) {
      checkArgument(
          routes.containsValue(adapter),
          "stage '%s' says what adapter '%s' starts from, but does not train it",
          name,
          adapter);
    }
    sizes.forEach(
        (adapter, size) -> {
          checkArgument(
              size > 0 && Double.isFinite(size),
              "stage '%s' gives adapter '%s' the size %s; it must be positive",
              name,
              adapter,
              size);
          checkArgument(
              routes.containsValue(adapter) && !startFrom.containsKey(adapter),
              "stage '%s' sets the size of adapter '%s', but does not create it",
              name,
              adapter);
        });
    for (String adapter : optional) {
      checkArgument(
          routes.containsValue(adapter),
          "stage '%s' makes adapter '%s' optional, but does not train it",
          name,
          adapter);
    }
    for (Combined c : combined) {
      checkArgument(
          !routes.containsValue(c.name()),
          "stage '%s' both trains and combines adapter '%s'",
          name,
          c.name());
      for (String adapter : c.weights().keySet()) {
        checkArgument(
            !optional.contains(adapter),
            "stage '%s' combines adapter '%s', which may not be kept",
            name,
            adapter);
      }
    }
  }

  /** Returns a builder of a stage that draws nothing yet. */
  public static Builder named(String name) {
    return new Builder(name);
  }

  /** Returns the names of the adapters in training. */
  public ImmutableSet<String> adapters() {
    return ImmutableSet.copyOf(routes.values());
  }

  /** Returns the names of the drawn tasks that train an adapter. */
  public ImmutableList<String> tasks(String adapter) {
    return routes.keySet().stream()
        .filter(task -> routes.get(task).equals(adapter))
        .collect(ImmutableList.toImmutableList());
  }

  /** Returns the number of examples that an adapter is trained on, by task. */
  public ImmutableMap<String, Integer> draws(String adapter) {
    return Maps.toMap(tasks(adapter), examples::get);
  }

  /** Returns the total number of examples that an adapter is trained on. */
  public long examples(String adapter) {
    return tasks(adapter).stream().mapToLong(examples::get).sum();
  }

  /** Returns the number of steps that an adapter is trained for; the last may be smaller. */
  public long steps(String adapter, Hyperparameters h) {
    return (examples(adapter) + h.examplesPerStep() - 1) / h.examplesPerStep();
  }

  /** Returns the number of steps of the stage: that of the adapter with the most examples. */
  public long steps(Hyperparameters h) {
    return adapters().stream().mapToLong(a -> steps(a, h)).max().orElseThrow();
  }

  /** Returns the adapters that the stage trains or combines, kept or not. */
  ImmutableSet<String> newAdapters() {
    return ImmutableSet.<String>builder()
        .addAll(routes.values())
        .addAll(combined.stream().map(Combined::name).iterator())
        .build();
  }

  /** Returns this stage with one more hook on the gradients of its adapters. */
  public Stage withGradients(GradientHook hook) {
    return new Stage(
        name,
        examples,
        routes,
        below,
        mergedBefore,
        startFrom,
        sizes,
        optional,
        combined,
        serving,
        ImmutableList.<GradientHook>builder().addAll(gradients).add(hook).build());
  }

  /** Builds a {@link Stage}. */
  public static final class Builder {
    private final String name;
    private final Map<String, Integer> examples = new LinkedHashMap<>();
    private final Map<String, String> routes = new LinkedHashMap<>();
    private final Map<String, String> startFrom = new LinkedHashMap<>();
    private final Map<String, Double> sizes = new LinkedHashMap<>();
    private final Set<String> optional = new LinkedHashSet<>();
    private final List<Combined> combined = new ArrayList<>();
    private final Map<String, ImmutableList<String>> serving = new LinkedHashMap<>();
    private ImmutableList<String> below = ImmutableList.of();
    private ImmutableList<String> mergedBefore = ImmutableList.of();
    private final ImmutableList.Builder<GradientHook> gradients = ImmutableList.builder();

    private Builder(String name) {
      this.name = name;
    }

    /**
     * Trains an adapter on {@code count} examples of a task.
     *
     * @throws IllegalArgumentException if the task is already drawn from
     */
    public Builder train(String task, String adapter, int count) {
      checkArgument(
          routes.put(task, adapter) == null, "stage '%s' draws from '%s' twice", name, task);
      examples.put(task, count);
      return this;
    }

    /** Trains one adapter on a mix of several tasks, with the number of examples of each. */
    public Builder train(Map<String, Integer> counts, String adapter) {
      counts.forEach((task, count) -> train(task, adapter, count));
      return this;
    }

    /** Applies earlier adapters, frozen, below those in training. */
    public Builder on(List<String> frozen) {
      below = ImmutableList.copyOf(frozen);
      return this;
    }

    /** Like {@link #on(List)}. */
    public Builder on(String... frozen) {
      return on(List.of(frozen));
    }

    /** Merges earlier adapters into the base first. */
    public Builder merge(String... earlier) {
      mergedBefore = ImmutableList.copyOf(earlier);
      return this;
    }

    /** Starts a new adapter from the values of an earlier one. */
    public Builder startFrom(String adapter, String earlier) {
      startFrom.put(adapter, earlier);
      return this;
    }

    /**
     * Sets the size of a new adapter relative to the run's.
     *
     * @param size such as 0.25; the {@linkplain org.tune4j.core.model.AdapterFactory#sized factory}
     *     interprets it
     */
    public Builder size(String adapter, double size) {
      sizes.put(adapter, size);
      return this;
    }

    /**
     * Keeps an adapter only if it {@linkplain Gain#kept() gains} on the validation examples of its
     * tasks, compared with the adapters below alone. Otherwise it is left out wherever it was to
     * serve.
     */
    public Builder keepIfItGains(String adapter) {
      optional.add(adapter);
      return this;
    }

    /**
     * Combines an adapter from others after training.
     *
     * @param weights of the others, by name, in order
     */
    public Builder combine(String adapter, AdapterCombination how, Map<String, Double> weights) {
      combined.add(new Combined(adapter, how, ImmutableMap.copyOf(weights)));
      return this;
    }

    /** Serves a task with these adapters, applied in order, after the stage. */
    public Builder serve(String task, List<String> stack) {
      serving.put(task, ImmutableList.copyOf(stack));
      return this;
    }

    /** Like {@link #serve(String, List)}. */
    public Builder serve(String task, String... stack) {
      return serve(task, List.of(stack));
    }

    /** Serves each of these tasks as in {@link #serve(String, List)}. */
    public Builder serve(Iterable<String> tasks, String... stack) {
      tasks.forEach(task -> serve(task, stack));
      return this;
    }

    /** Adds a hook on the gradients of the adapters in training, after earlier ones. */
    public Builder gradients(GradientHook hook) {
      gradients.add(hook);
      return this;
    }

    /**
     * Builds the stage.
     *
     * @throws IllegalArgumentException if it draws nothing, or an adapter has conflicting roles
     */
    public Stage build() {
      return new Stage(
          name,
          ImmutableMap.copyOf(examples),
          ImmutableMap.copyOf(routes),
          below,
          mergedBefore,
          ImmutableMap.copyOf(startFrom),
          ImmutableMap.copyOf(sizes),
          ImmutableSet.copyOf(optional),
          ImmutableList.copyOf(combined),
          ImmutableMap.copyOf(serving),
          gradients.build());
    }
  }
}
