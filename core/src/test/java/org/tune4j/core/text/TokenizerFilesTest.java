package org.tune4j.core.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.io.MalformedFileException;

/** What tokenizer_config.json changes of a tokenizer.json, as transformers 5 does. */
class TokenizerFilesTest {
  private static final Path RESOURCES = Path.of("src/test/resources");
  private static final Path CASES = RESOURCES.resolve("cases");
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir private Path temporary;

  private Tokenizer load(Path tokenizer, String config) throws IOException {
    Path directory = Files.createTempDirectory(temporary, "model");
    Files.copy(tokenizer.resolve("tokenizer.json"), directory.resolve("tokenizer.json"));
    Files.writeString(directory.resolve("tokenizer_config.json"), config.replace('\'', '"'));
    return Tokenizer.load(directory);
  }

  @Test
  void specialTokensThatOnlyTheConfigurationDeclaresAreOneTokenEach() throws IOException {
    Path directory = Files.createDirectory(temporary.resolve("undeclared"));
    ObjectNode root = (ObjectNode) JSON.readTree(RESOURCES.resolve("tiny/tokenizer.json").toFile());
    root.putArray("added_tokens"); // as a tokenizer.json that was made without them
    JSON.writeValue(directory.resolve("tokenizer.json").toFile(), root);
    String text = "<|im_start|>user\nhi<|im_end|>";
    String declared =
        "'added_tokens_decoder': {'1': {'content': '<|im_start|>', 'lstrip': false, 'normalized': false,"
            + " 'rstrip': false, 'single_word': false, 'special': true},"
            + " '2': {'content': '<|im_end|>', 'special': true, 'normalized': false}}";
    for (String config :
        List.of(
            "{'eos_token': '<|endoftext|>', " + declared + "}",
            "{'eos_token': '<|im_end|>', 'extra_special_tokens': ['<|im_start|>']}",
            "{'eos_token': {'content': '<|im_end|>'}, 'additional_special_tokens': ['<|im_start|>']}")) {
      try (Tokenizer tokenizer = load(directory, config)) {
        int[] ids = tokenizer.encode(text, false);
        assertThat(ids).as(config).startsWith(1).endsWith(2);
        assertThat(tokenizer.decode(ids, true)).isEqualTo("user\nhi");
        assertThat(tokenizer.size()).isEqualTo(8192);
      }
    }
    try (Tokenizer tokenizer =
        load(directory, "{'added_tokens_decoder': {'8192': {'content': '<new>'}}}")) {
      assertThat(tokenizer.encode("a<new>", false)).endsWith(8192);
      assertThat(tokenizer.size()).isEqualTo(8193);
    }
    for (String wrong : List.of("1", "8200", "x")) {
      assertThatThrownBy(
              () ->
                  load(
                      directory,
                      "{'added_tokens_decoder': {'%s': {'content': '<new>'}}}".formatted(wrong)))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining("tokenizer_config.json")
          .hasMessageContaining("added_tokens_decoder." + wrong);
    }
  }

  @Test
  void tokensOfSpecialTokensMapCountWhereTheConfigurationListsNone() throws IOException {
    Path directory = Files.createDirectory(temporary.resolve("map"));
    Files.copy(
        CASES.resolve("loss-tokens/qwen2/tokenizer.json"), directory.resolve("tokenizer.json"));
    Files.writeString(
        directory.resolve("special_tokens_map.json"), "{\"eos_token\": \"<|im_end|>\"}");
    Files.writeString(directory.resolve("config.json"), "{\"eos_token_id\": 0}");
    try (Tokenizer tokenizer = Tokenizer.load(directory)) {
      assertThat(tokenizer.eos()).containsExactly(701, 0);
    }
  }

  @Test
  void addBosAndAddEosReplaceThePostProcessor() throws IOException {
    Path llama = CASES.resolve("loss-tokens/llama2-prepend");
    String names = "'bos_token': '<s>', 'eos_token': '</s>'";
    String plain = "[<s>, \u2581a]";
    for (List<String> c :
        List.of(
            List.of("", plain),
            List.of(", 'add_bos_token': true", plain),
            List.of(", 'add_bos_token': false", "[\u2581a]"),
            List.of(", 'add_eos_token': true", "[\u2581a, </s>]"),
            List.of(", 'add_bos_token': true, 'add_eos_token': true", "[<s>, \u2581a, </s>]"))) {
      try (Tokenizer tokenizer = load(llama, "{" + names + c.get(0) + "}")) {
        List<String> ids = Arrays.stream(tokenizer.encode("a")).mapToObj(tokenizer::token).toList();
        assertThat(ids.toString()).as(c.get(0)).isEqualTo(c.get(1).replace("\u2581a", "a"));
        assertThat(tokenizer.encodePrompt("a")).as("a prompt does not end").doesNotContain(2);
      }
    }
  }

