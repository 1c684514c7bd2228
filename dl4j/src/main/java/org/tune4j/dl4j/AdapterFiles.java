package org.tune4j.dl4j;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.deeplearning4j.nn.conf.MultiLayerConfiguration;
import org.nd4j.linalg.dataset.api.preprocessor.DataNormalization;
import org.nd4j.linalg.dataset.api.preprocessor.serializer.NormalizerSerializer;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.FileNames;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.io.SafetensorsWriter;

/**
 * Directories of adapters of DL4J networks: {@code adapter_model.safetensors} with tensors named as
 * PEFT names them, {@code adapter_config.json} with what LoRA looks like and, for each task, DL4J's
 * configuration of its output layer and the names of its classes, and a task's normaliser as DL4J
 * serialises it. PEFT knows no such networks: the configuration's {@code peft_type} is one of our
 * own, which it refuses.
 */
final class AdapterFiles {
  private static final String CONFIG = "adapter_config.json";
  private static final String WEIGHTS = "adapter_model.safetensors";
  private static final String NORMALIZER = "normalizer-";
  private static final String PREFIX = "base_model.model.";
  private static final String TYPE = "TUNE4J_DL4J_LORA";
  private static final String HASH = "base_model_weights";

  private AdapterFiles() {}

  static void save(Dl4jAdapter adapter, Path directory) throws IOException {
    Dl4jModel model = adapter.model();
    SafetensorsWriter writer =
        new SafetensorsWriter().metadata("format", "pt").metadata(HASH, model.weightsHash());
    Engine engine = model.engine();
    engine.lock().lock();
    try {
      Parameters p = adapter.parameters();
      for (String name : p.names()) {
        Parameters.Slot slot = p.slot(name);
        writer.add(PREFIX + name, adapter.values(name), slot.rows(), slot.cols());
      }
    } finally {
      engine.lock().unlock();
    }
    String json = json(adapter);
    AtomicFiles.writeDirectory(
        directory,
        f -> f.equals(CONFIG) || f.equals(WEIGHTS) || f.startsWith(NORMALIZER),
        d -> {
          AtomicFiles.writeString(d.resolve(CONFIG), json);
          writer.write(d.resolve(WEIGHTS));
          for (String task : adapter.tasks()) {
            Optional<DataNormalization> normalizer = adapter.info(task).normalizer();
            if (normalizer.isPresent()) {
              AtomicFiles.write(
                  d.resolve(normalizer(task)),
                  out ->
                      NormalizerSerializer.getDefault().write(normalizer.get(), new Unclosed(out)));
            }
          }
        });
  }

  private static String normalizer(String task) {
    return NORMALIZER + FileNames.of(task) + ".bin";
  }

  private static String json(Dl4jAdapter adapter) {
    Dl4jModel model = adapter.model();
    Dl4jLora config = adapter.config();
    ObjectNode json = JsonNodeFactory.instance.objectNode();
    json.put("peft_type", TYPE);
    json.put("base_model_class", model.kind());
    json.put("base_model_name_or_path", model.source().map(Path::toString).orElse(null));
    json.put("r", config.rank());
    json.put("lora_alpha", config.alpha());
    json.put("use_rslora", config.rslora());
    json.put("features", model.features());
    adapter.matrices().forEach(m -> json.withArray("target_modules").add(m.name()));
    ObjectNode heads = json.putObject("heads");
    adapter
        .heads()
        .forEach(
            (task, head) -> {
              ObjectNode own = heads.putObject(task);
              own.put("configuration", head.configuration().toJson());
              adapter.info(task).labels().forEach(own.putArray("labels")::add);
              adapter
                  .info(task)
                  .normalizer()
                  .ifPresent(n -> own.put("normalizer", normalizer(task)));
            });
    return json.toPrettyString();
  }

