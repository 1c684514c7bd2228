package org.tune4j.core.text;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;
import org.tune4j.core.io.MalformedFileException;

/**
 * A model's tokenizer, from the {@code tokenizer.json} beside its weights (Hugging Face
 * tokenizers). Never truncates, never pads, never downloads. Thread-safe.
 */
public final class Tokenizer implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final char UNFINISHED = '\uFFFD';

  private final Path file;
  private final HuggingFaceTokenizer tokenizer;
  private final int size;
  private final OptionalInt bos;
  private final OptionalInt pad;
  private final ImmutableSet<Integer> eos;

  private Tokenizer(
      Path file,
      HuggingFaceTokenizer tokenizer,
      int size,
      OptionalInt bos,
      OptionalInt pad,
      ImmutableSet<Integer> eos) {
    this.file = file;
    this.tokenizer = tokenizer;
    this.size = size;
    this.bos = bos;
    this.pad = pad;
    this.eos = eos;
  }

  /**
   * Loads {@code tokenizer.json} of a model directory, and from {@code generation_config.json},
   * {@code tokenizer_config.json} and {@code config.json}, in this order, the special tokens' ids.
   *
   * @throws NoSuchFileException if there is no tokenizer.json
   * @throws MalformedFileException if a file cannot be understood
   */
  public static Tokenizer load(Path directory) throws IOException {
    Path file = directory.resolve("tokenizer.json");
    if (!Files.isRegularFile(file)) {
      throw new NoSuchFileException(
          file.toString(),
          null,
          "no such tokenizer; tokenizers saved by transformers' AutoTokenizer have one");
    }
    JsonNode root = json(file);
    HuggingFaceTokenizer tokenizer;
    try {
      tokenizer =
          HuggingFaceTokenizer.newInstance(
              file, Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false"));
    } catch (RuntimeException e) {
      throw new MalformedFileException(
          file,
          "",
          "a tokenizer that cannot be loaded: " + e.getMessage(),
          "a Hugging Face tokenizer",
          e);
    }
    int highest = -1;
    JsonNode vocabulary = root.path("model").path("vocab");
    if (vocabulary.isObject()) {
      for (JsonNode id : vocabulary) {
        highest = Math.max(highest, id.asInt());
      }
    } else {
      highest = vocabulary.size() - 1;
    }
    for (JsonNode t : root.path("added_tokens")) {
      highest = Math.max(highest, t.path("id").asInt());
    }
    JsonNode generation = jsonIfPresent(directory.resolve("generation_config.json"));
    JsonNode config = jsonIfPresent(directory.resolve("config.json"));
    JsonNode names = jsonIfPresent(directory.resolve("tokenizer_config.json"));
    Set<Integer> eos = new TreeSet<>();
    for (JsonNode from : new JsonNode[] {generation, config}) {
      JsonNode e = from.path("eos_token_id");
      if (eos.isEmpty()) {
        if (e.isArray()) {
          e.forEach(id -> eos.add(id.asInt()));
        } else if (e.isInt()) {
          eos.add(e.asInt());
        }
      }
    }
    OptionalInt named = tokenId(root, names.path("eos_token"));
    if (named.isPresent()) {
      eos.add(named.getAsInt());
    }
    OptionalInt bos =
        firstPresent(
            tokenId(root, names.path("bos_token")),
            id(generation, "bos_token_id"),
            id(config, "bos_token_id"));
    OptionalInt pad =
        firstPresent(
            tokenId(root, names.path("pad_token")),
            id(generation, "pad_token_id"),
            id(config, "pad_token_id"));
    return new Tokenizer(file, tokenizer, highest + 1, bos, pad, ImmutableSet.copyOf(eos));
  }

  private static OptionalInt firstPresent(OptionalInt... candidates) {
    for (OptionalInt c : candidates) {
      if (c.isPresent()) {
        return c;
      }
    }
    return OptionalInt.empty();
  }

  private static OptionalInt id(JsonNode node, String field) {
    JsonNode v = node.path(field);
    return v.isInt() ? OptionalInt.of(v.asInt()) : OptionalInt.empty();
  }

  private static OptionalInt tokenId(JsonNode root, JsonNode token) {
    String content = token.isObject() ? token.path("content").asText("") : token.asText("");
    if (content.isEmpty()) {
      return OptionalInt.empty();
    }
    for (JsonNode t : root.path("added_tokens")) {
      if (t.path("content").asText().equals(content)) {
        return OptionalInt.of(t.path("id").asInt());
      }
    }
    JsonNode id = root.path("model").path("vocab").path(content);
    return id.isInt() ? OptionalInt.of(id.asInt()) : OptionalInt.empty();
  }

  private static JsonNode json(Path file) throws IOException {
    try {
      return JSON.readTree(Files.readAllBytes(file));
    } catch (JsonProcessingException e) {
      throw new MalformedFileException(
          file,
          e.getLocation() == null ? "" : "line " + e.getLocation().getLineNr(),
          "no valid JSON (" + e.getOriginalMessage() + ")",
          "JSON",
          e);
    }
  }

  private static JsonNode jsonIfPresent(Path file) throws IOException {
    return Files.exists(file) ? json(file) : JSON.createObjectNode();
  }

  /** Returns the file that it was loaded from. */
  public Path file() {
    return file;
  }

  /** Returns the highest token id plus one. */
  public int size() {
    return size;
  }

  /** Returns the ids that end a text; the first is what training appends. */
  public Set<Integer> eos() {
    return eos;
  }

  /** Returns the id that begins a text, if there is one. */
  public OptionalInt bos() {
    return bos;
  }

  /** Returns the padding id, if there is one. */
  public OptionalInt pad() {
    return pad;
  }

  /**
   * Returns the ids of a text, with special tokens around it where the tokenizer's post-processor
   * adds them and it is asked for.
   */
  public int[] encode(String text, boolean addSpecialTokens) {
    Encoding encoding = tokenizer.encode(text, addSpecialTokens, false);
    long[] ids = encoding.getIds();
    int[] out = new int[ids.length];
    for (int i = 0; i < ids.length; i++) {
      out[i] = (int) ids[i];
    }
    return out;
  }

  /** Returns the ids of a text as Hugging Face's {@code tokenizer(text)} gives them. */
  public int[] encode(String text) {
    return encode(text, true);
  }

  /** Returns the text of ids. */
  public String decode(int[] ids, boolean skipSpecialTokens) {
    long[] longs = new long[ids.length];
    for (int i = 0; i < ids.length; i++) {
      longs[i] = ids[i];
    }
    return tokenizer.decode(longs, skipSpecialTokens);
  }

  /** Returns a decoder of a growing sequence. */
  public StreamingDecoder streaming() {
    return new StreamingDecoder();
  }

  /** Decodes token after token, holding back bytes of unfinished characters. Not thread-safe. */
  public final class StreamingDecoder {
    private int[] ids = new int[16];
    private int count;
    private int emitted;

    private StreamingDecoder() {}

    /** Returns the text that this token completes; may be empty. */
    public String add(int id) {
      if (count == ids.length) {
        ids = java.util.Arrays.copyOf(ids, 2 * count);
      }
      ids[count++] = id;
      String text = text();
      if (!text.isEmpty() && text.charAt(text.length() - 1) == UNFINISHED) {
        return "";
      }
      return rest(text);
    }

    /** Returns what was held back. */
    public String finish() {
      return rest(text());
    }

    /** Returns all text so far. */
    public String text() {
      return decode(java.util.Arrays.copyOf(ids, count), true);
    }

    private String rest(String text) {
      String fresh = text.length() > emitted ? text.substring(emitted) : "";
      emitted = Math.max(emitted, text.length());
      return fresh;
    }
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
