package org.tune4j.core.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeMap;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.JsonFile;
import org.tune4j.core.io.MalformedFileException;

/**
 * The tokenizer files of a model directory: {@code tokenizer.json}, modified according to {@code
 * tokenizer_config.json} as transformers 5 does when {@code AutoTokenizer} loads both.
 *
 * <ul>
 *   <li>Tokens of {@code added_tokens_decoder}, named special tokens ({@code eos_token}, ...) and
 *       {@code extra_special_tokens} (earlier {@code additional_special_tokens}) are added, with
 *       the id that the vocabulary has for them, or the next free one.
 *   <li>{@code add_bos_token} or {@code add_eos_token}, where either is declared, replace the
 *       post-processor.
 *   <li>{@code LlamaTokenizer} builds its own components around the vocabulary: a space before the
 *       first text only, or with {@code legacy} before each text between special tokens, or none if
 *       {@code add_prefix_space} is false. A byte-level {@code tokenizer.json} of this class is
 *       left as it is.
 *   <li>{@code add_prefix_space} is applied to the byte-level pre-tokenizer of the classes that
 *       have one; the classes that take {@code tokenizer.json} as it is ignore it.
 * </ul>
 */
final class TokenizerFiles {
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;
  private static final long MAX_BYTES = 1 << 30; // a vocabulary of 262,144 takes 33 million
  private static final ImmutableList<String> SPECIAL_TOKENS =
      ImmutableList.of(
          "bos_token",
          "eos_token",
          "unk_token",
          "sep_token",
          "pad_token",
          "cls_token",
          "mask_token");

  /** Classes of transformers that take tokenizer.json as it is. */
  private static final ImmutableSet<String> AS_IS =
      ImmutableSet.of("", "PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend");

  private static final ImmutableSet<String> BYTE_LEVEL =
      ImmutableSet.of("GPT2Tokenizer", "GPT2TokenizerFast", "Qwen2Tokenizer", "Qwen2TokenizerFast");
  private static final ImmutableSet<String> LLAMA =
      ImmutableSet.of("LlamaTokenizer", "LlamaTokenizerFast");

  private final Path file;
  private final Path configFile;
  private final String original;
  private final ObjectNode root;
  private final ObjectNode config;
  private final JsonNode generation;
  private final JsonNode model;
  private final Map<String, ObjectNode> added = new LinkedHashMap<>();
  private int vocabularySize;
  private int highest = -1;
  private boolean changed;

  private TokenizerFiles(Path directory) throws IOException {
    file = directory.resolve("tokenizer.json");
    if (!Files.isRegularFile(file)) {
      throw new NoSuchFileException(
          file.toString(),
          null,
          "no such tokenizer; tokenizers saved by transformers' AutoTokenizer have one");
    }
    configFile = directory.resolve("tokenizer_config.json");
    original = JsonFile.text(file, MAX_BYTES);
    root = object(JsonFile.parse(original, file), file);
    config = objectIfPresent(configFile);
    if (!config.has("added_tokens_decoder")) { // otherwise transformers ignores this file
      objectIfPresent(directory.resolve("special_tokens_map.json"))
          .properties()
          .forEach(e -> config.set(e.getKey(), e.getValue()));
    }
    generation = objectIfPresent(directory.resolve("generation_config.json"));
    model = objectIfPresent(directory.resolve("config.json"));
  }

  static TokenizerFiles read(Path directory) throws IOException {
    TokenizerFiles files = new TokenizerFiles(directory);
    files.countVocabulary();
    files.requireSupported();
    files.addTokens();
    files.rebuildLlama();
    files.prefixSpace();
    files.postProcessor();
    return files;
  }

  private static ObjectNode object(JsonNode node, Path file) throws MalformedFileException {
    return (ObjectNode) JsonFields.of(node, file).node();
  }

  private static ObjectNode objectIfPresent(Path file) throws IOException {
    return Files.exists(file) ? object(JsonFile.read(file), file) : JSON.objectNode();
  }

  // ---- results

  Path file() {
    return file;
  }

  /** Returns the modified content of {@code tokenizer.json}. */
  String json() {
    return changed ? root.toString() : original;
  }

