package org.tune4j.core.text;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.common.collect.ImmutableList;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.zip.GZIPInputStream;
import org.tune4j.core.io.JsonFile;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.text.jinja.TemplateException;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/**
 * Renders recorded cases of chat templates and compares with what transformers rendered.
 *
 * <p>Each line of a case file (JSON lines, optionally as {@code .gz}) is an object with {@code
 * name}, {@code template}, {@code messages}; optionally {@code tools}, {@code documents}, {@code
 * add_generation_prompt} and {@code extra} (more variables); and the reference result: {@code
 * expected}, the text, with {@code assistant_spans} in code points if the template marks them, or
 * {@code error_kind}, the {@link Kind} in lower case, with {@code error}, the message of a {@code
 * raise}. Texts, spans and messages of {@code raise} must be equal; of other errors only the kind.
 */
public final class TemplateCheck {
  private TemplateCheck() {}

  /**
   * A case with another result than the reference.
   *
   * @param name the case's
   * @param expected the reference result
   * @param found our result
   */
  public record Difference(String name, String expected, String found) {}

  /** The result of a case file. */
  public record Report(int cases, List<Difference> differences) {
    /** Copies the differences. */
    public Report {
      differences = ImmutableList.copyOf(differences);
    }
  }

  /**
   * Renders all cases of a file.
   *
   * @throws MalformedFileException if a line is not a case; with its number
   */
  public static Report run(Path file) throws IOException {
    List<Difference> differences = new ArrayList<>();
    int cases = 0;
    int number = 0;
    try (InputStream bytes = Files.newInputStream(file);
        BufferedReader lines =
            new BufferedReader(
                new InputStreamReader(
                    file.toString().endsWith(".gz") ? new GZIPInputStream(bytes) : bytes, UTF_8))) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        number++;
        if (line.isBlank()) {
          continue;
        }
        JsonNode node = JsonFile.parseLine(line, file, number);
        String place = "line " + number;
        if (!node.path("name").isTextual()
            || !node.path("template").isTextual()
            || !(node.path("expected").isTextual() || node.path("error_kind").isTextual())) {
          throw new MalformedFileException(
              file,
              place,
              "something else",
              "name, template, messages, and expected or error_kind");
        }
        String expected = expected(node);
        String found = found(node, file, place);
        cases++;
        if (!found.equals(expected)) {
          differences.add(new Difference(node.path("name").textValue(), expected, found));
        }
      }
    }
    if (cases == 0) {
      throw new MalformedFileException(file, "", "no cases", "at least one");
    }
    return new Report(cases, differences);
  }

  private static String expected(JsonNode node) {
    if (node.path("expected").isTextual()) {
      String spans =
          node.path("assistant_spans").isArray() ? node.path("assistant_spans") + " " : "";
      return spans + node.path("expected").textValue();
    }
    String kind = node.path("error_kind").textValue();
    boolean message = kind.equals(Kind.RAISE.label());
    return message ? "raise: " + node.path("error").textValue() : "an error of kind " + kind;
  }

  private static String found(JsonNode node, Path file, String place)
      throws MalformedFileException {
    List<Message> messages = new ArrayList<>();
    ChatOptions.Builder options = ChatOptions.builder();
    try {
      objects(node.path("messages")).forEach(m -> messages.add(new Message(m)));
      if (node.path("tools").isArray()) {
        options.tools(objects(node.path("tools")));
      }
      if (node.path("documents").isArray()) {
        options.documents(objects(node.path("documents")));
      }
      if (node.path("extra").isObject()) {
        options.variables(JsonValues.fields(node.path("extra")));
      }
    } catch (IllegalArgumentException e) {
      throw new MalformedFileException(file, place, e.getMessage(), "a conversation", e);
    }
    options.addGenerationPrompt(node.path("add_generation_prompt").asBoolean());
    ChatTemplate template = ChatTemplate.of(node.path("template").textValue(), Map.of());
    try {
      Rendered rendered = template.render(messages, options.build());
      String spans = node.path("assistant_spans").isArray() ? spans(rendered) + " " : "";
      return spans + rendered.text();
    } catch (TemplateException e) {
      return e.kind() == Kind.RAISE
          ? "raise: " + e.detail()
          : "an error of kind " + e.kind().label();
    }
  }

  private static List<Map<String, Object>> objects(JsonNode array) {
    List<Map<String, Object>> all = new ArrayList<>();
    array.forEach(o -> all.add(JsonValues.fields(o)));
    return all;
  }

  private static String spans(Rendered rendered) {
    if (!rendered.hasGenerationBlocks()) {
      return "no spans";
    }
    StringBuilder out = new StringBuilder("[");
    for (Rendered.Span s : rendered.codePointSpans()) {
      out.append(out.length() == 1 ? "" : ",");
      out.append('[').append(s.start()).append(',').append(s.end()).append(']');
    }
    return out.append(']').toString();
  }
}
