package org.tune4j.core.data;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.common.primitives.Ints;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.text.TokenizedText;
import org.tune4j.core.text.Tokenizer;

/** Of any prompt and completion: what is learned is the completion, and what it reaches into. */
class WholeTextTest {
  private static final Path LOSS = Path.of("src/test/resources/cases/loss-tokens");
  private static final Map<String, Tokenizer> TOKENIZERS = new LinkedHashMap<>();

  @BeforeContainer
  static void load() throws IOException {
    for (String name : List.of("llama2-prepend", "mistral-first", "qwen2", "llama3")) {
      TOKENIZERS.put(name, Tokenizer.load(LOSS.resolve(name)));
    }
  }

  @AfterContainer
  static void close() {
    TOKENIZERS.values().forEach(Tokenizer::close);
  }

  @Provide
  Arbitrary<String> texts() {
    return Arbitraries.of(
            " ",
            "  ",
            "\n",
            "a",
            "the",
            "Paris",
            ".",
            ":",
            "\u00f6",
            "\u6771",
            "\ud83d\udc4d",
            "7",
            "'s")
        .list()
        .ofMinSize(1)
        .ofMaxSize(8)
        .map(parts -> String.join("", parts));
  }

  @Property(tries = 300)
  void theCompletionIsLearned(@ForAll("texts") String prompt, @ForAll("texts") String drawn) {
    String completion = drawn.isBlank() ? drawn + "x" : drawn;
    TOKENIZERS.forEach(
        (name, tokenizer) -> {
          Task task =
              Task.builder("t")
                  .train(List.of(Example.of(prompt, completion)))
                  .type(Task.Type.GENERATION)
                  .build();
          EncodedExample e =
              new ExampleEncoder(tokenizer, Optional.empty(), 1000, LengthPolicy.FAIL)
                  .encode(task, Task.Split.TRAIN)
                  .examples()
                  .get(0);
          TokenizedText whole = tokenizer.tokenize(prompt + completion, true);
          int n = whole.ids().length;
          assertThat(e.ids()).as(name).startsWith(whole.ids()).hasSize(n + 1);
          assertThat(e.ids()[n]).isEqualTo(tokenizer.eos().iterator().next());
          int[] learned =
              IntStream.range(0, n).filter(i -> e.learned()[i]).map(i -> e.ids()[i]).toArray();
          boolean first = e.promptLength() == 0; // nothing predicts a text's first token
          if (!first) {
            int from = whole.start()[e.promptLength()];
            String text = tokenizer.decodeContinuation(learned);
            String expected = (prompt + completion).substring(from);
            // a token at the very beginning may have the space that is put before texts
            assertThat(from == 0 && text.equals(" " + expected) ? expected : text)
                .as("%s: '%s' + '%s'", name, prompt, completion)
                .isEqualTo(expected);
            assertThat(from).isLessThanOrEqualTo(prompt.length());
            assertThat(whole.end()[e.promptLength()]).isGreaterThan(prompt.length());
          }
        });
  }

  /** Scoring a label among others is scoring the example that training would see. */
  @Property(tries = 100)
  void choicesAreTheExamplesWithTheirLabels(
      @ForAll("texts") String prompt, @ForAll("texts") String one, @ForAll("texts") String other) {
    List<String> labels = List.of(one + "x", other + "y", "z");
    TOKENIZERS.forEach(
        (name, tokenizer) -> {
          ExampleEncoder encoder =
              new ExampleEncoder(tokenizer, Optional.empty(), 1000, LengthPolicy.FAIL);
          ExampleEncoder.Choices choices = encoder.choices(prompt, labels);
          for (int c = 0; c < labels.size(); c++) {
            Task task =
                Task.builder("t")
                    .train(List.of(Example.of(prompt, labels.get(c))))
                    .type(Task.Type.GENERATION)
                    .build();
            EncodedExample e = encoder.encode(task, Task.Split.TRAIN).examples().get(0);
            assertThat(Ints.concat(choices.trunk(), choices.continuations()[c]))
                .as(name)
                .isEqualTo(e.ids());
            assertThat(choices.trunk().length + choices.unlearned()[c]).isEqualTo(e.promptLength());
          }
        });
  }
}
