package org.tune4j.examples;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.io.JsonFile;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.text.ChatOptions;
import org.tune4j.core.text.JsonValues;
import picocli.CommandLine.Help.Visibility;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;

/** Arguments of a chat template other than the messages. */
final class ChatArguments {
  /** Parses values on the command line, where {@code NaN} is text. */
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  @Option(
      names = "--tools",
      paramLabel = "FILE",
      description = "With --chat, tools that the model may call: a JSON array of their schemas.")
  private Path tools;

  @Option(
      names = "--documents",
      paramLabel = "FILE",
      description = "With --chat, documents to answer from: a JSON array of objects.")
  private Path documents;

  @Option(
      names = "--template-arg",
      showDefaultValue = Visibility.NEVER,
      paramLabel = "NAME=VALUE",
      description =
          "With --chat, a variable of the chat template, such as enable_thinking=false; the value is"
              + " JSON or plain text. May be given several times.")
  private Map<String, String> variables = new LinkedHashMap<>();

  boolean given() {
    return tools != null || documents != null || !variables.isEmpty();
  }

  ChatOptions options(CommandSpec spec) throws IOException {
    ChatOptions.Builder options = ChatOptions.builder();
    if (tools != null) {
      options.tools(objects(tools));
    }
    if (documents != null) {
      options.documents(objects(documents));
    }
    variables.forEach((name, value) -> options.variable(name, value(spec, name, value)));
    try {
      return options.build();
    } catch (IllegalArgumentException e) {
      throw Main.usage(spec, "--template-arg: " + e.getMessage());
    }
  }

  private static Object value(CommandSpec spec, String name, String text) {
    try {
      JsonNode node = JSON.readTree(text);
      return node.isMissingNode() ? text : JsonValues.of(node);
    } catch (JsonProcessingException e) {
      // plain text is rarely JSON, but malformed JSON is most likely a mistake
      if (text.matches("(?s)\\s*[\\[{\"].*")) {
        throw Main.usage(spec, "--template-arg %s: %s".formatted(name, JsonFile.problem(e)));
      }
      return text;
    }
  }

  private static List<Map<String, Object>> objects(Path file) throws IOException {
    JsonNode root = JsonFile.read(file);
    if (!root.isArray()) {
      throw new MalformedFileException(
          file, "", root.getNodeType().toString(), "a JSON array of objects");
    }
    List<Map<String, Object>> all = new ArrayList<>();
    for (int i = 0; i < root.size(); i++) {
      if (!root.get(i).isObject()) {
        throw new MalformedFileException(
            file, "element " + (i + 1), root.get(i).toString(), "a JSON object");
      }
      all.add(JsonValues.fields(root.get(i)));
    }
    return all;
  }
}
