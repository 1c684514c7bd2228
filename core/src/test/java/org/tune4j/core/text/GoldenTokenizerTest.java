package org.tune4j.core.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Encoding, decoding and chat templates against what transformers gave. */
class GoldenTokenizerTest {
  private static final Path TINY = Path.of("src/test/resources/tiny");

  private static JsonNode golden() throws Exception {
    return new ObjectMapper()
        .readTree(Path.of("src/test/resources/golden/tokenizer.json").toFile());
  }

  @Test
  void encodesAndDecodes() throws Exception {
    try (Tokenizer tokenizer = Tokenizer.load(TINY)) {
      for (JsonNode c : golden().path("encode")) {
        List<Integer> ids = new ArrayList<>();
        c.path("ids").forEach(id -> ids.add(id.asInt()));
        int[] expected = ids.stream().mapToInt(Integer::intValue).toArray();
        assertThat(tokenizer.encode(c.path("text").asText()))
            .as(c.path("text").asText())
            .isEqualTo(expected);
        assertThat(tokenizer.decode(expected, false)).isEqualTo(c.path("decoded").asText());
        Tokenizer.StreamingDecoder streaming = tokenizer.streaming();
        StringBuilder text = new StringBuilder();
        for (int id : expected) {
          text.append(streaming.add(id));
        }
        text.append(streaming.finish());
        assertThat(text.toString()).isEqualTo(tokenizer.decode(expected, true));
      }
      assertThat(tokenizer.size()).isEqualTo(8192);
      assertThat(tokenizer.eos()).containsExactly(0);
      assertThat(tokenizer.pad()).hasValue(3);
    }
  }

  @Test
  void rendersChats() throws Exception {
    ChatTemplate template = ChatTemplate.load(TINY).orElseThrow();
    for (JsonNode c : golden().path("chat")) {
      List<Message> messages = new ArrayList<>();
      c.path("messages")
          .forEach(
              m -> messages.add(new Message(m.path("role").asText(), m.path("content").asText())));
      assertThat(template.render(messages, c.path("add_generation_prompt").asBoolean()))
          .isEqualTo(c.path("text").asText());
    }
  }

  private static final List<Message> TALK =
      List.of(
          new Message("system", "Be brief."),
          new Message("user", " Hi "),
          new Message("assistant", "Hello"));

  private static String render(String template) {
    return ChatTemplate.of(template, Map.of("bos_token", "<s>", "eos_token", "</s>"))
        .render(TALK, true);
  }

  @Test
  void knowsWhatPublishedTemplatesUse() {
    assertThat(
            render(
                "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m['content'].strip() }}{{ eos_token }}{% endfor %}"))
        .isEqualTo("<s>system:Be brief.</s>user:Hi</s>assistant:Hello</s>");
    assertThat(
            render(
                "{% for m in messages[::-1] %}{{ loop.index0 }}{{ m.role }}{% if not loop.last %},{% endif %}{% endfor %}"))
        .isEqualTo("0assistant,1user,2system");
    assertThat(
            render(
                "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}{{ rest|length }}"))
        .isEqualTo("2");
    assertThat(
            render(
                "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"))
        .isEqualTo("3");
    assertThat(render("{% if messages[2].content.startswith('He') %}yes{% else %}no{% endif %}"))
        .isEqualTo("yes");
    assertThat(render("{% if tools is defined %}tools{% else %}none{% endif %}"))
        .isEqualTo("tools");
    assertThat(render("{% if add_generation_prompt %}\n    {{- '<|assistant|>' }}\n{% endif %}\nX"))
        .isEqualTo("<|assistant|>\nX");
    assertThat(
            render(
                "{{ messages[2].content | upper }}{{ 'a' ~ 'b' }}{{ messages|length % 2 == 1 }}"))
        .isEqualTo("HELLOabTrue");
  }

  @Test
  void refusesRatherThanRendersWrongly() {
    assertThatThrownBy(() -> render("{{ raise_exception('roles must alternate') }}"))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("roles must alternate");
    assertThatThrownBy(() -> render("{{ messages[0].content.encode('utf-8') }}"))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> render("{{ unknown_function(1) }}"))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> render("{% for m in messages %}{{ m.role }}"))
        .isInstanceOf(IllegalArgumentException.class);
  }
}
