package org.tune4j.lora;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters.Slot;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.io.SafetensorsWriter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Projection;

/**
 * PEFT's adapter directories: {@code adapter_config.json} and {@code adapter_model.safetensors}.
 * What PEFT writes loads here, what is written here PEFT loads. An option that is not implemented
 * is refused by name unless it has the value that switches it off.
 */
public final class PeftFormat {
  private static final Logger LOG = LoggerFactory.getLogger(PeftFormat.class);
  static final String CONFIG = "adapter_config.json";
  static final String WEIGHTS = "adapter_model.safetensors";

  /** In the metadata of the weights, which PEFT passes over: a hash of the base's weights. */
  static final String BASE_HASH = "base_model_weights";

  private static final String PREFIX = "base_model.model.";
  private static final String PEFT_VERSION = "0.21.0";
  private static final ObjectMapper JSON =
      new ObjectMapper()
          .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
  private static final String CARD = "README.md"; // PEFT's model card

  /** Options that are written with the value that switches them off, and accepted with it only. */
  private static final ImmutableMap<String, JsonNode> OFF = off();

  /** Fields that carry information only. */
  private static final ImmutableSet<String> IGNORED =
      ImmutableSet.of(
          "base_model_name_or_path",
          "inference_mode",
          "peft_version",
          "revision",
          "auto_mapping",
          "ensure_weight_tying",
          // parameters of options that are off
          "qalora_group_size",
          "megatron_core",
          "runtime_config",
          "loftq_config",
          "eva_config");

  private static final ImmutableSet<String> UNDERSTOOD =
      ImmutableSet.of(
          "peft_type",
          "task_type",
          "r",
          "lora_alpha",
          "lora_dropout",
          "target_modules",
          "exclude_modules",
          "rank_pattern",
          "alpha_pattern",
          "layers_to_transform",
          "layers_pattern",
          "fan_in_fan_out",
          "use_rslora",
          "use_dora",
          "init_lora_weights");

  private PeftFormat() {}

  private static ImmutableMap<String, JsonNode> off() {
    try {
      JsonNode node =
          JSON.readTree(
              """
              {"alora_invocation_tokens": null, "arrow_config": null, "auto_mapping": null, "bias": "none",
               "corda_config": null, "ensure_weight_tying": false, "eva_config": null, "kasa_config": null,
               "layer_replication": null, "loftq_config": {}, "lora_bias": false, "lora_ga_config": null,
               "megatron_config": null, "megatron_core": "megatron.core", "modules_to_save": null,
               "monteclora_config": null, "qalora_group_size": 16, "revision": null, "target_parameters": null,
               "trainable_token_indices": null, "use_bdlora": null, "use_qalora": false, "velora_config": null}
              """);
      ImmutableMap.Builder<String, JsonNode> map = ImmutableMap.builder();
      node.properties().forEach(e -> map.put(e.getKey(), e.getValue()));
      return map.buildOrThrow();
    } catch (JsonProcessingException e) {
      throw new AssertionError(e);
    }
  }

  /**
   * Writes an adapter, naming the directory of the base model ({@link LanguageModel#source}); what
   * was there is replaced once everything is written, but for a model card.
   *
   * @throws java.nio.file.FileAlreadyExistsException if the directory holds files that are not an
   *     adapter's
   * @throws IOException if it cannot be written; the message names the directory
   */
  public static void save(LoraAdapter adapter, Path directory) throws IOException {
    save(adapter, directory, adapter.model().source().map(Path::toString).orElse(null));
  }

