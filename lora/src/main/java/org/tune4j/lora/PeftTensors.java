package org.tune4j.lora;

import static java.util.stream.Collectors.joining;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Projection;

/**
 * The tensors of an adapter file, checked against its configuration and a base model. Nothing is
 * read or allocated before names, shapes and types agree, as a configuration may say {@code "r":
 * 2000000000}.
 */
final class PeftTensors {
  private final Safetensors weights;
  private final Map<String, String> keys; // parameter name -> name in the file

  private PeftTensors(Safetensors weights, Map<String, String> keys) {
    this.weights = weights;
    this.keys = keys;
  }

  /**
   * Checks a file against a configuration and a model.
   *
   * @param name that the adapter is loaded under
   * @throws MalformedFileException if the file does not fit
   * @throws IllegalArgumentException if the configuration does not fit the model
   */
  static PeftTensors check(LanguageModel model, LoraConfig config, Safetensors weights, String name)
      throws IOException {
    ModelTargets targets = ModelTargets.of(config, model);
    Map<String, String> stored;
    try {
      stored = PeftKeys.of(weights.names(), name);
    } catch (IllegalArgumentException e) {
      throw new MalformedFileException(
          weights.file(), "tensors' names", e.getMessage(), "one adapter", e);
    }
    refuseUnprefixed(weights);
    List<Declared> declared = LoraAdapter.declared(config, targets);
    refuseOther(model, weights, targets.targets(), declared, stored);
    Map<String, String> keys = new LinkedHashMap<>();
    for (Declared d : declared) {
      keys.put(d.name(), check(d, weights, stored.get(d.name())));
    }
    return new PeftTensors(weights, keys);
  }

  private static void refuseUnprefixed(Safetensors weights) throws MalformedFileException {
    for (String key : weights.names()) {
      if (!key.startsWith(PeftFormat.PREFIX)) {
        throw new MalformedFileException(
            weights.file(),
            "tensor '" + key + "'",
            "a name that does not begin with '" + PeftFormat.PREFIX + "'",
            "the tensors of an adapter for a causal language model, as PEFT names them");
      }
    }
  }

  /** Refuses tensors that nothing would use, with a description. */
  private static void refuseOther(
      LanguageModel model,
      Safetensors weights,
      List<Target> targets,
      List<Declared> declared,
      Map<String, String> stored)
      throws IOException {
    Set<String> expected = new TreeSet<>();
    declared.forEach(d -> expected.add(d.name()));
    Set<String> targeted = new TreeSet<>();
    targets.forEach(t -> targeted.add(t.name()));
    Map<String, Projection> own = new LinkedHashMap<>();
    model.groups().forEach(g -> g.members().forEach(p -> own.put(p.name(), p)));
    for (Map.Entry<String, String> e : stored.entrySet()) {
      String name = e.getKey();
      if (expected.contains(name)) {
        continue;
      }
      Projection base =
          own.get(name.replaceFirst("(\\.(base_layer|original_module))?\\.weight$", ""));
      if (base != null) {
        BaseWeights.compare(base, weights, e.getValue());
        continue;
      }
      int at = name.lastIndexOf(".lora_");
      String module = name.substring(0, Math.max(0, at < 0 ? name.lastIndexOf('.') : at));
      throw new MalformedFileException(
          weights.file(),
          "tensor '" + e.getValue() + "'",
          describe(model, module, at >= 0, own.containsKey(module), targeted),
          "only tensors of the modules that "
              + PeftConfig.FILE
              + " names in target_modules and modules_to_save");
    }
  }

  private static String describe(
      LanguageModel model, String module, boolean lora, boolean known, Set<String> targeted) {
    if (lora && !known) {
      return "an update of the module '%s', which this base model lacks (it has %s): the adapter is for another one"
          .formatted(module, layers(model));
    }
    if (lora && !targeted.contains(module)) {
      return "an update of '%s', which the configuration does not target".formatted(module);
    }
    return lora
        ? "a parameter that this kind of adapter does not have"
        : "a tensor that is not part of an update";
  }

  static String layers(LanguageModel model) {
    return model.groups().stream()
        .flatMap(g -> g.members().stream())
        .map(p -> p.name().replaceAll("\\.\\d+\\.", ".*."))
        .distinct()
        .collect(joining(", "));
  }

  /** Checks the tensor of a parameter and returns its key. */
  private static String check(Declared d, Safetensors weights, String key) throws IOException {
    if (key == null) {
      throw new MalformedFileException(
          weights.file(),
          "tensor '" + PeftFormat.PREFIX + d.name() + "'",
          "nothing",
          "a tensor " + d.shape() + ", as " + PeftConfig.FILE + " targets this module");
    }
    Safetensors.Entry entry = weights.entry(key);
    List<Long> found = new ArrayList<>(entry.shape());
    if (d.shape().size() == 1) {
      found.removeIf(n -> n == 1);
    }
    if (!found.equals(d.shape().stream().map(Integer::longValue).toList())) {
      throw new MalformedFileException(
          weights.file(),
          "tensor '" + key + "'",
          "shape " + entry.shape(),
          d.shape() + ": " + reason(d, found));
    }
    if (!entry.type().isFloat()) {
      throw new MalformedFileException(
          weights.file(),
          "tensor '" + key + "', dtype",
          entry.type().name(),
          List.of(ElementType.F32, ElementType.F16, ElementType.BF16).toString());
    }
    return key;
  }

  private static String reason(Declared d, List<Long> found) {
    if (d.rankAt() >= 0 && found.size() == 2) {
      int features = 1 - d.rankAt();
      if (found.get(features) == (long) d.shape().get(features)) {
        return PeftConfig.FILE + " gives this module the rank " + d.shape().get(d.rankAt());
      }
    }
    return "%s of this base model has %s inputs and %s outputs (is the adapter for another one?)"
        .formatted(d.of().name(), d.of().in(), d.of().out());
  }

  /** Copies the tensors into an adapter of the checked configuration and model. */
  void fill(LoraAdapter adapter) throws IOException {
    for (Map.Entry<String, String> e : keys.entrySet()) {
      float[] values = weights.floats(e.getValue());
      for (int i = 0; i < values.length; i++) {
        if (!Float.isFinite(values[i])) {
          throw new MalformedFileException(
              weights.file(),
              "tensor '" + e.getValue() + "', element " + i,
              String.valueOf(values[i]),
              "a finite number");
        }
      }
      adapter.model().engine().lock().lock();
      try {
        adapter.weight(e.getKey()).set(values);
      } finally {
        adapter.model().engine().lock().unlock();
      }
    }
    adapter.model().engine().lock().lock();
    try {
      adapter.changed();
    } finally {
      adapter.model().engine().lock().unlock();
    }
  }
}
