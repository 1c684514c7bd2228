package org.tune4j.lora;

import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.JsonFile;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Projection;

/**
 * Reads and writes {@code adapter_config.json} with the fields of PEFT 0.21's {@code LoraConfig}.
 * Each field is supported, irrelevant for the adapter, or refused by name with a description of
 * what it would do, unless its value disables it.
 */
final class PeftConfig {
  static final String FILE = "adapter_config.json";
  private static final String PEFT_VERSION = "0.21.0";
  private static final long MAX_BYTES = 4 << 20; // PEFT's files have a few kilobytes

  /** Values of disabled options, which are written as PEFT does. */
  private static final ImmutableMap<String, JsonNode> OFF = off();

  /** Descriptions of options that are not implemented. */
  private static final ImmutableMap<String, String> REFUSED =
      ImmutableMap.<String, String>builder()
          .put("alora_invocation_tokens", "applies the adapter from certain tokens on (aLoRA)")
          .put("arrow_config", "routes each token among several adapters (Arrow)")
          .put(
              "kasa_config",
              "cuts singular values off the base weights and learns others between A and B (KaSA)")
          .put("layer_replication", "builds a deeper model from the base model's layers")
          .put("lora_bias", "adds a bias to B")
          .put("megatron_config", "adapts the parallel layers of Megatron")
          .put("monteclora_config", "draws the update at random around A and B (MonteCLoRA)")
          .put("target_parameters", "adapts parameters that are not a module's weight")
          .put("trainable_token_indices", "trains single rows of the embedding")
          .put("use_bdlora", "makes A or B block-diagonal (BD-LoRA)")
          .put("use_qalora", "pools the inputs of A by groups (QA-LoRA)")
          .put("velora_config", "compresses the activations for A's gradient (VeLoRA)")
          .buildOrThrow();

