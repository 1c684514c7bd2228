package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.NotEnoughMemoryException;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingException;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.eval.advice.StepRates.Shape;
import org.tune4j.strategies.PlanContext;

/** Runs a few steps in each shape of stage that plans have, to know what a token costs in it. */
final class StepTimer {
  private static final int STEPS = 4;

  private final Request request;
  private final Profiles profiles;
  private final MemoryFit memory;
  private final AdviceProgress progress;
  private final Warnings warnings;

  StepTimer(
      Request request,
      Profiles profiles,
      MemoryFit memory,
      AdviceProgress progress,
      Warnings warnings) {
    this.request = request;
    this.profiles = profiles;
    this.memory = memory;
    this.progress = progress;
    this.warnings = warnings;
  }

  /**
   * Returns the shapes to run so that all stages of plans can be priced: without an adapter below,
   * and with one, from which {@link StepRates} extrapolates to more.
   */
  static Set<Shape> shapes(List<TrainingPlan> plans) {
    Set<Shape> all =
        new TreeSet<>(Comparator.comparingInt(Shape::below).thenComparingInt(Shape::lanes));
    for (TrainingPlan plan : plans) {
      for (Stage s : plan.stages()) {
        Shape shape = Shape.of(s);
        all.add(new Shape(shape.lanes(), 0));
        all.add(new Shape(shape.lanes(), Math.min(1, shape.below())));
      }
    }
    return all;
  }

  /** Times the shapes. */
  void run(Set<Shape> shapes, StepRates rates) throws IOException {
    int examples = STEPS * request.hyperparameters().examplesPerStep();
    double cost = 0;
    for (Shape shape : shapes) {
      cost += 3.0 * examples * Math.max(1, shape.lanes());
    }
    if (cost > request.effort().timing() && !request.budget().limitsSeconds()) {
      return; // seconds are estimated from those of the gradients
    }
    List<Task> samples = new ArrayList<>();
    for (Task t : profiles.usable().values()) {
      samples.add(Sample.of(t, examples, 0, request.seed()));
    }
    for (Shape shape : shapes) {
      progress.begin("price of a step", 1);
      Optional<Hyperparameters> fitted = memory.fit(shape.lanes(), shape.lanes());
      if (fitted.isPresent()) {
        try {
          rates.run(
              samples,
              plan(shape, examples),
              request.probing(fitted.get()),
              progress::cancelled,
              result -> result.completed());
        } catch (TrainingException | NotEnoughMemoryException failure) {
          warnings.add("A step that was to be timed failed: %s.", failure.getMessage());
        }
        progress.check();
      }
    }
    if (rates.isUntimed()) {
      warnings.add(
          "No training step could be timed: seconds are guessed from those of the gradients.");
    }
  }

  /** Returns a plan of a stage in which the tasks are dealt out to the lanes. */
  private TrainingPlan plan(Shape shape, int examples) {
    ImmutableList<String> names = profiles.names();
    Stage.Builder timed = Stage.named("timed");
    for (int lane = 0; lane < shape.lanes(); lane++) {
      String adapter = "lane " + lane;
      Map<String, Double> equal = new LinkedHashMap<>();
      for (int i = lane; i < names.size(); i += shape.lanes()) {
        equal.put(names.get(i), 1.0);
      }
      timed
          .train(PlanContext.divide(Math.max(equal.size(), examples), equal), adapter)
          .serve(equal.keySet(), adapter);
    }
    if (shape.below() == 0) {
      return TrainingPlan.of("price", timed.build());
    }
    Stage below =
        Stage.named("below").train(names.get(0), "below", 1).serve(names, "below").build();
    return TrainingPlan.of("price", below, timed.on("below").build());
  }
}
