package org.tune4j.core.text;

import static com.google.common.collect.ImmutableList.toImmutableList;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.ZoneId;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.tune4j.core.io.JsonFile;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.text.jinja.Limits;
import org.tune4j.core.text.jinja.Template;
import org.tune4j.core.text.jinja.TemplateException;

/**
 * A model's chat templates, rendered as transformers' {@code apply_chat_template} renders them.
 * Templates are sandboxed ({@link Limits}): they reach nothing but their values, and they
 * terminate. A construct that cannot be rendered faithfully is an exception, never a silently
 * different prompt. Templates are compiled on first use. Thread-safe.
 */
public final class ChatTemplate {
  private static final String DEFAULT = "default";
  private static final String TOOL_USE = "tool_use";

  /**
   * A template's source text.
   *
   * @param origin names it in errors
   */
  private record Source(String origin, String text) {}

  private final ImmutableMap<String, Source> sources;
  private final ImmutableMap<String, String> specialTokens;
  private final Clock clock;
  private final Map<String, Template> compiled = new ConcurrentHashMap<>();

  private ChatTemplate(
      Map<String, Source> sources, Map<String, String> specialTokens, Clock clock) {
    this.sources = ImmutableMap.copyOf(sources);
    this.specialTokens = ImmutableMap.copyOf(specialTokens);
    this.clock = clock;
  }

  /**
   * Loads the templates of a model directory: {@code chat_template.jinja} ({@code default}) and
   * those in {@code additional_chat_templates}, named after their files; without any, the single or
   * named ones in {@code chat_template} of {@code tokenizer_config.json}. Empty if there is none.
   *
   * @throws MalformedFileException if a file is malformed
   */
  public static Optional<ChatTemplate> load(Path directory) throws IOException {
    Path configFile = directory.resolve("tokenizer_config.json");
    JsonNode config = object(configFile);
    Map<String, Source> sources = files(directory);
    if (sources.isEmpty()) {
      sources = configured(configFile, config.path("chat_template"));
    }
    return sources.isEmpty()
        ? Optional.empty()
        : Optional.of(
            new ChatTemplate(
                sources, specialTokens(directory, config), Clock.system(ZoneId.systemDefault())));
  }

  private static ObjectNode object(Path file) throws IOException {
    if (!Files.exists(file)) {
      return JsonNodeFactory.instance.objectNode();
    }
    if (!(JsonFile.read(file) instanceof ObjectNode object)) {
      throw new MalformedFileException(file, "", "something else", "a JSON object");
    }
    return object;
  }

  private static Map<String, Source> files(Path directory) throws IOException {
    Map<String, Source> sources = new TreeMap<>();
    Path more = directory.resolve("additional_chat_templates");
    if (Files.isDirectory(more)) {
      try (DirectoryStream<Path> all = Files.newDirectoryStream(more, "*.jinja")) {
        for (Path file : all) {
          String name = file.getFileName().toString();
          sources.put(name.substring(0, name.length() - ".jinja".length()), source(file));
        }
      }
    }
    Path main = directory.resolve("chat_template.jinja");
    if (Files.exists(main)) {
      sources.put(DEFAULT, source(main));
    }
    return sources;
  }

  private static Source source(Path file) throws IOException {
    String text = JsonFile.text(file, JsonFile.LIMIT);
    // a byte order mark is part of the text to Python
    try (InputStream in = Files.newInputStream(file)) {
      return new Source(
          file.toString(), in.read() == 0xEF && in.read() == 0xBB ? mark(text) : text);
    }
  }

  private static String mark(String text) {
    return text.startsWith("\uFEFF") ? text : "\uFEFF" + text;
  }

  private static Map<String, Source> configured(Path file, JsonNode node)
      throws MalformedFileException {
    if (node.isMissingNode() || node.isNull()) {
      return Map.of();
    }
    String origin = file + ", chat_template";
    if (node.isTextual()) {
      return Map.of(DEFAULT, new Source(origin, node.textValue()));
    }
    Map<String, Source> sources = new LinkedHashMap<>();
    for (int i = 0; i < node.size(); i++) {
      JsonNode name = node.path(i).path("name");
      JsonNode template = node.path(i).path("template");
      if (!name.isTextual() || !template.isTextual()) {
        throw new MalformedFileException(
            file,
            "field 'chat_template[%d]'".formatted(i),
            String.valueOf(node.path(i)),
            "an object with the texts 'name' and 'template'");
      }
      sources.put(
          name.textValue(), new Source(origin + " " + name.textValue(), template.textValue()));
    }
    if (!node.isArray()) {
      throw new MalformedFileException(
          file,
          "field 'chat_template'",
          node.getNodeType().toString(),
          "a text, or an array of named templates");
    }
    return sources;
  }

