package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import org.tune4j.lora.PythonRegex.Steps;

/**
 * The compiled names and expressions of a {@link LoraConfig}: decides which modules are adapted,
 * and with which rank and scale, as in PEFT. All matches of one matcher share a budget of {@link
 * Steps}.
 */
final class ModuleMatcher {
  private final LoraConfig config;
  private final Steps steps = new Steps();
  private final Choice targets;
  private final Choice excluded;
  private final ImmutableSet<Integer> layers;
  private final ImmutableList<PythonRegex> layerExpressions;
  private final ImmutableList<PythonRegex> saved;
  private final ImmutableList<Key<Integer>> ranks;
  private final ImmutableList<Key<Double>> alphas;

  /**
   * Compiles a configuration.
   *
   * @throws IllegalArgumentException if an expression is malformed; the message names the field
   */
  static ModuleMatcher of(LoraConfig config) {
    return new ModuleMatcher(config);
  }

  private ModuleMatcher(LoraConfig config) {
    this.config = config;
    targets = Choice.of("target_modules", config.targetModules());
    excluded = Choice.of("exclude_modules", config.excludeModules());
    layers = ImmutableSet.copyOf(config.layersToTransform());
    layerExpressions =
        (config.layersPattern().isEmpty() ? ImmutableList.of("[^.]*") : config.layersPattern())
            .stream()
                .map(l -> PythonRegex.compile("layers_pattern", l, ".*?\\." + l + "\\.(\\d+)\\."))
                .collect(ImmutableList.toImmutableList());
    saved =
        config.modulesToSave().stream()
            .map(m -> PythonRegex.compile("modules_to_save", m, "(^|.*\\.)" + m + "($|\\..*)"))
            .collect(ImmutableList.toImmutableList());
    ranks = Key.of("rank_pattern", config.rankPattern());
    alphas = Key.of("alpha_pattern", config.alphaPattern());
  }

  /** A list of names, or an expression. */
  private record Choice(ImmutableSet<String> names, PythonRegex expression) {
    static Choice of(String field, TargetModules modules) {
      return modules.expression()
          ? new Choice(ImmutableSet.of(), PythonRegex.compile(field, modules.names().get(0)))
          : new Choice(ImmutableSet.copyOf(modules.names()), null);
    }

    boolean has(String module, Steps steps) {
      return expression != null ? expression.fullMatch(module, steps) : named(names, module);
    }
  }

  /** An entry of a rank or alpha pattern, whose key matches {@code (.*\\.)?(key)$}. */
  private record Key<V>(String key, boolean plain, PythonRegex regex, V value) {
    static <V> ImmutableList<Key<V>> of(String field, ModulePattern<V> pattern) {
      ImmutableList.Builder<Key<V>> all = ImmutableList.builder();
      for (Map.Entry<String, V> e : pattern.entries()) {
        String key = e.getKey();
        boolean plain =
            key.chars()
                .allMatch(c -> c == '.' || c == '_' || (c < 128 && Character.isLetterOrDigit(c)));
        PythonRegex regex = PythonRegex.compile(field, key, "(.*\\.)?(" + key + ")$");
        all.add(new Key<>(key, plain, regex, e.getValue()));
      }
      return all.build();
    }

    boolean matches(String module, Steps steps) {
      if (!plain) {
        return regex.match(module, steps) != null;
      }
      // fast path for plain names; a dot matches any character
      steps.use(regex, module);
      int from = module.length() - key.length();
      if (from < 0 || (from > 0 && module.charAt(from - 1) != '.')) {
        return false;
      }
      for (int i = 0; i < key.length(); i++) {
        if (key.charAt(i) != '.' && key.charAt(i) != module.charAt(from + i)) {
          return false;
        }
      }
      return true;
    }
  }

  /** Returns whether names contain the module's, or a suffix of it after a dot. */
  static boolean named(Set<String> names, String module) {
    if (names.contains(module)) {
      return true;
    }
    for (int dot = module.indexOf('.'); dot >= 0; dot = module.indexOf('.', dot + 1)) {
      if (names.contains(module.substring(dot + 1))) {
        return true;
      }
    }
    return false;
  }

  /** Returns whether a module is adapted. */
  boolean targets(String module) {
    if (excluded.has(module, steps)) {
      return false;
    }
    for (PythonRegex whole : saved) {
      if (whole.match(module, steps) != null) {
        return false; // it is fully trained
      }
    }
    if (config.targetModules().expression()) {
      return targets.has(module, steps);
    }
    if (targets.names.contains(module)) {
      return true; // full names match in any layer
    }
    return (config.targetModules().isAllLinear() || named(targets.names, module))
        && (layers.isEmpty() || inLayers(module));
  }

  private boolean inLayers(String module) {
    for (PythonRegex expression : layerExpressions) {
      Matcher m = expression.match(module, steps);
      if (m != null) {
        String layer = m.group(1);
        checkArgument(
            layer != null && layer.matches("\\d{1,9}"),
            "layers_pattern: the first group of '%s' is not a layer number in '%s'",
            expression,
            module);
        return layers.contains(Integer.parseInt(layer));
      }
    }
    return false;
  }

  /** Returns the rank of a module. */
  int rank(String module) {
    return value(ranks, module, config.rank());
  }

  /** Returns the factor of a module's update. */
  double scale(String module) {
    double alpha = value(alphas, module, config.alpha());
    int rank = rank(module);
    return config.rslora() ? alpha / Math.sqrt(rank) : alpha / rank;
  }

  private <V> V value(ImmutableList<Key<V>> keys, String module, V defaultValue) {
    for (Key<V> key : keys) {
      if (key.matches(module, steps)) {
        return key.value;
      }
    }
    return defaultValue;
  }
}
