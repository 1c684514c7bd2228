package org.tune4j.examples;

import com.google.common.base.Splitter;
import java.util.List;
import org.tune4j.lora.Combination;
import org.tune4j.strategies.Grouped;
import org.tune4j.strategies.Independent;
import org.tune4j.strategies.MultiTask;
import org.tune4j.strategies.Sequential;
import org.tune4j.strategies.TrainingStrategy;
import picocli.CommandLine.Help.Visibility;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

final class StrategyOptions {
  enum Name {
    MULTI_TASK,
    SEQUENTIAL,
    INDEPENDENT,
    GROUPED,
    MERGED;

    @Override
    public String toString() {
      return name().toLowerCase(java.util.Locale.ROOT).replace('_', '-');
    }
  }

  /** How multi-task training samples tasks. */
  enum Mixing {
    PROPORTIONAL,
    UNIFORM,
    TEMPERATURE
  }

  /** What later stages of sequential training build on. */
  enum Carry {
    CONTINUE,
    STACK,
    MERGE
  }

  enum MergeMethod {
    LINEAR,
    TIES,
    DARE_LINEAR,
    DARE_TIES;

    @Override
    public String toString() {
      return name().toLowerCase(java.util.Locale.ROOT).replace('_', '-');
    }
  }

  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  @Option(
      names = "--strategy",
      paramLabel = "NAME",
      defaultValue = "multi-task",
      description = {
        "multi-task: one adapter learns all tasks from mixed batches.",
        "sequential: one task after the other.",
        "independent: an adapter for each task, trained side by side.",
        "grouped: an adapter for each group of tasks, trained side by side.",
        "merged: as independent, then merged into one adapter.",
      })
  private Name strategy;

  @Option(
      names = "--mixing",
      paramLabel = "NAME",
      defaultValue = "PROPORTIONAL",
      description = "How multi-task samples tasks: ${COMPLETION-CANDIDATES}.")
  private Mixing mixing;

  @Option(
      names = "--mixing-temperature",
      paramLabel = "T",
      defaultValue = "2",
      description = "With --mixing temperature, tasks are sampled in proportion to size^(1/T).")
  private double temperature;

  @Option(
      names = "--gradient-surgery",
      description =
          "In multi-task, remove from each task's gradients the components that conflict with another task's (PCGrad).")
  private boolean surgery;

  @Option(
      names = "--uncertainty-weighting",
      description = "In multi-task, weight tasks by a learned uncertainty: noisy tasks count less.")
  private boolean uncertainty;

  @Option(
      names = "--order",
      showDefaultValue = Visibility.NEVER,
      paramLabel = "TASK",
      split = ",",
      description = "Task order of sequential. Default: the order of the tasks.")
  private List<String> order = List.of();

  @Option(
      names = "--carry",
      paramLabel = "NAME",
      defaultValue = "CONTINUE",
      description =
          "What later stages of sequential do with the earlier adapter: ${COMPLETION-CANDIDATES}. CONTINUE trains it further, STACK freezes it and adds a new one, MERGE merges it into the base model and starts a new one.")
  private Carry carry;

  @Option(
      names = "--replay",
      paramLabel = "SHARE",
      defaultValue = "0",
      description = "Share of earlier tasks' examples in later stages of sequential.")
  private double replay;

  @Option(
      names = "--ewc",
      paramLabel = "STRENGTH",
      defaultValue = "0",
      description =
          "In sequential, keep parameters that matter to earlier tasks close to their values: elastic weight consolidation. Try 100.")
  private double ewc;

  @Option(
      names = "--orthogonal",
      paramLabel = "STRENGTH",
      defaultValue = "0",
      description =
          "In sequential, stack an adapter for each task on the earlier ones and keep it orthogonal to them (O-LoRA). Try 0.5.")
  private double orthogonal;

  @Option(
      names = "--group",
      showDefaultValue = Visibility.NEVER,
      paramLabel = "TASK[,TASK...]",
      description =
          "Tasks that share an adapter in grouped; once per group. Other tasks get an adapter of their own.")
  private List<String> groups = List.of();

  @Option(
      names = "--then-specialise",
      description =
          "After multi-task, train a small adapter for each task on top of the shared one, and keep those that improve on validation examples.")
  private boolean thenSpecialise;