  /** Returns the highest token id plus one. */
  int size() {
    return highest + 1;
  }

  /** Returns the added tokens, by id. */
  ImmutableMap<Integer, String> added() {
    ImmutableMap.Builder<Integer, String> all = ImmutableMap.builder();
    added.forEach((content, token) -> all.put(token.path("id").asInt(), content));
    return all.buildKeepingLast();
  }

  OptionalInt bos() {
    return special("bos_token");
  }

  OptionalInt pad() {
    return special("pad_token");
  }

  private OptionalInt special(String name) {
    OptionalInt named = id(content(config.path(name)));
    if (named.isPresent()) {
      return named;
    }
    for (JsonNode from : new JsonNode[] {generation, model}) {
      JsonNode id = from.path(name + "_id");
      id = id.isArray() && !id.isEmpty() ? id.get(0) : id;
      if (id.isInt()) {
        return OptionalInt.of(id.asInt());
      }
    }
    return OptionalInt.empty();
  }

  /**
   * Returns the end tokens: the tokenizer's own first, then those of generation_config.json and
   * config.json.
   */
  ImmutableSet<Integer> eos() {
    Set<Integer> all = new LinkedHashSet<>();
    special("eos_token").ifPresent(all::add);
    for (JsonNode from : new JsonNode[] {generation, model}) {
      JsonNode ids = from.path("eos_token_id");
      if (ids.isInt()) {
        all.add(ids.asInt());
      }
      ids.forEach(id -> all.add(id.asInt()));
    }
    return ImmutableSet.copyOf(all);
  }

  /** Returns whether decoding strips a leading space, which would be lost in continuations. */
  boolean decodingStripsSpace() {
    return stripsSpace(root.path("decoder"));
  }

  private static boolean stripsSpace(JsonNode decoder) {
    return switch (decoder.path("type").asText()) {
      case "Strip" -> decoder.path("start").asInt() > 0;
      case "Metaspace" -> true;
      case "Sequence" -> {
        boolean any = false;
        for (JsonNode d : decoder.path("decoders")) {
          any |= stripsSpace(d);
        }
        yield any;
      }
      default -> false;
    };
  }

  // ---- tokens

  private void countVocabulary() {
    JsonNode vocabulary = root.path("model").path("vocab");
    vocabularySize = vocabulary.size();
    if (vocabulary.isObject()) {
      for (JsonNode id : vocabulary) {
        highest = Math.max(highest, id.asInt());
      }
    } else {
      highest = vocabulary.size() - 1;
    }
    for (JsonNode token : root.path("added_tokens")) {
      if (token instanceof ObjectNode object) {
        added.put(object.path("content").asText(), object);
        highest = Math.max(highest, object.path("id").asInt());
      }
    }
  }

  private void requireSupported() throws MalformedFileException {
    if (config.path("split_special_tokens").asBoolean()) {
      throw new MalformedFileException(
          configFile,
          "field 'split_special_tokens'",
          "true",
          "false: special tokens in a text are always recognised");
    }
  }

  private static String content(JsonNode token) {
    return token.isObject() ? token.path("content").asText("") : token.asText("");
  }

  private OptionalInt id(String content) {
    if (content.isEmpty()) {
      return OptionalInt.empty();
    }
    ObjectNode token = added.get(content);
    if (token != null) {
      return OptionalInt.of(token.path("id").asInt());
    }
    JsonNode vocabulary = root.path("model").path("vocab");
    if (vocabulary.isObject()) {
      JsonNode id = vocabulary.path(content);
      return id.isInt() ? OptionalInt.of(id.asInt()) : OptionalInt.empty();
    }
    for (int i = 0; i < vocabulary.size(); i++) { // a unigram model has pairs of token and score
      if (vocabulary.get(i).path(0).asText().equals(content)) {
        return OptionalInt.of(i);
      }
    }
    return OptionalInt.empty();
  }

