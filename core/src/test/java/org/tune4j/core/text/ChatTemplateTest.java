package org.tune4j.core.text;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneId;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.text.jinja.TemplateException;

/** Which templates a model has, what they are given, and what comes back. */
class ChatTemplateTest {
  private static final List<Message> HI = List.of(Message.user("Hi"));

  @TempDir private Path directory;

  private void write(String file, String text) throws IOException {
    Path path = directory.resolve(file);
    Files.createDirectories(path.getParent());
    Files.write(path, text.getBytes(UTF_8));
  }

  private ChatTemplate load() throws IOException {
    return ChatTemplate.load(directory).orElseThrow();
  }

  @Test
  void filesComeBeforeTheConfiguration() throws IOException {
    assertThat(ChatTemplate.load(directory)).isEmpty();
    write("tokenizer_config.json", "{\"chat_template\": \"config\"}");
    assertThat(load().render(HI, false)).isEqualTo("config");
    write("chat_template.jinja", "file\n");
    assertThat(load().render(HI, false)).isEqualTo("file");
    write("additional_chat_templates/rag.jinja", "rag {{ documents[0].text }}");
    write("additional_chat_templates/tool_use.jinja", "{{ tools|length }} tools");
    ChatTemplate template = load();
    assertThat(template.names()).containsExactlyInAnyOrder("default", "rag", "tool_use");
    assertThat(template.render(HI, false)).isEqualTo("file");
    ChatOptions tools = ChatOptions.builder().tools(List.of(Map.of("name", "f"))).build();
    assertThat(template.render(HI, tools).text()).isEqualTo("1 tools");
    assertThat(template.render(HI, tools.toBuilder().template("default").build()).text())
        .isEqualTo("file");
    ChatOptions rag =
        ChatOptions.builder().template("rag").documents(List.of(Map.of("text", "t"))).build();
    assertThat(template.render(HI, rag).text()).isEqualTo("rag t");
    assertThatThrownBy(() -> template.render(HI, ChatOptions.builder().template("other").build()))
        .hasMessageContaining("'other'")
        .hasMessageContaining("tool_use");
  }

  @Test
  void namedTemplatesOfTheConfiguration() throws IOException {
    write(
        "tokenizer_config.json",
        "{\"chat_template\": [{\"name\": \"default\", \"template\": \"d\"}, {\"name\": \"tool_use\", \"template\": \"t\"}]}");
    ChatTemplate template = load();
    assertThat(template.render(HI, false)).isEqualTo("d");
    ChatOptions noTools = ChatOptions.builder().tools(List.of()).build();
    assertThat(template.render(HI, noTools).text()).isEqualTo("t");
    write(
        "tokenizer_config.json",
        "{\"chat_template\": [{\"name\": \"only\", \"template\": \"o\"}]}");
    assertThatThrownBy(() -> load().render(HI, false)).hasMessageContaining("[only]");
    write("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"only\"}]}");
    assertThatThrownBy(this::load)
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("chat_template[0]");
    write("tokenizer_config.json", "{\"chat_template\": null}");
    assertThat(ChatTemplate.load(directory)).isEmpty();
  }

  @Test
  void specialTokensAreVariables() throws IOException {
    write(
        "chat_template.jinja",
        "{{ bos_token }}{{ eos_token }}{{ image_token }}{{ pad_token is defined }}{{ sep_token }}{{ boi_token }}");
    write(
        "tokenizer_config.json",
        "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"</s>\", \"pad_token\": null,"
            + " \"image_token\": \"<i>\", \"extra_special_tokens\": {\"boi_token\": \"<b>\"}}");
    write("special_tokens_map.json", "{\"sep_token\": {\"content\": \"|\"}}");
    assertThat(load().render(HI, false)).isEqualTo("<s></s><i>False|<b>");
    ChatOptions other = ChatOptions.builder().variable("bos_token", "B").build();
    assertThat(load().render(HI, other).text()).startsWith("B</s>");
  }

  @Test
  void toolsAndDocumentsAreNoneAndOtherVariablesUndefined() {
    ChatTemplate template =
        ChatTemplate.of(
            "{{ tools is none }}{{ documents is none }}{{ enable_thinking is defined }}{{ date_string|default('d') }}",
            Map.of());
    assertThat(template.render(HI, false)).isEqualTo("TrueTrueFalsed");
    ChatOptions options =
        ChatOptions.builder()
            .variables(Map.of("enable_thinking", false, "date_string", "26 Jul 2024"))
            .build();
    assertThat(template.render(HI, options).text()).isEqualTo("TrueTrueTrue26 Jul 2024");
  }

