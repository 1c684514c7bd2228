package org.tune4j.eval.advice;

import static org.tune4j.eval.advice.Explanation.say;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.tune4j.strategies.Independent;

/** Lays open what a {@link Forecast} makes of tasks, in sentences. */
final class Evidence {
  private Evidence() {}

  /** Returns what speaks for sharing an adapter and what against it. */
  static Scorecard scorecard(Forecast forecast, Features features) {
    String apart = Independent.perTask().name();
    List<Scorecard.Factor> factors = new ArrayList<>();
    forecast
        .parts(apart, features)
        .forEach(
            (name, gain) ->
                factors.add(
                    new Scorecard.Factor(
                        name, features.get(name), -100 * gain, found(name, features))));
    factors.add(
        new Scorecard.Factor(
            "in general",
            forecast.scenarios(),
            -100 * forecast.average(apart),
            say(
                "In the %d scenarios that this rests on, one adapter for all tasks was %.1f points of 100 %s than an adapter each, on average.",
                forecast.scenarios(),
                Math.abs(100 * forecast.average(apart)),
                forecast.average(apart) < 0 ? "better" : "worse")));
    factors.sort(Comparator.comparingDouble(f -> -Math.abs(f.points())));
    return new Scorecard(ImmutableList.copyOf(factors));
  }

  private static String found(String feature, Features f) {
    double value = f.get(feature);
    double whole = Math.pow(2, value);
    return switch (feature) {
      case Features.STEPS ->
          say("An adapter of a task's own would get %.0f optimizer steps on average.", whole - 1);
      case Features.TASKS -> say("There are %.0f tasks.", whole);
      case Features.IMBALANCE ->
          say("The largest task has %.1f times the examples of the smallest.", whole);
      case Features.OPPOSITION ->
          value > 0
              ? say(
                  "Tasks answer the same prompts differently, or use the same labels differently: sharing an adapter, they lose about %.1f points of 100 of what is learned in the steps there are.",
                  100 * value)
              : "No tasks were seen to contradict one another.";
      case Features.KINSHIP ->
          value > 0
              ? say(
                  "%.0f %% of the tasks look like parts of one: another's examples tell their labels as well as their own.",
                  100 * value)
              : "No task looks like a part of another.";
      default -> say("%s: %.2f.", feature, value);
    };
  }
}