  private void addTokens() throws MalformedFileException {
    JsonNode declared = config.path("added_tokens_decoder");
    TreeMap<Integer, JsonNode> byId = new TreeMap<>();
    for (Map.Entry<String, JsonNode> e : declared.properties()) {
      String field = "field 'added_tokens_decoder." + e.getKey() + "'";
      if (!e.getKey().matches("\\d{1,9}")) {
        throw new MalformedFileException(configFile, field, "'" + e.getKey() + "'", "a token id");
      }
      if (!e.getValue().isObject() || !e.getValue().path("content").isTextual()) {
        throw new MalformedFileException(
            configFile, field, e.getValue().toString(), "a token with its content");
      }
      byId.put(Integer.parseInt(e.getKey()), e.getValue());
    }
    for (Map.Entry<Integer, JsonNode> e : byId.entrySet()) {
      int id = add(e.getValue(), false);
      if (id != e.getKey()) {
        throw new MalformedFileException(
            configFile,
            "field 'added_tokens_decoder." + e.getKey() + "'",
            "the token '%s', whose id is %d in %s"
                .formatted(content(e.getValue()), id, file.getFileName()),
            "the same id in both");
      }
    }
    for (String name : SPECIAL_TOKENS) {
      add(config.path(name), true);
    }
    for (String list : List.of("extra_special_tokens", "additional_special_tokens")) {
      for (JsonNode token : config.path(list)) {
        add(token, true);
      }
    }
    if (changed) {
      List<ObjectNode> sorted = new ArrayList<>(added.values());
      sorted.sort(Comparator.comparingInt(t -> t.path("id").asInt()));
      ArrayNode all = JSON.arrayNode();
      all.addAll(sorted);
      root.set("added_tokens", all);
    }
  }

  /**
   * Adds a token, or updates the properties of a known one, and returns its id; -1 if it is empty.
   */
  private int add(JsonNode token, boolean special) {
    String content = content(token);
    if (content.isEmpty()) {
      return -1;
    }
    ObjectNode known = added.get(content);
    ObjectNode wanted = JSON.objectNode();
    int id =
        known != null
            ? known.path("id").asInt()
            : id(content).orElseGet(() -> Math.max(vocabularySize, highest + 1));
    wanted.put("id", id).put("content", content);
    boolean isSpecial = special || token.path("special").asBoolean();
    // a name alone does not change the properties of a known token
    JsonNode properties = token.isObject() || known == null ? token : known;
    for (String name : List.of("single_word", "lstrip", "rstrip")) {
      wanted.put(name, properties.path(name).asBoolean());
    }
    wanted.put("normalized", properties.path("normalized").asBoolean(!isSpecial));
    wanted.put("special", isSpecial);
    if (known == null || !equal(known, wanted)) {
      changed = true;
      added.put(content, wanted);
      highest = Math.max(highest, id);
    }
    return id;
  }

  private static boolean equal(ObjectNode known, ObjectNode wanted) {
    Map<String, JsonNode> of = new HashMap<>();
    known.properties().forEach(e -> of.put(e.getKey(), e.getValue()));
    return wanted.properties().stream().allMatch(e -> e.getValue().equals(of.get(e.getKey())));
  }

  // ---- prefix space

  private String tokenizerClass() {
    return config.path("tokenizer_class").asText("");
  }

  /** Rebuilds the components that {@code LlamaTokenizer} puts around a SentencePiece vocabulary. */
  private void rebuildLlama() {
    JsonNode bpe = root.path("model");
    boolean sentencePiece =
        bpe.path("type").asText("BPE").equals("BPE") && bpe.path("vocab").has("\u2581");
    if (!LLAMA.contains(tokenizerClass()) || !sentencePiece) {
      return;
    }
    boolean prefix = declared("add_prefix_space").orElse(true);
    boolean legacy = config.path("legacy").asBoolean(false);
    root.putNull("normalizer");
    root.putObject("pre_tokenizer")
        .put("type", "Metaspace")
        .put("replacement", "\u2581")
        .put("prepend_scheme", !prefix ? "never" : legacy ? "always" : "first")
        .put("split", false);
    ArrayNode decoders = root.putObject("decoder").put("type", "Sequence").putArray("decoders");
    decoders
        .addObject()
        .put("type", "Replace")
        .put("content", " ")
        .putObject("pattern")
        .put("String", "\u2581");
    decoders.addObject().put("type", "ByteFallback");
    decoders.addObject().put("type", "Fuse");
    if (prefix) {
      decoders.addObject().put("type", "Strip").put("content", " ").put("start", 1).put("stop", 0);
    }
    ((ObjectNode) bpe).put("fuse_unk", true).put("byte_fallback", true);
    changed = true;
  }