  /**
   * Like {@link #save(LoraAdapter, Path)}.
   *
   * @param baseModel where PEFT finds the base model: a directory or a name on the hub; may be null
   */
  public static void save(LoraAdapter adapter, Path directory, String baseModel)
      throws IOException {
    Map<String, Slot> tensors = new TreeMap<>();
    for (LoraAdapter.Module m : adapter.modules().values()) {
      tensors.put(PREFIX + m.a().name(), m.a());
      tensors.put(PREFIX + m.b().name(), m.b());
      if (m.magnitude() != null) {
        tensors.put(PREFIX + m.magnitude().name(), m.magnitude());
      }
    }
    SafetensorsWriter writer =
        new SafetensorsWriter()
            .metadata("format", "pt")
            .metadata(BASE_HASH, adapter.model().weightsHash());
    Engine engine = adapter.model().engine();
    engine.lock().lock();
    try {
      tensors.forEach(
          (key, slot) -> {
            float[] values = adapter.values(slot.name());
            if (slot.equals(adapter.modules().get(moduleOf(slot.name())).magnitude())) {
              writer.add(key, values, slot.cols());
            } else {
              writer.add(key, values, slot.rows(), slot.cols());
            }
          });
    } finally {
      engine.lock().unlock();
    }
    String json = configJson(adapter, baseModel);
    Path card = directory.resolve(CARD);
    AtomicFiles.writeDirectory(
        directory,
        ImmutableSet.of(CONFIG, WEIGHTS, "adapter_model.bin", CARD)::contains,
        d -> {
          AtomicFiles.writeString(d.resolve(CONFIG), json);
          writer.write(d.resolve(WEIGHTS));
          if (Files.exists(card)) {
            Files.copy(card, d.resolve(CARD));
          }
        });
  }

  private static String moduleOf(String parameter) {
    return parameter.substring(0, parameter.lastIndexOf(".lora_"));
  }

  /** Returns the configuration as PEFT writes it. */
  static String configJson(LoraAdapter adapter, String baseModel) throws IOException {
    LoraConfig c = adapter.config();
    TreeMap<String, JsonNode> fields = new TreeMap<>(OFF);
    ObjectNode o = JSON.createObjectNode();
    o.put("base_model_name_or_path", baseModel);
    o.put("inference_mode", true);
    o.put("peft_type", "LORA");
    o.put("peft_version", PEFT_VERSION);
    o.put("task_type", "CAUSAL_LM");
    o.put("r", c.rank());
    number(o, "lora_alpha", c.alpha());
    o.put("lora_dropout", c.dropout());
    if (c.targetRegex()) {
      o.put("target_modules", c.targetModules().get(0));
    } else if (c.targetModules().contains(LoraConfig.ALL_LINEAR)) {
      // PEFT, too, stores what all-linear came to
      adapter.modules().keySet().forEach(o.putArray("target_modules")::add);
    } else {
      c.targetModules().forEach(o.putArray("target_modules")::add);
    }
    if (c.excludeModules().isEmpty()) {
      o.putNull("exclude_modules");
    } else if (c.excludeRegex()) {
      o.put("exclude_modules", c.excludeModules().get(0));
    } else {
      c.excludeModules().forEach(o.putArray("exclude_modules")::add);
    }
    ObjectNode ranks = o.putObject("rank_pattern");
    c.rankPattern().forEach(ranks::put);
    ObjectNode alphas = o.putObject("alpha_pattern");
    c.alphaPattern().forEach((k, v) -> number(alphas, k, v));
    if (c.layersToTransform() == null) {
      o.putNull("layers_to_transform");
    } else {
      c.layersToTransform().forEach(o.putArray("layers_to_transform")::add);
    }
    if (c.layersPattern().isEmpty()) {
      o.putNull("layers_pattern");
    } else {
      c.layersPattern().forEach(o.putArray("layers_pattern")::add);
    }
    o.put("fan_in_fan_out", fanInFanOut(adapter.model()));
    o.put("use_rslora", c.rslora());
    o.put("use_dora", c.dora());
    switch (c.initialisation()) {
      case KAIMING -> o.put("init_lora_weights", true);
      case GAUSSIAN -> o.put("init_lora_weights", "gaussian");
      case RANDOM -> o.put("init_lora_weights", false);
    }
    o.properties().forEach(e -> fields.put(e.getKey(), e.getValue()));
    ObjectNode sorted = JSON.createObjectNode();
    fields.forEach(sorted::set);
    DefaultPrettyPrinter printer = new DefaultPrettyPrinter();
    DefaultIndenter indenter = new DefaultIndenter("  ", "\n");
    printer.indentObjectsWith(indenter);
    printer.indentArraysWith(indenter);
    return JSON.writer(printer).writeValueAsString(sorted);
  }

