package org.tune4j.core.text;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.collect.ImmutableMap;
import com.hubspot.jinjava.Jinjava;
import com.hubspot.jinjava.JinjavaConfig;
import com.hubspot.jinjava.LegacyOverrides;
import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.interpret.RenderResult;
import com.hubspot.jinjava.interpret.TemplateError;
import com.hubspot.jinjava.lib.fn.ELFunctionDefinition;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.tune4j.core.io.MalformedFileException;

/**
 * A model's chat template: Jinja, rendered as transformers' {@code apply_chat_template} does
 * (blocks trimmed, {@code raise_exception} available). A construct that cannot be rendered
 * faithfully is an exception, never a prompt that differs silently. Thread-safe.
 */
public final class ChatTemplate {
  private static final Pattern METHOD =
      Pattern.compile(
          "\\.(startswith|endswith|strip|lstrip|rstrip|upper|lower|title|items|split)\\(");
  private static final Pattern REVERSED = Pattern.compile("([\\w.]+)\\s*\\[\\s*::\\s*-1\\s*\\]");

  private final Path file;
  private final String template;
  private final ImmutableMap<String, String> specialTokens;
  private final Jinjava jinjava;

  private ChatTemplate(Path file, String template, Map<String, String> specialTokens) {
    this.file = file;
    this.specialTokens = ImmutableMap.copyOf(specialTokens);
    this.template = translate(template);
    jinjava =
        new Jinjava(
            JinjavaConfig.newBuilder()
                .withTrimBlocks(true)
                .withLstripBlocks(true)
                .withFailOnUnknownTokens(false)
                .withLegacyOverrides(
                    LegacyOverrides.newBuilder()
                        .withEvaluateMapKeys(true)
                        .withIterateOverMapKeys(true)
                        .withUsePyishObjectMapper(true)
                        .withWhitespaceRequiredWithinTokens(false)
                        .build())
                .build());
    jinjava
        .getGlobalContext()
        .registerFunction(
            new ELFunctionDefinition(
                "", "raise_exception", ChatTemplate.class, "raise", Object.class));
    jinjava
        .getGlobalContext()
        .registerFunction(
            new ELFunctionDefinition(
                "", "strftime_now", ChatTemplate.class, "strftimeNow", String.class));
    for (String filter : List.of("startswith", "endswith", "lstrip", "rstrip")) {
      jinjava.getGlobalContext().registerFilter(new PythonStringFilter(filter));
    }
  }

  /**
   * Returns the template of a model directory: {@code chat_template.jinja}, or {@code
   * chat_template} of {@code tokenizer_config.json} (of several named ones, {@code default});
   * nothing if there is none.
   *
   * @throws MalformedFileException if the configuration cannot be understood
   */
  public static Optional<ChatTemplate> load(Path directory) throws IOException {
    Path jinja = directory.resolve("chat_template.jinja");
    Path config = directory.resolve("tokenizer_config.json");
    JsonNode root = new ObjectMapper().createObjectNode();
    if (Files.exists(config)) {
      try {
        root = new ObjectMapper().readTree(Files.readAllBytes(config));
      } catch (JsonProcessingException e) {
        throw new MalformedFileException(
            config, "", "no valid JSON (" + e.getOriginalMessage() + ")", "JSON", e);
      }
    }
    Map<String, String> tokens = new LinkedHashMap<>();
    for (String name : List.of("bos_token", "eos_token", "pad_token", "unk_token")) {
      JsonNode t = root.path(name);
      String content = t.isObject() ? t.path("content").asText("") : t.asText("");
      if (!content.isEmpty()) {
        tokens.put(name, content);
      }
    }
    if (Files.exists(jinja)) {
      return Optional.of(new ChatTemplate(jinja, Files.readString(jinja), tokens));
    }
    JsonNode node = root.path("chat_template");
    if (node.isArray()) {
      for (JsonNode named : node) {
        if (named.path("name").asText().equals("default")) {
          node = named.path("template");
        }
      }
    }
    return node.isTextual()
        ? Optional.of(new ChatTemplate(config, node.asText(), tokens))
        : Optional.empty();
  }

  /** Returns a template given as text. */
  public static ChatTemplate of(String template, Map<String, String> specialTokens) {
    return new ChatTemplate(Path.of("(chat template)"), template, specialTokens);
  }

  /**
   * Returns the prompt of a conversation.
   *
   * @param addGenerationPrompt whether it ends where the assistant begins to answer
   * @throws IllegalArgumentException if the template refuses the conversation, or uses what cannot
   *     be rendered; with the reason
   */
  public String render(List<Message> messages, boolean addGenerationPrompt) {
    return render(messages, ChatOptions.defaults().withGenerationPrompt(addGenerationPrompt))
        .text();
  }