  private Optional<Boolean> declared(String flag) {
    JsonNode value = config.path(flag);
    return value.isBoolean() ? Optional.of(value.asBoolean()) : Optional.empty();
  }

  private void prefixSpace() throws MalformedFileException {
    Optional<Boolean> wanted = declared("add_prefix_space");
    if (wanted.isEmpty() || AS_IS.contains(tokenizerClass()) || LLAMA.contains(tokenizerClass())) {
      return;
    }
    List<ObjectNode> byteLevelPreTokenizers = new ArrayList<>();
    collect(root.path("pre_tokenizer"), byteLevelPreTokenizers);
    for (ObjectNode byteLevel : byteLevelPreTokenizers) {
      if (byteLevel.path("add_prefix_space").asBoolean(true) != wanted.get()) {
        byteLevel.put("add_prefix_space", wanted.get());
        changed = true;
      }
    }
    if (byteLevelPreTokenizers.isEmpty() && !BYTE_LEVEL.contains(tokenizerClass())) {
      throw new MalformedFileException(
          configFile,
          "field 'add_prefix_space'",
          wanted.get() + " with tokenizer_class " + tokenizerClass(),
          "a tokenizer class that supports it: LlamaTokenizer, or one that splits text into bytes");
    }
  }

  private static void collect(JsonNode preTokenizer, List<ObjectNode> byteLevel) {
    if (preTokenizer instanceof ObjectNode node && node.path("type").asText().equals("ByteLevel")) {
      byteLevel.add(node);
    }
    preTokenizer.path("pretokenizers").forEach(p -> collect(p, byteLevel));
  }

  // ---- post-processor

  private void postProcessor() {
    if (!config.has("add_bos_token") && !config.has("add_eos_token")) {
      return;
    }
    List<String> around = new ArrayList<>();
    ObjectNode special = JSON.objectNode();
    ArrayNode single = JSON.arrayNode();
    ArrayNode pair = JSON.arrayNode();
    for (int sequence = 0; sequence < 2; sequence++) {
      List<ArrayNode> into = sequence == 0 ? List.of(single, pair) : List.of(pair);
      addSpecialToken("add_bos_token", "bos_token", sequence, into, special, around);
      for (ArrayNode a : into) {
        a.addObject()
            .putObject("Sequence")
            .put("id", sequence == 0 ? "A" : "B")
            .put("type_id", sequence);
      }
      addSpecialToken("add_eos_token", "eos_token", sequence, into, special, around);
    }
    if (around.isEmpty() && addsNothing(root.path("post_processor"))) {
      return;
    }
    ObjectNode template = root.putObject("post_processor").put("type", "TemplateProcessing");
    template.set("single", single);
    template.set("pair", pair);
    template.set("special_tokens", special);
    changed = true;
  }

  private void addSpecialToken(
      String flag,
      String name,
      int sequence,
      List<ArrayNode> into,
      ObjectNode special,
      List<String> around) {
    String content = content(config.path(name));
    OptionalInt id = id(content);
    if (!config.path(flag).asBoolean(false) || id.isEmpty()) {
      return;
    }
    around.add(content);
    for (ArrayNode a : into) {
      a.addObject().putObject("SpecialToken").put("id", content).put("type_id", sequence);
    }
    ObjectNode token = special.putObject(content).put("id", content);
    token.putArray("ids").add(id.getAsInt());
    token.putArray("tokens").add(content);
  }

  private static boolean addsNothing(JsonNode postProcessor) {
    return switch (postProcessor.path("type").asText()) {
      case "", "ByteLevel" -> true;
      case "TemplateProcessing" -> postProcessor.path("special_tokens").isEmpty();
      default -> false;
    };
  }
}