  private static void number(ObjectNode o, String field, double value) {
    if (value == Math.rint(value)) {
      o.put(field, (int) value);
    } else {
      o.put(field, value);
    }
  }

  private static boolean fanInFanOut(LanguageModel model) {
    return model.projections().stream().anyMatch(Projection::fanInFanOut);
  }

  /**
   * Reads the configuration of an adapter directory.
   *
   * @throws MalformedFileException if it is no LoRA configuration, or uses an option that is not
   *     implemented; it names the option
   */
  public static LoraConfig readConfig(Path directory) throws IOException {
    Path file = directory.resolve(CONFIG);
    if (!Files.isRegularFile(file)) {
      throw new NoSuchFileException(file.toString(), null, "no such adapter configuration");
    }
    JsonNode root;
    try {
      root = JSON.readTree(Files.readAllBytes(file));
    } catch (JsonProcessingException e) {
      throw new MalformedFileException(
          file, "", "no valid JSON (" + e.getOriginalMessage() + ")", "JSON", e);
    }
    if (!root.path("peft_type").asText("").equals("LORA")) {
      throw new MalformedFileException(file, "peft_type", text(root.path("peft_type")), "\"LORA\"");
    }
    return new ConfigReader(file, root).read();
  }

  private static String text(JsonNode node) {
    return node.isMissingNode() ? "nothing" : node.toString();
  }

  /** Reads one configuration, field by field. */
  private record ConfigReader(Path file, JsonNode root) {
    LoraConfig read() throws IOException {
      refuseOthers();
      LoraConfig.Builder b = LoraConfig.builder();
      b.rank(integer("r", root.path("r"), 8));
      b.alpha(real("lora_alpha", root.path("lora_alpha"), 8));
      b.dropout(real("lora_dropout", root.path("lora_dropout"), 0));
      JsonNode targets = root.path("target_modules");
      if (targets.isTextual() && targets.asText().equalsIgnoreCase(LoraConfig.ALL_LINEAR)) {
        b.targetModules(LoraConfig.ALL_LINEAR);
      } else if (targets.isTextual()) {
        b.targetModulesRegex(targets.asText());
      } else if (targets.isArray() && !targets.isEmpty()) {
        b.targetModules(texts("target_modules", targets));
      } else {
        throw malformed(
            "target_modules",
            targets,
            "a list of module names, a regular expression, or \"all-linear\"");
      }
      JsonNode excluded = root.path("exclude_modules");
      if (excluded.isTextual() && !excluded.asText().isEmpty()) {
        b.excludeModulesRegex(excluded.asText());
      } else if (!excluded.isTextual()) {
        b.excludeModules(texts("exclude_modules", excluded));
      }
      Map<String, Integer> ranks = new LinkedHashMap<>();
      for (Map.Entry<String, JsonNode> e : object("rank_pattern")) {
        ranks.put(e.getKey(), integer("rank_pattern, " + e.getKey(), e.getValue(), 0));
      }
      b.rankPattern(ranks);
      Map<String, Double> alphas = new LinkedHashMap<>();
      for (Map.Entry<String, JsonNode> e : object("alpha_pattern")) {
        alphas.put(e.getKey(), real("alpha_pattern, " + e.getKey(), e.getValue(), Double.NaN));
      }
      b.alphaPattern(alphas);
      JsonNode layers = root.path("layers_to_transform");
      if (layers.isArray()) {
        List<Integer> all = new ArrayList<>();
        for (JsonNode layer : layers) {
          all.add(integer("layers_to_transform", layer, -1));
        }
        b.layersToTransform(all);
      } else if (!absent(layers)) {
        b.layersToTransform(List.of(integer("layers_to_transform", layers, -1)));
      }
      JsonNode pattern = root.path("layers_pattern");
      if (!pattern.isTextual()) {
        b.layersPattern(texts("layers_pattern", pattern));
      } else if (!pattern.asText().isEmpty()) {
        b.layersPattern(List.of(pattern.asText()));
      }
      b.rslora(flag("use_rslora"));
      b.dora(flag("use_dora"));
      b.initialisation(initialisation(root.path("init_lora_weights")));
      try {
        return b.build();
      } catch (IllegalArgumentException e) {
        throw new MalformedFileException(file, "", e.getMessage(), "a valid LoRA configuration", e);
      }
    }