  /**
   * Loads an adapter, frozen.
   *
   * @throws MalformedFileException if it is damaged, or made for another network; the message names
   *     the tensor or field, what was found and what was expected
   * @throws NoSuchFileException if a file is missing
   */
  static Dl4jAdapter load(Dl4jModel model, String name, Path directory) throws IOException {
    Path file = directory.resolve(CONFIG);
    JsonFields json = JsonFields.read(file);
    String type = json.node().path("peft_type").asText();
    if (!type.equals(TYPE)) {
      throw json.bad("peft_type", type, TYPE + ", as adapters of DL4J networks have it");
    }
    String features = json.node().path("features").asText();
    if (!features.equals(model.features())) {
      throw json.bad("features", features, "'" + model.features() + "', as this network has it");
    }
    Map<String, OutputHead> heads = new LinkedHashMap<>();
    Map<String, Dl4jTaskInfo> infos = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> e : json.node().path("heads").properties()) {
      heads.put(e.getKey(), head(json, e.getKey(), e.getValue()));
      infos.put(e.getKey(), info(e.getValue(), directory));
    }
    Dl4jAdapter adapter;
    List<String> targets = new ArrayList<>();
    json.node().path("target_modules").forEach(t -> targets.add(t.asText()));
    try {
      Dl4jLora config =
          new Dl4jLora(
              json.node().path("r").asInt(),
              json.node().path("lora_alpha").asDouble(Double.NaN),
              json.node().path("use_rslora").asBoolean(),
              ImmutableList.copyOf(targets));
      List<AdaptedMatrix> matrices = targets.isEmpty() ? List.of() : config.of(model);
      adapter = Dl4jAdapter.empty(model, config, name, matrices, heads, infos);
    } catch (IllegalArgumentException e) {
      throw new MalformedFileException(file, "", e.getMessage(), "what fits this network", e);
    }
    boolean filled = false;
    try (Safetensors weights = Safetensors.open(directory.resolve(WEIGHTS))) {
      fill(adapter, weights, directory.resolve(WEIGHTS));
      filled = true;
    } finally {
      if (!filled) {
        adapter.close();
      }
    }
    adapter.setTrainable(false);
    return adapter;
  }

  private static OutputHead head(JsonFields json, String task, JsonNode own)
      throws MalformedFileException {
    try {
      return new OutputHead(
          MultiLayerConfiguration.fromJson(own.path("configuration").asText()), Map.of());
    } catch (RuntimeException e) {
      throw new MalformedFileException(
          json.origin(),
          "field 'heads." + task + ".configuration'",
          "what DL4J cannot read: " + e.getMessage(),
          "the configuration of an output layer",
          e);
    }
  }

  private static Dl4jTaskInfo info(JsonNode own, Path directory) throws IOException {
    ImmutableList.Builder<String> labels = ImmutableList.builder();
    own.path("labels").forEach(l -> labels.add(l.asText()));
    Optional<DataNormalization> normalizer = Optional.empty();
    if (own.hasNonNull("normalizer")) {
      Path file = directory.resolve(own.get("normalizer").asText());
      if (!Files.isRegularFile(file)) {
        throw new NoSuchFileException(
            file.toString(), null, "the normaliser of the data that the adapter was trained on");
      }
      try {
        DataNormalization read = NormalizerSerializer.getDefault().restore(file.toFile());
        normalizer = Optional.of(read);
      } catch (Exception e) {
        throw new MalformedFileException(
            file, "", "what DL4J cannot read: " + e.getMessage(), "a normaliser", e);
      }
    }
    return new Dl4jTaskInfo(labels.build(), normalizer);
  }

  private static void fill(Dl4jAdapter adapter, Safetensors weights, Path file) throws IOException {
    Parameters p = adapter.parameters();
    for (String name : p.names()) {
      Parameters.Slot slot = p.slot(name);
      String key = PREFIX + name;
      if (!weights.names().contains(key)) {
        throw new MalformedFileException(
            file,
            "tensor '" + key + "'",
            "nothing",
            Arrays.toString(new int[] {slot.rows(), slot.cols()}));
      }
      List<Long> shape = weights.entry(key).shape();
      if (!shape.equals(List.of((long) slot.rows(), (long) slot.cols()))) {
        throw new MalformedFileException(
            file,
            "tensor '" + key + "'",
            shape.toString(),
            Arrays.toString(new int[] {slot.rows(), slot.cols()})
                + ", as the network's layer has it");
      }
    }
    for (String key : weights.names()) {
      if (!key.startsWith(PREFIX) || !p.names().contains(key.substring(PREFIX.length()))) {
        throw new MalformedFileException(
            file, "tensor '" + key + "'", "it", "only what adapter_config.json names");
      }
    }
    Engine engine = adapter.model().engine();
    engine.lock().lock();
    try {
      for (String name : p.names()) {
        adapter.set(name, weights.floats(PREFIX + name));
      }
      p.changed();
    } finally {
      engine.lock().unlock();
    }
  }
}
