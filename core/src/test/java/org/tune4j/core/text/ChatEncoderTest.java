package org.tune4j.core.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.tune4j.core.text.ChatEncoder.TurnEnd;

/** What ends a turn, as templates of the common kinds have it. */
class ChatEncoderTest {
  private static final Path LOSS = Path.of("src/test/resources/cases/loss-tokens");

  private static TurnEnd turnEnd(String tokenizer, String template) throws IOException {
    try (Tokenizer t = Tokenizer.load(LOSS.resolve(tokenizer))) {
      ChatTemplate chat =
          ChatTemplate.of(template, Map.of("bos_token", "<s>", "eos_token", "</s>"));
      return new ChatEncoder(chat, t).turnEnd();
    }
  }

  private static String each(String turn) {
    return "{% for m in messages %}" + turn + "{% endfor %}";
  }

  @Test
  void theTokenAfterAnAnswerEndsATurn() throws IOException {
    assertThat(
            turnEnd(
                "qwen2", each("{{'<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n'}}")))
        .isEqualTo(new TurnEnd(ImmutableSet.of(701), ImmutableList.of()));
    assertThat(
            turnEnd(
                    "qwen2",
                    each("{{ m.role + ': ' + m.content }}")
                        .replace("content }}", "content }}{{ '<|endoftext|>' }}"))
                .tokens())
        .as("beside the tokenizer's own, <|im_end|>")
        .containsExactly(701, 0);
    assertThat(
            turnEnd(
                    "llama3",
                    each(
                        "{{'<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content + '<|eot_id|>'}}"))
                .tokens())
        .containsExactly(704);
    assertThat(
            turnEnd(
                    "llama2-prepend",
                    "{{ bos_token }}"
                        + each(
                            "{{'<start_of_turn>' + m.role + '\\n' + m.content + '<end_of_turn>\\n'}}"))
                .tokens())
        .containsExactly(2, 703);
    assertThat(
            turnEnd(
                    "llama2-prepend",
                    each(
                        "{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}"))
                .tokens())
        .as("after a space")
        .containsExactly(2);
  }

  @Test
  void whereNoTokenEndsATurnTheNextQuestionDoes() throws IOException {
    TurnEnd end = turnEnd("qwen2", each("{{ m.role + ': ' + m.content + '\\n' }}"));
    assertThat(end.tokens()).containsExactly(701);
    assertThat(end.texts()).containsExactly("\nuser:");
    assertThat(turnEnd("qwen2", each("{{ m.content }}")).texts()).isEmpty();
    assertThat(turnEnd("qwen2", "{{ raise_exception('no') }}").tokens()).containsExactly(701);
  }

  @Test
  void aTurnThatIsNotRenderedCannotBeLearned() throws IOException {
    try (Tokenizer t = Tokenizer.load(LOSS.resolve("qwen2"))) {
      ChatEncoder encoder =
          new ChatEncoder(ChatTemplate.of("{{ messages[0].content }}", Map.of()), t);
      List<Message> messages = List.of(Message.user("a"), Message.user("b"));
      assertThatThrownBy(
              () -> encoder.encode(messages, ChatOptions.defaults(), new boolean[] {false, true}))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("messages[1] (user)")
          .hasMessageContaining("does not reveal where this turn's text is");
    }
  }
}