    private void refuseOthers() throws IOException {
      for (Map.Entry<String, JsonNode> e : root.properties()) {
        String field = e.getKey();
        JsonNode value = e.getValue();
        JsonNode off = OFF.get(field);
        if (!UNDERSTOOD.contains(field)
            && !IGNORED.contains(field)
            && !value.equals(off)
            && !switchedOff(value)) {
          throw malformed(
              field,
              value,
              (off == null || off.isNull() ? "null or false" : off.toString())
                  + ": this option of PEFT is not implemented");
        }
      }
      JsonNode task = root.path("task_type");
      if (!absent(task) && !task.asText().equals("CAUSAL_LM")) {
        throw malformed("task_type", task, "\"CAUSAL_LM\"");
      }
    }

    private LoraConfig.Initialisation initialisation(JsonNode init) throws IOException {
      if (absent(init) || init.isBoolean()) {
        return init.asBoolean(true)
            ? LoraConfig.Initialisation.KAIMING
            : LoraConfig.Initialisation.RANDOM;
      }
      if (init.asText().equalsIgnoreCase("gaussian")) {
        return LoraConfig.Initialisation.GAUSSIAN;
      }
      throw malformed(
          "init_lora_weights",
          init,
          "true, false or \"gaussian\": other initialisations are not implemented");
    }

    private static boolean absent(JsonNode value) {
      return value.isMissingNode() || value.isNull();
    }

    private static boolean switchedOff(JsonNode value) {
      return value.isNull()
          || (value.isBoolean() && !value.asBoolean())
          || (value.isContainerNode() && value.isEmpty());
    }

    private MalformedFileException malformed(String field, JsonNode found, String expected) {
      return new MalformedFileException(file, field, text(found), expected);
    }

    private List<String> texts(String field, JsonNode array) throws IOException {
      List<String> all = new ArrayList<>();
      if (absent(array)) {
        return all;
      }
      if (!array.isArray()) {
        throw malformed(field, array, "a list of names");
      }
      for (JsonNode t : array) {
        if (!t.isTextual()) {
          throw malformed(field, t, "a name");
        }
        all.add(t.asText());
      }
      return all;
    }

    private Set<Map.Entry<String, JsonNode>> object(String field) throws IOException {
      JsonNode v = root.path(field);
      if (absent(v)) {
        return Set.of();
      }
      if (!v.isObject()) {
        throw malformed(field, v, "an object of pattern: number");
      }
      return v.properties();
    }

    private int integer(String field, JsonNode v, int otherwise) throws IOException {
      if (absent(v)) {
        return otherwise;
      }
      if (!v.isInt()) {
        throw malformed(field, v, "an integer");
      }
      return v.asInt();
    }

    private double real(String field, JsonNode v, double otherwise) throws IOException {
      if (absent(v)) {
        return otherwise;
      }
      if (!v.isNumber()) {
        throw malformed(field, v, "a number");
      }
      return v.asDouble();
    }

    private boolean flag(String field) throws IOException {
      JsonNode v = root.path(field);
      if (!absent(v) && !v.isBoolean()) {
        throw malformed(field, v, "true or false");
      }
      return v.asBoolean(false);
    }
  }

  /**
   * Loads an adapter onto a model, frozen (call {@link LoraAdapter#setTrainable} to train it on). A
   * base whose weights are not those that it was trained on, as far as the file tells, is warned
   * of.
   *
   * @throws MalformedFileException if it is damaged, incomplete or made for another base model; the
   *     message names the tensor
   * @throws NoSuchFileException if a file is missing
   */
  public static LoraAdapter load(LanguageModel model, String name, Path directory)
      throws IOException {
    LoraConfig config = readConfig(directory);
    Path file = directory.resolve(WEIGHTS);
    if (!Files.isRegularFile(file)) {
      String hint =
          Files.exists(directory.resolve("adapter_model.bin"))
              ? "adapter_model.bin is a pickle, which is not read: save the adapter with safe_serialization=True"
              : "no such adapter weights";
      throw new NoSuchFileException(file.toString(), null, hint);
    }
    Safetensors weights = Safetensors.open(file);
    LoraAdapter adapter;
    try {
      adapter = LoraAdapter.zeros(model, config, name);
    } catch (IllegalArgumentException e) {
      throw new MalformedFileException(
          directory.resolve(CONFIG),
          "target_modules",
          e.getMessage(),
          "modules of this base model",
          e);
    }
    try {
      fill(adapter, weights, file);
    } catch (IOException | RuntimeException e) {
      adapter.close();
      throw e;
    }
    adapter.setTrainable(false);
    warnOfAnotherBase(model, directory, weights.metadata().get(BASE_HASH));
    return adapter;
  }

