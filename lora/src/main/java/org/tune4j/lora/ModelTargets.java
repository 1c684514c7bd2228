package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;
import static java.util.stream.Collectors.joining;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Projection;
import org.tune4j.core.model.ProjectionGroup;

/**
 * The modules of a model that a {@link LoraConfig} adapts.
 *
 * @param targets modules with a LoRA pair, in the model's order
 * @param saved groups of one member each that are fully trained, in the model's order
 */
record ModelTargets(ImmutableList<Target> targets, ImmutableList<ProjectionGroup> saved) {
  /**
   * Finds the targets of a configuration.
   *
   * @throws IllegalArgumentException if there are none, or the configuration is not supported; the
   *     message lists the model's modules
   */
  static ModelTargets of(LoraConfig config, LanguageModel model) {
    ModuleMatcher modules = ModuleMatcher.of(config);
    List<Target> found = new ArrayList<>();
    for (ProjectionGroup group : model.groups()) {
      if (config.targetModules().isAllLinear() && group.use() != ProjectionGroup.Use.PROJECTION) {
        continue; // like PEFT, without the head
      }
      for (int i = 0; i < group.members().size(); i++) {
        String name = group.members().get(i).name();
        if (modules.targets(name)) {
          found.add(target(config, group, i, modules.rank(name), modules.scale(name)));
        }
      }
    }
    if (found.isEmpty()) {
      throw new IllegalArgumentException(
          "target_modules %s matches no linear layer or embedding of the model; it has: %s"
              .formatted(config.targetModules(), lastNames(model)));
    }
    refuseBiases(config, model, found);
    List<ProjectionGroup> saved = saved(config, model);
    refuseTying(config, model, found, saved);
    return new ModelTargets(ImmutableList.copyOf(found), ImmutableList.copyOf(saved));
  }

  private static Target target(
      LoraConfig config, ProjectionGroup group, int member, int rank, double scale) {
    Projection p = group.members().get(member);
    if (!config.initialisation().movesBase() || group.use() == ProjectionGroup.Use.EMBEDDING) {
      return new Target(group, member, rank, (float) scale);
    }
    config.initialisation().check(p, scale);
    // limited by the number of singular values
    return new Target(group, member, Math.min(rank, Math.min(p.in(), p.out())), (float) scale);
  }

  private static List<ProjectionGroup> saved(LoraConfig config, LanguageModel model) {
    List<ProjectionGroup> found = new ArrayList<>();
    ImmutableList<String> modules = config.modulesToSave();
    for (ProjectionGroup group : model.groups()) {
      if (group.use() != ProjectionGroup.Use.PROJECTION
          && modules.stream().anyMatch(group.members().get(0).name()::endsWith)) {
        found.add(group);
      }
    }
    if (!modules.isEmpty()) {
      Set<String> names = new HashSet<>();
      found.forEach(g -> names.add(g.members().get(0).name()));
      for (String module : model.moduleNames()) {
        checkArgument(
            names.contains(module) || modules.stream().noneMatch(module::endsWith),
            "modules_to_save %s has '%s': only embeddings and the output head can be fully trained",
            modules,
            module);
      }
    }
    return found;
  }

  private static void refuseTying(
      LoraConfig config, LanguageModel model, List<Target> targets, List<ProjectionGroup> saved) {
    boolean tables =
        targets.stream().anyMatch(t -> t.group().use() != ProjectionGroup.Use.PROJECTION)
            || !saved.isEmpty();
    checkArgument(
        !config.ensureWeightTying() || !tables || !model.config().tiedHead(),
        "ensure_weight_tying is true, and the model's embedding and output head are tied: training them as one is not implemented");
  }

  private static void refuseBiases(LoraConfig config, LanguageModel model, List<Target> targets) {
    LoraConfig.Bias bias = config.bias();
    List<Projection> trained =
        bias == LoraConfig.Bias.ALL
            ? model.projections()
            : targets.stream().map(Target::projection).toList();
    for (Projection p : trained) {
      checkArgument(
          bias == LoraConfig.Bias.NONE || p.bias() == null,
          "bias is '%s' and %s has one: training biases is not implemented",
          bias.peft(),
          p.name());
    }
  }

  /**
   * Checks that each name in a configuration matches a module; PEFT would ignore one that does not.
   */
  void requireAllNamed(LoraConfig config, LanguageModel model) {
    if (!config.targetModules().expression() && !config.targetModules().isAllLinear()) {
      for (String target : config.targetModules().names()) {
        checkArgument(
            model.groups().stream()
                .flatMap(g -> g.members().stream())
                .anyMatch(p -> ModuleMatcher.named(Set.of(target), p.name())),
            "target_modules: '%s' is not a linear layer or embedding of the model; it has: %s",
            target,
            lastNames(model));
      }
    }
    for (String module : config.modulesToSave()) {
      checkArgument(
          saved.stream().anyMatch(g -> g.members().get(0).name().endsWith(module)),
          "modules_to_save: '%s' is not an embedding or output head of the model; it has: %s",
          module,
          lastNames(model));
    }
  }

  private static String lastNames(LanguageModel model) {
    return model.groups().stream()
        .flatMap(g -> g.members().stream())
        .map(p -> p.name().substring(p.name().lastIndexOf('.') + 1))
        .distinct()
        .collect(joining(", "));
  }
}