  @Option(
      names = "--specialist-size",
      paramLabel = "SHARE",
      defaultValue = "0.25",
      description = "Rank of these small adapters, as a fraction of the shared adapter's.")
  private double specialistSize;

  @Option(
      names = "--merge-method",
      paramLabel = "NAME",
      defaultValue = "linear",
      description =
          "How merged combines the adapters: ${COMPLETION-CANDIDATES}. linear is the exact mean of the updates; the"
              + " others prune them by --density and keep the largest singular values.")
  private MergeMethod mergeMethod;

  @Option(
      names = "--density",
      paramLabel = "SHARE",
      defaultValue = "0.5",
      description = "Share of an update's elements that ties and dare keep.")
  private double density;

  @Option(
      names = "--merge-rank",
      paramLabel = "N",
      defaultValue = "0",
      description =
          "Rank of the merged adapter, with ties and dare; 0: the rank of the tasks' adapters.")
  private int mergeRank;

  TrainingStrategy strategy() {
    boolean sequential = strategy == Name.SEQUENTIAL;
    if (!sequential && (!order.isEmpty() || carry != Carry.CONTINUE || replay != 0)) {
      throw Main.usage(spec, "--order, --carry and --replay need --strategy sequential");
    }
    if (!sequential && (ewc != 0 || orthogonal != 0)) {
      throw Main.usage(spec, "--ewc and --orthogonal need --strategy sequential");
    }
    if (ewc != 0 && (orthogonal != 0 || carry != Carry.CONTINUE)) {
      throw Main.usage(spec, "--ewc needs --carry CONTINUE and no --orthogonal");
    }
    if (orthogonal != 0 && carry == Carry.MERGE) {
      throw Main.usage(
          spec, "--orthogonal needs the earlier adapters, which --carry MERGE does not keep");
    }
    if ((strategy == Name.GROUPED) == groups.isEmpty()) {
      throw Main.usage(spec, "--group and --strategy grouped need each other");
    }
    if (strategy != Name.MULTI_TASK && mixing != Mixing.PROPORTIONAL) {
      throw Main.usage(spec, "--mixing needs --strategy multi-task");
    }
    if (strategy != Name.MULTI_TASK && (surgery || uncertainty)) {
      throw Main.usage(
          spec, "--gradient-surgery and --uncertainty-weighting need --strategy multi-task");
    }
    if (strategy != Name.MULTI_TASK && thenSpecialise) {
      throw Main.usage(spec, "--then-specialise needs --strategy multi-task");
    }
    if (strategy != Name.MERGED && (mergeMethod != MergeMethod.LINEAR || mergeRank != 0)) {
      throw Main.usage(spec, "--merge-method and --merge-rank need --strategy merged");
    }
    if (mergeMethod == MergeMethod.LINEAR && mergeRank != 0) {
      throw Main.usage(spec, "--merge-rank needs a --merge-method that prunes");
    }
    return switch (strategy) {
      case MULTI_TASK -> {
        MultiTask m =
            switch (mixing) {
              case PROPORTIONAL -> MultiTask.proportional();
              case UNIFORM -> MultiTask.uniform();
              case TEMPERATURE -> MultiTask.temperature(temperature);
            };
        m = surgery ? m.gradientSurgery() : m;
        m = uncertainty ? m.uncertaintyWeighting() : m;
        yield thenSpecialise ? m.thenSpecialise().size(specialistSize) : m;
      }
      case SEQUENTIAL -> {
        Sequential s = Sequential.inOrder(order).replay(replay);
        s =
            switch (carry) {
              case CONTINUE -> s;
              case STACK -> s.stacked();
              case MERGE -> s.merging();
            };
        s = ewc != 0 ? s.ewc(ewc) : s;
        yield orthogonal != 0 ? s.orthogonal(orthogonal) : s;
      }
      case INDEPENDENT -> Independent.perTask();
      case GROUPED ->
          Grouped.of(groups.stream().map(Splitter.on(',').trimResults()::splitToList).toList());
      case MERGED ->
          Independent.merged(
              switch (mergeMethod) {
                case LINEAR -> Combination.concatenation();
                case TIES -> Combination.tiesSvd(density).rank(mergeRank);
                case DARE_LINEAR -> Combination.dareLinearSvd(density, 0).rank(mergeRank);
                case DARE_TIES -> Combination.dareTiesSvd(density, 0).rank(mergeRank);
              });
    };
  }
}