  private static void warnOfAnotherBase(LanguageModel model, Path directory, String trainedOn)
      throws IOException {
    if (trainedOn != null && !trainedOn.equals(model.weightsHash())) {
      Path config = directory.resolve(CONFIG);
      String base =
          JSON.readTree(Files.readAllBytes(config)).path("base_model_name_or_path").asText("");
      LOG.warn(
          "{} was trained on other weights than those of {}: their hash was {}, here it is {}; its base was {}",
          directory,
          model.name(),
          trainedOn,
          model.weightsHash(),
          base.isEmpty() ? "not named" : base);
    }
  }

  private static void fill(LoraAdapter adapter, Safetensors weights, Path file) throws IOException {
    Set<String> unread = new TreeSet<>(weights.names());
    for (LoraAdapter.Module m : adapter.modules().values()) {
      read(
          adapter, weights, file, m.a(), unread, List.of((long) m.a().rows(), (long) m.a().cols()));
      read(
          adapter, weights, file, m.b(), unread, List.of((long) m.b().rows(), (long) m.b().cols()));
      if (m.magnitude() != null) {
        read(adapter, weights, file, m.magnitude(), unread, List.of((long) m.magnitude().cols()));
      }
    }
    if (!unread.isEmpty()) {
      String first = unread.iterator().next();
      throw new MalformedFileException(
          file,
          "tensor '" + first + "'",
          unread.size()
              + " tensor(s) of modules that this base model lacks or the configuration does not target",
          "only tensors of "
              + adapter.config().targetModules()
              + "; was the adapter made for another base model?");
    }
    adapter.model().engine().lock().lock();
    try {
      adapter.parameters().changed();
    } finally {
      adapter.model().engine().lock().unlock();
    }
  }

  private static void read(
      LoraAdapter adapter,
      Safetensors weights,
      Path file,
      Slot slot,
      Set<String> unread,
      List<Long> shape)
      throws IOException {
    String key = PREFIX + slot.name();
    if (!weights.contains(key) && weights.contains(key + ".weight")) {
      key += ".weight"; // magnitude vectors of PEFT before 0.14
    }
    if (!weights.contains(key)) {
      throw new MalformedFileException(
          file,
          "tensor '" + key + "'",
          "nothing",
          "a tensor " + shape + ", as " + CONFIG + " targets this module");
    }
    Safetensors.Entry entry = weights.entry(key);
    List<Long> found = new ArrayList<>(entry.shape());
    if (shape.size() == 1) {
      found.removeIf(d -> d == 1);
    }
    if (!found.equals(shape)) {
      throw new MalformedFileException(
          file,
          "tensor '" + key + "'",
          "shape " + entry.shape(),
          shape + " for this base model (was the adapter made for another?)");
    }
    if (!entry.type().isFloat()) {
      throw new MalformedFileException(
          file,
          "tensor '" + key + "', dtype",
          entry.type().name(),
          List.of(ElementType.F32, ElementType.F16, ElementType.BF16).toString());
    }
    float[] values = weights.floats(key);
    for (int i = 0; i < values.length; i++) {
      if (!Float.isFinite(values[i])) {
        throw new MalformedFileException(
            file,
            "tensor '" + key + "', element " + i,
            String.valueOf(values[i]),
            "a finite number");
      }
    }
    adapter.model().engine().lock().lock();
    try {
      adapter.set(slot, values);
    } finally {
      adapter.model().engine().lock().unlock();
    }
    unread.remove(key);
  }
}
