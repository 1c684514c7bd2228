package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.model.Adapter;

/** The states of a run's gradient hooks, one for each hook and adapter. */
final class GradientHooks implements AutoCloseable {
  private record Key(String hook, String adapter) {}

  /** A hook with its state for an adapter. */
  record Active(GradientHook hook, GradientHook.State state) {}

  private final Map<Key, GradientHook.State> states = new LinkedHashMap<>();
  private final Map<Key, Map<String, float[]>> unrestored =
      new LinkedHashMap<>(); // from the checkpoint, not yet restored

  /**
   * Prepares hooks, with their states from a checkpoint if there is one.
   *
   * @throws MalformedFileException if the checkpoint lacks a state
   */
  static GradientHooks of(TrainingPlan plan, Optional<Checkpoint> from, Path output)
      throws IOException {
    GradientHooks hooks = new GradientHooks();
    if (from.isPresent()) {
      Checkpoint c = from.get();
      c.hooks().forEach(s -> hooks.unrestored.put(new Key(s.hook(), s.adapter()), s.values()));
      for (Stage stage : plan.stages().subList(0, c.started() ? c.stage() + 1 : c.stage())) {
        for (GradientHook hook : stage.gradients()) {
          for (String adapter : stage.adapters()) {
            if (!hooks.unrestored.containsKey(new Key(hook.name(), adapter))) {
              throw new MalformedFileException(
                  RunDirectory.checkpoint(output),
                  "hooks",
                  "no state of hook '%s' for adapter '%s'".formatted(hook.name(), adapter),
                  "its state");
            }
          }
        }
      }
    }
    return hooks;
  }

  /**
   * Returns a stage's hooks for an adapter with their states, creating or restoring them if
   * necessary; under the engine's lock.
   */
  ImmutableList<Active> of(Stage stage, String adapter, Parameters parameters) {
    ImmutableList.Builder<Active> active = ImmutableList.builder();
    for (GradientHook hook : stage.gradients()) {
      Key key = new Key(hook.name(), adapter);
      GradientHook.State state = states.get(key);
      if (state == null) {
        state = hook.start(parameters);
        states.put(key, state);
        if (unrestored.containsKey(key)) {
          state.restore(unrestored.remove(key));
        }
      }
      active.add(new Active(hook, state));
    }
    return active.build();
  }

  /** Returns the states for a checkpoint; under the engine's lock. */
  List<Checkpoint.HookState> save() {
    List<Checkpoint.HookState> all = new ArrayList<>();
    unrestored.forEach(
        (key, values) -> all.add(new Checkpoint.HookState(key.hook, key.adapter, values)));
    states.forEach(
        (key, state) ->
            all.add(new Checkpoint.HookState(key.hook, key.adapter, Map.copyOf(state.save()))));
    return all;
  }

  /**
   * Returns the figures for all existing adapters, also of a run that was already complete; under
   * the engine's lock. Dropped adapters are not recreated and have no figures.
   */
  ImmutableList<HookFigures> figures(TrainingPlan plan, RunAdapters adapters) {
    Map<String, Adapter> existing = adapters.all();
    for (Stage stage : plan.stages()) {
      for (String name : stage.adapters()) {
        if (existing.containsKey(name)
            && stage.gradients().stream()
                .anyMatch(h -> unrestored.containsKey(new Key(h.name(), name)))) {
          of(stage, name, existing.get(name).parameters());
        }
      }
    }
    ImmutableList.Builder<HookFigures> all = ImmutableList.builder();
    states.forEach(
        (key, state) -> {
          ImmutableList<GradientHook.Figure> figures = state.figures();
          if (existing.containsKey(key.adapter) && !figures.isEmpty()) {
            all.add(new HookFigures(key.hook, key.adapter, figures));
          }
        });
    return all.build();
  }

  @Override
  public void close() {
    states.values().forEach(GradientHook.State::close);
  }
}
