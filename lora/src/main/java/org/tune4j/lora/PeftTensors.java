package org.tune4j.lora;

import static java.util.stream.Collectors.joining;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.tune4j.core.engine.Parameters.Slot;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Projection;

/**
 * The tensors of an adapter file, compared with what its configuration makes of a base model.
 * Nothing is read or allocated before names, shapes and types agree: a configuration may say {@code
 * "r": 2000000000}.
 */
final class PeftTensors {
  private final Safetensors weights;
  private final Map<String, String> keys; // name of a parameter -> name in the file

  private PeftTensors(Safetensors weights, Map<String, String> keys) {
    this.weights = weights;
    this.keys = keys;
  }

  /**
   * Compares a file with a configuration and a model.
   *
   * @param name that the adapter is loaded under
   * @throws MalformedFileException if the file does not fit
   * @throws IllegalArgumentException if the configuration does not fit the model
   */
  static PeftTensors check(LanguageModel model, LoraConfig config, Safetensors weights, String name)
      throws IOException {
    List<LoraConfig.Target> targets = config.resolve(model);
    Map<String, String> stored;
    try {
      stored = PeftKeys.of(weights.names(), name);
    } catch (IllegalArgumentException e) {
      throw new MalformedFileException(
          weights.file(), "tensors' names", e.getMessage(), "one adapter", e);
    }
    refuseOther(model, config, weights, targets, stored);
    Map<String, String> keys = new LinkedHashMap<>();
    for (LoraConfig.Target t : targets) {
      Projection p = t.projection();
      Shapes shapes = new Shapes(weights, stored, t);
      keys.put(LoraAdapter.aName(p), shapes.check(LoraAdapter.aName(p), t.rank(), p.in()));
      keys.put(LoraAdapter.bName(p), shapes.check(LoraAdapter.bName(p), p.out(), t.rank()));
      if (config.dora()) {
        keys.put(LoraAdapter.magnitudeName(p), shapes.check(LoraAdapter.magnitudeName(p), p.out()));
      }
    }
    return new PeftTensors(weights, keys);
  }

  /** Refuses tensors that would be left over, saying what they are. */
  private static void refuseOther(
      LanguageModel model,
      LoraConfig config,
      Safetensors weights,
      List<LoraConfig.Target> targets,
      Map<String, String> stored)
      throws IOException {
    for (String key : weights.names()) {
      if (!key.startsWith(PeftFormat.PREFIX)) {
        throw new MalformedFileException(
            weights.file(),
            "tensor '" + key + "'",
            "a name that does not begin with '" + PeftFormat.PREFIX + "'",
            "the tensors of an adapter for a causal language model, as PEFT names them");
      }
    }
    Set<String> targeted = new TreeSet<>();
    targets.forEach(t -> targeted.add(t.name()));
    for (Map.Entry<String, String> e : stored.entrySet()) {
      String name = e.getKey();
      int at = name.lastIndexOf(".lora_");
      String module =
          at < 0 ? name.substring(0, Math.max(0, name.lastIndexOf('.'))) : name.substring(0, at);
      boolean known =
          name.endsWith(".lora_A.weight")
              || name.endsWith(".lora_B.weight")
              || (config.dora() && name.endsWith(".lora_magnitude_vector"));
      if (known && targeted.contains(module)) {
        continue;
      }
      throw new MalformedFileException(
          weights.file(),
          "tensor '" + e.getValue() + "'",
          what(model, module, at >= 0, known, targeted),
          "only tensors of the modules that " + PeftConfig.FILE + " names in target_modules");
    }
  }

  private static String what(
      LanguageModel model, String module, boolean lora, boolean known, Set<String> targeted) {
    if (lora && model.projections().stream().noneMatch(p -> p.name().equals(module))) {
      return "an update of the module '%s', which this base model lacks (its linear layers are %s): the adapter was made for another"
          .formatted(module, layers(model));
    }
    if (lora && !targeted.contains(module)) {
      return "an update of '%s', which the configuration does not target".formatted(module);
    }
    if (lora && !known) {
      return "a parameter that this kind of adapter does not have";
    }
    return "a tensor that is no part of an update of a linear layer";
  }

  static String layers(LanguageModel model) {
    return model.projections().stream()
        .map(p -> p.name().replaceAll("\\.\\d+\\.", ".*."))
        .distinct()
        .collect(joining(", "));
  }

  /** Compares the tensors of one module. */
  private record Shapes(Safetensors weights, Map<String, String> stored, LoraConfig.Target target) {
    String check(String name, int... shape) throws IOException {
      String key = stored.get(name);
      List<Long> expected = new ArrayList<>();
      for (int d : shape) {
        expected.add((long) d);
      }
      if (key == null) {
        throw new MalformedFileException(
            weights.file(),
            "tensor '" + PeftFormat.PREFIX + name + "'",
            "nothing",
            "a tensor " + expected + ", as " + PeftConfig.FILE + " targets this module");
      }
      Safetensors.Entry entry = weights.entry(key);
      List<Long> found = new ArrayList<>(entry.shape());
      if (shape.length == 1) {
        found.removeIf(d -> d == 1);
      }
      if (!found.equals(expected)) {
        throw new MalformedFileException(
            weights.file(),
            "tensor '" + key + "'",
            "shape " + entry.shape(),
            expected + ": " + reason(name, found, expected));
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

    private String reason(String name, List<Long> found, List<Long> expected) {
      Projection p = target.projection();
      int rankAt = name.endsWith(".lora_B.weight") ? 1 : 0;
      boolean sameFeatures =
          expected.size() == 2
              && found.size() == 2
              && found.get(1 - rankAt).equals(expected.get(1 - rankAt));
      return sameFeatures
          ? PeftConfig.FILE + " gives this module the rank " + target.rank()
          : "%s of this base model has %s inputs and %s outputs (was the adapter made for another?)"
              .formatted(p.name(), p.in(), p.out());
    }
  }

  /** Copies the tensors into an adapter of the configuration and the model that were compared. */
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
      Slot slot = adapter.parameters().slot(e.getKey());
      adapter.model().engine().lock().lock();
      try {
        adapter.set(slot, values);
      } finally {
        adapter.model().engine().lock().unlock();
      }
    }
    adapter.model().engine().lock().lock();
    try {
      adapter.parameters().changed();
    } finally {
      adapter.model().engine().lock().unlock();
    }
  }
}