  /** Returns the named special tokens, which are variables of templates. */
  private static Map<String, String> specialTokens(Path directory, JsonNode config)
      throws IOException {
    Map<String, String> tokens = new LinkedHashMap<>();
    addTokens(config, tokens);
    addTokens(config.path("extra_special_tokens"), tokens);
    addTokens(config.path("model_specific_special_tokens"), tokens);
    if (!config.has("added_tokens_decoder")) { // otherwise transformers ignores this file
      addTokens(object(directory.resolve("special_tokens_map.json")), tokens);
    }
    return tokens;
  }

  private static void addTokens(JsonNode from, Map<String, String> into) {
    from.properties()
        .forEach(
            e -> {
              JsonNode content =
                  e.getValue().isObject() ? e.getValue().path("content") : e.getValue();
              boolean named = e.getKey().endsWith("_token");
              if (named && content.isTextual()) {
                into.put(e.getKey(), content.textValue());
              }
            });
  }

  /** Returns a template given as text; it is compiled on first use. */
  public static ChatTemplate of(String template, Map<String, String> specialTokens) {
    return new ChatTemplate(
        Map.of(DEFAULT, new Source("(chat template)", template)),
        specialTokens,
        Clock.system(ZoneId.systemDefault()));
  }

  /** Returns these templates with another clock for {@code strftime_now}. */
  public ChatTemplate withClock(Clock other) {
    return new ChatTemplate(sources, specialTokens, other);
  }

  /** Returns the names of the templates; a single one is {@code default}. */
  public ImmutableSet<String> names() {
    return sources.keySet();
  }

  /**
   * Renders a conversation without tools or other variables.
   *
   * @param addGenerationPrompt whether the text ends where the assistant begins to answer
   * @throws TemplateException as {@link #render(List, ChatOptions)}
   */
  public String render(List<Message> messages, boolean addGenerationPrompt) {
    return render(messages, ChatOptions.defaults().withGenerationPrompt(addGenerationPrompt))
        .text();
  }

  /**
   * Renders a conversation, with the spans that the template marks as the assistant's.
   *
   * @throws TemplateException (an {@link IllegalArgumentException}) if the template is not
   *     well-formed, refuses the conversation, fails on it, or exceeds a limit; with the line and
   *     column
   * @throws IllegalArgumentException if there is no template of the requested name
   */
  public Rendered render(List<Message> messages, ChatOptions options) {
    Template template = compiled.computeIfAbsent(choose(options), this::compile);
    Map<String, Object> variables = new HashMap<>(specialTokens);
    variables.putAll(options.variables());
    variables.put("messages", messages.stream().map(Message::fields).toList());
    variables.put("tools", options.tools().orElse(null));
    variables.put("documents", options.documents().orElse(null));
    variables.put("add_generation_prompt", options.addGenerationPrompt());
    Template.Result result = template.render(variables, clock);
    boolean marked = template.hasGenerationBlocks() && result.spansComplete();
    return new Rendered(
        result.text(),
        marked
            ? result.spans().stream()
                .map(s -> new Rendered.Span(s.start(), s.end()))
                .collect(toImmutableList())
            : List.of(),
        marked);
  }

  private Template compile(String name) {
    Source source = sources.get(name);
    return Template.compile(source.text, source.origin, Limits.defaults());
  }

  private String choose(ChatOptions options) {
    String name =
        options
            .template()
            .orElse(
                options.tools().isPresent() && sources.containsKey(TOOL_USE) ? TOOL_USE : DEFAULT);
    if (!sources.containsKey(name)) {
      throw new IllegalArgumentException(
          "there is no chat template '%s'; there are %s".formatted(name, sources.keySet()));
    }
    return name;
  }
}
