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
  private final Map<Key, Map<String, float[]>> kept = new LinkedHashMap<>(); // not yet taken back

  /**
   * Takes what a checkpoint has.
   *
   * @throws MalformedFileException if it lacks a state that the run had
   */
  static GradientHooks of(TrainingPlan plan, Optional<Checkpoint> from, Path output)
      throws IOException {
    GradientHooks hooks = new GradientHooks();
    if (from.isPresent()) {
      Checkpoint c = from.get();
      c.hooks().forEach(s -> hooks.kept.put(new Key(s.hook(), s.adapter()), s.values()));
      for (Stage stage : plan.stages().subList(0, c.begun() ? c.stage() + 1 : c.stage())) {
        for (GradientHook hook : stage.gradients()) {
          for (String adapter : stage.adapters()) {
            if (!hooks.kept.containsKey(new Key(hook.name(), adapter))) {
              throw new MalformedFileException(
                  RunDirectory.checkpoint(output),
                  "hooks",
                  "nothing of hook '%s' for adapter '%s'".formatted(hook.name(), adapter),
                  "its state");
            }
          }
        }
      }
    }
    return hooks;
  }

  /** Returns a stage's hooks for an adapter, with their states as they are; under the lock. */
  ImmutableList<Active> of(Stage stage, String adapter, Parameters parameters) {
    ImmutableList.Builder<Active> active = ImmutableList.builder();
    for (GradientHook hook : stage.gradients()) {
      Key key = new Key(hook.name(), adapter);
      GradientHook.State state = states.get(key);
      if (state == null) {
        state = hook.start(parameters);
        states.put(key, state);
        if (kept.containsKey(key)) {
          state.restore(kept.remove(key));
        }
      }
      active.add(new Active(hook, state));
    }
    return active.build();
  }

  /** Returns what a checkpoint has of them; under the lock. */
  List<Checkpoint.HookState> save() {
    List<Checkpoint.HookState> all = new ArrayList<>();
    kept.forEach((key, values) -> all.add(new Checkpoint.HookState(key.hook, key.adapter, values)));
    states.forEach(
        (key, state) ->
            all.add(new Checkpoint.HookState(key.hook, key.adapter, Map.copyOf(state.save()))));
    return all;
  }

  /**
   * Returns what they found out about the adapters that there are, those of a run that was complete
   * before included; under the lock. One that was not kept is not made anew, and nothing is told of
   * it.
   */
  ImmutableList<HookFigures> figures(TrainingPlan plan, RunAdapters adapters) {
    Map<String, Adapter> there = adapters.all();
    for (Stage stage : plan.stages()) {
      for (String name : stage.adapters()) {
        if (there.containsKey(name)
            && stage.gradients().stream()
                .anyMatch(h -> kept.containsKey(new Key(h.name(), name)))) {
          of(stage, name, there.get(name).parameters());
        }
      }
    }
    ImmutableList.Builder<HookFigures> all = ImmutableList.builder();
    states.forEach(
        (key, state) -> {
          ImmutableList<GradientHook.Figure> figures = state.figures();
          if (there.containsKey(key.adapter) && !figures.isEmpty()) {
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