  /** The dummy space of Llama's tokenizer: before the first text, before each, or nowhere. */
  @Test
  void llamaTokenizerIsBuiltAroundTheVocabulary() throws IOException {
    Path llama = CASES.resolve("loss-tokens/llama2-prepend");
    String text = "a</s>a";
    int spaced;
    int bare;
    try (Tokenizer tokenizer = load(llama, "{'eos_token': '</s>'}")) {
      int[] ids = tokenizer.encode(text, false);
      assertThat(ids).as("tokenizer.json itself puts one before each").hasSize(3);
      assertThat(ids[0]).isEqualTo(ids[2]);
      spaced = ids[0];
      bare = tokenizer.encode("xa", false)[tokenizer.encode("xa", false).length - 1];
      assertThat(bare).isNotEqualTo(spaced);
    }
    for (String name : List.of("LlamaTokenizer", "LlamaTokenizerFast")) {
      String config = "{'tokenizer_class': '" + name + "', 'eos_token': '</s>'";
      try (Tokenizer tokenizer = load(llama, config + "}")) {
        assertThat(tokenizer.encode(text, false)).containsExactly(spaced, 2, bare);
        assertThat(tokenizer.encode("a")).as("the post-processor stays").startsWith(1);
        assertThat(tokenizer.decode(tokenizer.encode("a b", false), true)).isEqualTo("a b");
      }
      try (Tokenizer tokenizer = load(llama, config + ", 'legacy': true}")) {
        assertThat(tokenizer.encode(text, false)).containsExactly(spaced, 2, spaced);
      }
      try (Tokenizer tokenizer = load(llama, config + ", 'add_prefix_space': false}")) {
        assertThat(tokenizer.encode(text, false)).containsExactly(bare, 2, bare);
        assertThat(tokenizer.decode(tokenizer.encode(" a", false), true)).isEqualTo(" a");
      }
    }
    // a byte-level tokenizer that names this class, as some do, is what its file says
    Path qwen = CASES.resolve("loss-tokens/qwen2");
    try (Tokenizer named = load(qwen, "{'tokenizer_class': 'LlamaTokenizerFast'}");
        Tokenizer plain = load(qwen, "{}")) {
      assertThat(named.encode("a b<|im_end|>")).isEqualTo(plain.encode("a b<|im_end|>"));
    }
  }

  @Test
  void addPrefixSpaceGoesToWhatSplitsIntoBytes() throws IOException {
    Path tiny = RESOURCES.resolve("tiny");
    try (Tokenizer plain = load(tiny, "{}");
        Tokenizer generic =
            load(tiny, "{'tokenizer_class': 'PreTrainedTokenizerFast', 'add_prefix_space': true}");
        Tokenizer gpt2 =
            load(tiny, "{'tokenizer_class': 'GPT2Tokenizer', 'add_prefix_space': true}")) {
      assertThat(generic.encode("word")).isEqualTo(plain.encode("word"));
      assertThat(gpt2.encode("word"))
          .isEqualTo(plain.encode(" word"))
          .isNotEqualTo(plain.encode("word"));
    }
    assertThatThrownBy(
            () ->
                load(
                    CASES.resolve("loss-tokens/llama2-prepend"),
                    "{'tokenizer_class': 'XLNetTokenizer', 'add_prefix_space': true}"))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("add_prefix_space")
        .hasMessageContaining("XLNetTokenizer");
    assertThatThrownBy(() -> load(tiny, "{'split_special_tokens': true}"))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("split_special_tokens");
  }

  /** What goes on with a text keeps the space in front, streamed or not. */
  @Test
  void aContinuationKeepsItsSpace() throws IOException {
    for (String name :
        List.of(
            "loss-tokens/llama2-prepend",
            "loss-tokens/mistral-first",
            "loss-tokens/qwen2",
            "space-prefix-tokenizers/tok-legacy",
            "space-prefix-tokenizers/tok-first")) {
      try (Tokenizer tokenizer = Tokenizer.load(CASES.resolve(name))) {
        for (String text :
            List.of(" the mat", "  two", "none", " ", "\n x", " \u6771\u4eac \ud83d\udc4d")) {
          int[] before = tokenizer.encode("x", false);
          int[] whole = tokenizer.encode("x" + text, false);
          int[] more = Arrays.copyOfRange(whole, before.length, whole.length);
          if (!Arrays.equals(before, Arrays.copyOf(whole, before.length))) {
            continue; // a token reaches over the boundary
          }
          assertThat(tokenizer.decodeContinuation(more)).as("%s: '%s'", name, text).isEqualTo(text);
          Tokenizer.StreamingDecoder streaming = tokenizer.streaming();
          StringBuilder streamed = new StringBuilder();
          for (int id : more) {
            streamed.append(streaming.add(id));
          }
          assertThat(streamed.append(streaming.finish()).toString()).isEqualTo(text);
        }
      }
    }
  }

  @Test
  void offsetsCountAsJavaDoes() throws IOException {
    String text = "a \ud83d\udc4d\ud83c\udffd b\u00e9\u6771<|im_end|>";
    try (Tokenizer tokenizer = Tokenizer.load(CASES.resolve("loss-tokens/qwen2"))) {
      TokenizedText tokens = tokenizer.tokenize(text, false);
      int covered = 0;
      for (int i = 0; i < tokens.ids().length; i++) {
        assertThat(tokens.start()[i]).isLessThanOrEqualTo(covered);
        covered = Math.max(covered, tokens.end()[i]);
      }
      assertThat(covered).isEqualTo(text.length());
      int last = tokens.ids().length - 1;
      assertThat(text.substring(tokens.start()[last], tokens.end()[last])).isEqualTo("<|im_end|>");
      assertThat(tokenizer.encode("a\ud83d")).isEqualTo(tokenizer.encode("a\ufffd"));
      assertThat(tokenizer.encode("\udc4da")).isEqualTo(tokenizer.encode("\ufffda"));
    }
  }
}
