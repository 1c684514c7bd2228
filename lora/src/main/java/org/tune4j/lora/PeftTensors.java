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
import org.tune4j.core.model.ProjectionGroup;

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
    List<Target> targets = config.resolve(model);
    Map<String, String> stored;
    try {
      stored = PeftKeys.of(weights.names(), name);
    } catch (IllegalArgumentException e) {
      throw new MalformedFileException(
          weights.file(), "tensors' names", e.getMessage(), "one adapter", e);
    }
    refuseUnprefixed(weights);
    List<Shape> shapes = new ArrayList<>();
    for (Target t : targets) {
      Projection p = t.projection();
      boolean embedding = t.embedding();
      shapes.add(
          new Shape(
              embedding ? LoraAdapter.embeddingAName(p) : LoraAdapter.aName(p),
              List.of(t.rank(), p.in()),
              p,
              t.rank()));
      shapes.add(
          new Shape(
              embedding ? LoraAdapter.embeddingBName(p) : LoraAdapter.bName(p),
              List.of(p.out(), t.rank()),
              p,
              t.rank()));
      if (config.dora()) {
        shapes.add(new Shape(LoraAdapter.magnitudeName(p), List.of(p.out()), p, 0));
      }
    }
    for (ProjectionGroup group : config.saved(model)) {
      Projection p = group.members().get(0);
      shapes.add(
          new Shape(p.name() + ".weight", List.of(p.source().rows(), p.source().cols()), p, 0));
    }
    refuseOther(model, weights, targets, shapes, stored);
    Map<String, String> keys = new LinkedHashMap<>();
    for (Shape shape : shapes) {
      keys.put(shape.name, shape.check(weights, stored.get(shape.name)));
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

  /** Refuses tensors that would be left over, saying what they are. */
  private static void refuseOther(
      LanguageModel model,
      Safetensors weights,
      List<Target> targets,
      List<Shape> shapes,
      Map<String, String> stored)
      throws IOException {
    Set<String> expected = new TreeSet<>();
    shapes.forEach(s -> expected.add(s.name));
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
          what(model, module, at >= 0, own.containsKey(module), targeted),
          "only tensors of the modules that "
              + PeftConfig.FILE
              + " names in target_modules and modules_to_save");
    }
  }

  private static String what(
      LanguageModel model, String module, boolean lora, boolean known, Set<String> targeted) {
    if (lora && !known) {
      return "an update of the module '%s', which this base model lacks (it has %s): the adapter was made for another"
          .formatted(module, layers(model));
    }
    if (lora && !targeted.contains(module)) {
      return "an update of '%s', which the configuration does not target".formatted(module);
    }
    return lora
        ? "a parameter that this kind of adapter does not have"
        : "a tensor that is no part of an update";
  }

  static String layers(LanguageModel model) {
    return model.groups().stream()
        .flatMap(g -> g.members().stream())
        .map(p -> p.name().replaceAll("\\.\\d+\\.", ".*."))
        .distinct()
        .collect(joining(", "));
  }

  /**
   * What a parameter must look like.
   *
   * @param name its name
   * @param shape its dimensions
   * @param of the module that it belongs to
   * @param rank of the module's update; 0 where that has no part in the shape
   */
  private record Shape(String name, List<Integer> shape, Projection of, int rank) {
    /** Returns the key of the tensor that has it. */
    String check(Safetensors weights, String key) throws IOException {
      if (key == null) {
        throw new MalformedFileException(
            weights.file(),
            "tensor '" + PeftFormat.PREFIX + name + "'",
            "nothing",
            "a tensor " + shape + ", as " + PeftConfig.FILE + " targets this module");
      }
      Safetensors.Entry entry = weights.entry(key);
      List<Long> found = new ArrayList<>(entry.shape());
      if (shape.size() == 1) {
        found.removeIf(d -> d == 1);
      }
      if (!found.equals(shape.stream().map(Integer::longValue).toList())) {
        throw new MalformedFileException(
            weights.file(),
            "tensor '" + key + "'",
            "shape " + entry.shape(),
            shape + ": " + reason(found));
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

    private String reason(List<Long> found) {
      int features = name.contains(".lora_B") || name.contains("_embedding_B") ? 0 : 1;
      if (rank > 0 && found.size() == 2 && found.get(features) == (long) shape.get(features)) {
        return PeftConfig.FILE + " gives this module the rank " + rank;
      }
      return "%s of this base model has %s inputs and %s outputs (was the adapter made for another?)"
          .formatted(of.name(), of.in(), of.out());
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