  /**
   * Returns the text of a conversation, and what in it the template marks as the assistant's.
   *
   * @throws IllegalArgumentException if the template refuses the conversation, or uses what cannot
   *     be rendered; with the reason
   */
  public Rendered render(List<Message> messages, ChatOptions options) {
    Map<String, Object> context = new HashMap<>(specialTokens);
    context.put("tools", options.tools().orElse(null));
    context.put("documents", options.documents().orElse(null));
    context.putAll(options.variables());
    context.put("messages", messages.stream().map(Message::fields).toList());
    context.put("add_generation_prompt", options.addGenerationPrompt());
    RenderResult result = jinjava.renderForResult(template, context);
    for (TemplateError error : result.getErrors()) {
      Throwable cause = error.getException();
      while (cause != null && !(cause instanceof Refusal) && cause.getCause() != null) {
        cause = cause.getCause();
      }
      String reason =
          cause instanceof Refusal
              ? "the template says: " + cause.getMessage()
              : error.getMessage();
      throw new IllegalArgumentException(
          "%s, line %s: cannot render this conversation: %s"
              .formatted(file, error.getLineno(), reason),
          error.getException());
    }
    return new Rendered(result.getOutput(), List.of(), false);
  }

  /**
   * Applies whitespace control and rewrites Python's string methods and reversal, which Jinja
   * inherits from Python, to filters.
   */
  private static String translate(String template) {
    // whitespace control is applied here: the renderer knows it in {% %} only
    String trimmed =
        template.replaceAll("\\s*(\\{[{%#])-", "$1").replaceAll("-([}%#]\\})\\s*", "$1");
    String text = REVERSED.matcher(trimmed).replaceAll("$1|reverse|list");
    if (text.contains("[::")) {
      throw new IllegalArgumentException(
          "the chat template slices with a step, which is not supported");
    }
    Matcher m = METHOD.matcher(text);
    StringBuilder out = new StringBuilder();
    while (m.find()) {
      String method = m.group(1);
      String filter =
          switch (method) {
            case "strip" -> "trim";
            default -> method;
          };
      // strip with an argument has no faithful filter: left as it is, it is an error when reached
      boolean bare = text.startsWith(")", m.end());
      boolean needsArgument =
          method.equals("startswith") || method.equals("endswith") || method.equals("split");
      m.appendReplacement(
          out, Matcher.quoteReplacement(bare || needsArgument ? "|" + filter + "(" : m.group()));
    }
    m.appendTail(out);
    return out.toString();
  }

  /** What a template's {@code raise_exception} throws. */
  private static final class Refusal extends RuntimeException {
    private static final long serialVersionUID = 1L;

    Refusal(String message) {
      super(message);
    }
  }

  /** The function {@code raise_exception}; public for the template engine only. */
  public static Object raise(Object message) {
    throw new Refusal(String.valueOf(message));
  }

  /** The function {@code strftime_now}; public for the template engine only. */
  public static String strftimeNow(String format) {
    java.time.LocalDateTime now = java.time.LocalDateTime.now(java.time.ZoneId.systemDefault());
    Map<Character, String> patterns =
        Map.of(
            'd', "dd", 'b', "MMM", 'B', "MMMM", 'Y', "yyyy", 'm', "MM", 'y', "yy", 'H', "HH", 'M',
            "mm");
    StringBuilder out = new StringBuilder();
    for (int i = 0; i < format.length(); i++) {
      char c = format.charAt(i);
      if (c == '%' && i + 1 < format.length()) {
        String pattern = patterns.get(format.charAt(++i));
        if (pattern == null) {
          throw new Refusal("strftime_now: %" + format.charAt(i) + " is not supported");
        }
        out.append(
            now.format(
                java.time.format.DateTimeFormatter.ofPattern(pattern, java.util.Locale.ENGLISH)));
      } else {
        out.append(c);
      }
    }
    return out.toString();
  }

  /** Python's string methods as filters. */
  private record PythonStringFilter(String name) implements com.hubspot.jinjava.lib.filter.Filter {
    @Override
    public String getName() {
      return name;
    }

    @Override
    public Object filter(Object value, JinjavaInterpreter interpreter, String... args) {
      String text = String.valueOf(value);
      return switch (name) {
        case "startswith" -> text.startsWith(args[0]);
        case "endswith" -> text.endsWith(args[0]);
        case "lstrip" -> text.stripLeading();
        default -> text.stripTrailing();
      };
    }
  }
}