  /** Fields that are informational, or belong to options that must be disabled. */
  private static final ImmutableSet<String> IGNORED =
      ImmutableSet.of(
          "auto_mapping",
          "base_model_name_or_path",
          "inference_mode",
          "peft_version",
          "revision",
          "runtime_config",
          "megatron_core",
          "qalora_group_size",
          // PEFT itself ignores these unless init_lora_weights names their method
          "corda_config",
          "eva_config",
          "loftq_config",
          "lora_ga_config");

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
          "init_lora_weights",
          "bias",
          "modules_to_save",
          "ensure_weight_tying");

  /** Initialisations that change the base weights, with a description. */
  private static final ImmutableMap<String, String> MUTATING =
      ImmutableMap.of(
          "corda",
          "a part of the base weights, found from data, moved into the adapter",
          "lora_ga",
          "base weights that are offset by the initial adapter, found from gradients",
          "loftq",
          "base weights that are replaced by quantised ones");

  private PeftConfig() {}

  private static ImmutableMap<String, JsonNode> off() {
    try {
      JsonNode node =
          JsonFile.parse(
              """
              {"alora_invocation_tokens": null, "arrow_config": null, "auto_mapping": null,
               "corda_config": null, "eva_config": null, "kasa_config": null,
               "layer_replication": null, "loftq_config": {}, "lora_bias": false, "lora_ga_config": null,
               "megatron_config": null, "megatron_core": "megatron.core",
               "monteclora_config": null, "qalora_group_size": 16, "revision": null, "target_parameters": null,
               "trainable_token_indices": null, "use_bdlora": null, "use_dora": false, "use_qalora": false, "velora_config": null}
              """,
              Path.of(FILE));
      ImmutableMap.Builder<String, JsonNode> map = ImmutableMap.builder();
      node.properties().forEach(e -> map.put(e.getKey(), e.getValue()));
      return map.buildOrThrow();
    } catch (MalformedFileException e) {
      throw new AssertionError(e);
    }
  }

  private static void modules(ObjectNode o, String field, TargetModules modules) {
    if (modules.isNone()) {
      o.putNull(field);
    } else if (modules.expression()) {
      o.put(field, modules.names().get(0));
    } else {
      modules.names().forEach(o.putArray(field)::add);
    }
  }

  /** Returns the configuration in PEFT's format. */
  static String json(LoraAdapter adapter, String baseModel) throws IOException {
    LoraConfig c = adapter.plainConfig();
    TreeMap<String, JsonNode> fields = new TreeMap<>(OFF);
    ObjectNode o = JsonNodeFactory.instance.objectNode();
    o.put("base_model_name_or_path", baseModel);
    o.put("inference_mode", true);
    o.put("peft_type", "LORA");
    o.put("peft_version", PEFT_VERSION);
    o.put("task_type", "CAUSAL_LM");
    o.put("r", c.rank());
    number(o, "lora_alpha", c.alpha());
    o.put("lora_dropout", c.dropout());
    // like PEFT, stores the modules that all-linear resolves to
    modules(
        o,
        "target_modules",
        c.targetModules().isAllLinear()
            ? TargetModules.named(adapter.targets().keySet().asList())
            : c.targetModules());
    modules(o, "exclude_modules", c.excludeModules());
    ObjectNode ranks = o.putObject("rank_pattern");
    c.rankPattern().asMap().forEach(ranks::put);
    ObjectNode alphas = o.putObject("alpha_pattern");
    c.alphaPattern().asMap().forEach((k, v) -> number(alphas, k, v));
    if (c.layersToTransform().isEmpty()) {
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
    c.variant().field().ifPresent(field -> o.put(field, true));
    switch (c.initialisation()) {
      case KAIMING, RANDOM ->
          o.put("init_lora_weights", Boolean.parseBoolean(c.initialisation().peft()));
      default -> o.put("init_lora_weights", c.initialisation().peft());
    }
    o.put("bias", c.bias().peft());
    if (c.modulesToSave().isEmpty()) {
      o.putNull("modules_to_save");
    } else {
      c.modulesToSave().forEach(o.putArray("modules_to_save")::add);
    }
    o.put("ensure_weight_tying", c.ensureWeightTying());
    o.properties().forEach(e -> fields.put(e.getKey(), e.getValue()));
    ObjectNode sorted = JsonNodeFactory.instance.objectNode();
    fields.forEach(sorted::set);
    DefaultPrettyPrinter printer = new DefaultPrettyPrinter();
    DefaultIndenter indenter = new DefaultIndenter("  ", "\n");
    printer.indentObjectsWith(indenter);
    printer.indentArraysWith(indenter);
    return new ObjectMapper().writer(printer).writeValueAsString(sorted);
  }

  private static void number(ObjectNode o, String field, double value) {
    if (value == (int) value) {
      o.put(field, (int) value);
    } else {
      o.put(field, value);
    }
  }

  private static boolean fanInFanOut(LanguageModel model) {
    return model.projections().stream().anyMatch(Projection::fanInFanOut);
  }

  /** Reads the configuration of an adapter directory; see {@link PeftFormat#readConfig}. */
  static LoraConfig read(Path directory) throws IOException {
    Path file = directory.resolve(FILE);
    if (!Files.isRegularFile(file)) {
      throw new NoSuchFileException(file.toString(), null, "no such adapter configuration");
    }
    JsonFields fields = JsonFields.of(JsonFile.readUnique(file, MAX_BYTES), file);
    if (!fields.node().path("peft_type").asText("").equals("LORA")) {
      throw fields.bad(
          "peft_type", "\"LORA\": of PEFT's kinds of adapters only this is implemented");
    }
    return new Reader(fields).read();
  }

  /** Returns the base model named by a configuration that was already checked; may be empty. */
  static String baseModel(Path directory) throws IOException {
    return JsonFile.read(directory.resolve(FILE), MAX_BYTES)
        .path("base_model_name_or_path")
        .asText("");
  }

  /** Reads one configuration, field by field. */
  private record Reader(JsonFields fields) {
    LoraConfig read() throws IOException {
      refuseUnsupported();
      LoraConfig.Builder b = LoraConfig.builder();
      b.rank(fields.integer("r", 8));
      b.alpha(fields.number("lora_alpha", 8));
      b.dropout(fields.number("lora_dropout", 0));
      JsonNode targets = value("target_modules");
      if (targets.isTextual() && targets.asText().equalsIgnoreCase(TargetModules.ALL_LINEAR)) {
        b.targetModules(TargetModules.allLinear());
      } else if (targets.isTextual()) {
        b.targetModules(TargetModules.matching(targets.asText()));
      } else if (targets.isArray() && !targets.isEmpty()) {
        b.targetModules(fields.strings("target_modules"));
      } else {
        throw fields.bad(
            "target_modules", "a list of module names, a regular expression, or \"all-linear\"");
      }
      JsonNode excluded = value("exclude_modules");
      if (!excluded.isTextual()) {
        b.excludeModules(TargetModules.named(fields.strings("exclude_modules")));
      } else if (!excluded.asText().isEmpty()) {
        b.excludeModules(TargetModules.matching(excluded.asText()));
      }
      if (fields.has("rank_pattern")) {
        b.rankPattern(fields.integersByName("rank_pattern"));
      }
      if (fields.has("alpha_pattern")) {
        b.alphaPattern(fields.numbersByName("alpha_pattern"));
      }
      b.layersToTransform(
          fields.integers("layers_to_transform", "an integer, or an array of integers"));
      JsonNode pattern = value("layers_pattern");
      if (!pattern.isTextual()) {
        b.layersPattern(fields.strings("layers_pattern"));
      } else if (!pattern.asText().isEmpty()) {
        b.layersPattern(List.of(pattern.asText()));
      }
      b.rslora(fields.flag("use_rslora", false));
      b.variant(variant());
      b.initialisation(initialisation(value("init_lora_weights")));
      b.bias(bias(value("bias")));
      b.modulesToSave(fields.strings("modules_to_save"));
      b.ensureWeightTying(fields.flag("ensure_weight_tying", false));
      try {
        return b.build();
      } catch (IllegalArgumentException e) {
        throw new MalformedFileException(
            fields.origin(), "", e.getMessage(), "a valid LoRA configuration", e);
      }
    }

    private JsonNode value(String field) {
      return fields.node().path(field);
    }

    private void refuseUnsupported() throws IOException {
      for (Map.Entry<String, JsonNode> e : fields.node().properties()) {
        String field = e.getKey();
        JsonNode value = e.getValue();
        if (UNDERSTOOD.contains(field)
            || LoraVariant.all().stream().anyMatch(v -> v.field().equals(Optional.of(field)))
            || IGNORED.contains(field)
            || value.equals(OFF.get(field))
            || switchedOff(value)) {
          continue;
        }
        throw fields.bad(
            field,
            REFUSED.containsKey(field)
                ? "null or false: this option " + REFUSED.get(field) + ", which is not implemented"
                : "null or false: this option of PEFT is not implemented");
      }
      JsonNode task = value("task_type");
      if (!absent(task) && !task.asText().equals("CAUSAL_LM")) {
        throw fields.bad("task_type", "\"CAUSAL_LM\": models of other tasks are not implemented");
      }
    }

    private Initialisation initialisation(JsonNode init) throws IOException {
      if (absent(init)) {
        return Initialisation.KAIMING;
      }
      String value = init.asText().toLowerCase(Locale.ROOT);
      for (Initialisation i : Initialisation.values()) {
        boolean flag = i.peft().equals("true") || i.peft().equals("false");
        if (value.equals(i.peft()) && (flag ? init.isBoolean() : init.isTextual())) {
          return i;
        }
      }
      if (init.isTextual() && value.matches("pissa_niter_\\d{1,9}")) {
        return Initialisation.PISSA; // of which this is an approximation
      }
      throw fields.bad(
          "init_lora_weights",
          init.isTextual() && MUTATING.containsKey(value)
              ? "an initialisation that needs nothing but the base weights: this one trains on "
                  + MUTATING.get(value)
                  + "; PEFT converts it to plain LoRA when it is saved with"
                  + " path_initial_model_for_weight_conversion"
              : "true, false, \"gaussian\", \"orthogonal\", \"eva\", \"mica\", \"pissa\","
                  + " \"pissa_niter_16\" or \"olora\": other initialisations are not implemented");
    }

    private LoraVariant variant() throws IOException {
      LoraVariant found = LoraVariant.plain();
      for (LoraVariant v : LoraVariant.all()) {
        if (v.field().isPresent() && fields.flag(v.field().get(), false)) {
          if (found != LoraVariant.plain()) {
            throw fields.bad(
                v.field().get(),
                "false, as "
                    + found.field().orElseThrow()
                    + " is true: an adapter is one or the other");
          }
          found = v;
        }
      }
      return found;
    }

    private LoraConfig.Bias bias(JsonNode bias) throws IOException {
      if (absent(bias)) {
        return LoraConfig.Bias.NONE;
      }
      for (LoraConfig.Bias b : LoraConfig.Bias.values()) {
        if (bias.isTextual() && bias.asText().equals(b.peft())) {
          return b;
        }
      }
      throw fields.bad("bias", "\"none\", \"all\" or \"lora_only\"");
    }

    private static boolean absent(JsonNode value) {
      return value.isMissingNode() || value.isNull();
    }

    private static boolean switchedOff(JsonNode value) {
      return value.isNull()
          || (value.isBoolean() && !value.asBoolean())
          || (value.isContainerNode() && value.isEmpty());
    }
  }
}