  @Test
  void tellsWhatTheAssistantSays() {
    ChatTemplate template =
        ChatTemplate.of(
            "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
            Map.of());
    List<Message> talk = List.of(Message.user("\uD83D\uDE00"), Message.assistant("a\uD83D\uDE00"));
    Rendered rendered = template.render(talk, ChatOptions.defaults());
    assertThat(rendered.text()).isEqualTo("\uD83D\uDE00a\uD83D\uDE00");
    assertThat(rendered.hasGenerationBlocks()).isTrue();
    assertThat(rendered.assistantSpans()).containsExactly(new Rendered.Span(2, 5));
    assertThat(rendered.codePointSpans()).containsExactly(new Rendered.Span(1, 3));
    // in a macro the place is not known
    Rendered lost =
        ChatTemplate.of(
                "x{% macro m() %}{% generation %}a{% endgeneration %}{% endmacro %}{{ m() }}",
                Map.of())
            .render(talk, ChatOptions.defaults());
    assertThat(lost).isEqualTo(new Rendered("xa", List.of(), false));
  }

  @Test
  void errorsNameFileLineAndColumn() throws IOException {
    write("chat_template.jinja", "a\n  {{ messages[0].content.nothing() }}");
    assertThatThrownBy(() -> load().render(HI, false))
        .isInstanceOf(TemplateException.class)
        .hasMessage(
            directory.resolve("chat_template.jinja")
                + ", line 2, column 33: 'str object' has no attribute 'nothing'");
    write("chat_template.jinja", "a\n  {% unknown_tag %}");
    assertThatThrownBy(() -> load().render(HI, false))
        .hasMessageContaining(
            "chat_template.jinja, line 2, column 6: Encountered unknown tag 'unknown_tag'.");
    write("chat_template.jinja", "{{ 'a'|no_filter }}");
    assertThatThrownBy(() -> load().render(HI, false))
        .hasMessageContaining("line 1, column 8: No filter named 'no_filter'.");
    write("chat_template.jinja", "\n\n{{ raise_exception('no system turn') }}");
    assertThatThrownBy(() -> load().render(HI, false))
        .hasMessageContaining("line 3, column 19: the template refuses: no system turn");
  }

  @Test
  void theDateIsEnglishInEveryLocale() {
    Locale before = Locale.getDefault();
    try {
      Locale.setDefault(Locale.GERMANY);
      Clock clock = Clock.fixed(Instant.parse("2024-05-03T22:05:09Z"), ZoneId.of("Asia/Tokyo"));
      ChatTemplate template =
          ChatTemplate.of("{{ strftime_now('%d %b %Y') }}", Map.of()).withClock(clock);
      assertThat(template.render(HI, false)).isEqualTo("04 May 2024");
      Locale.setDefault(Locale.forLanguageTag("th-TH-u-ca-buddhist-nu-thai"));
      assertThat(template.render(HI, false)).isEqualTo("04 May 2024");
    } finally {
      Locale.setDefault(before);
    }
  }

  @Test
  void contentIsDataNeverATemplate() {
    ChatTemplate template =
        ChatTemplate.of("{% for m in messages %}{{ m.content }}{% endfor %}", Map.of());
    for (String content :
        List.of(
            "{{ 7*7 }}",
            "{{1,2},{3,4}}",
            "{% for x in y %}",
            "{# c",
            "{{ '{{ 1 }}' }}",
            "\\N{x}")) {
      assertThat(template.render(List.of(Message.user(content)), false)).isEqualTo(content);
    }
  }

  @Test
  void aTemplateIsNotLookedAtBeforeItIsUsed() throws IOException {
    write("chat_template.jinja", "{{ ".repeat(50_000));
    write("additional_chat_templates/good.jinja", "fine");
    ChatTemplate template = load();
    assertThat(template.render(HI, ChatOptions.builder().template("good").build()).text())
        .isEqualTo("fine");
    assertThatThrownBy(() -> template.render(HI, false)).isInstanceOf(TemplateException.class);
  }
}
