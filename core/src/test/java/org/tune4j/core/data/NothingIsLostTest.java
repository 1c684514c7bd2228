package org.tune4j.core.data;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.base.Splitter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;
import org.tune4j.core.io.MalformedFileException;

/**
 * Rows of every format with fields of all others drawn into them: each text of a row that is read
 * is in its example, or its field is counted as unused.
 */
class NothingIsLostTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final List<String> ROWS =
      List.of(
          "{'prompt': '?', 'completion': '?'}",
          "{'text': '?'}",
          "{'text': '?', 'label': '?'}",
          "{'instruction': '?', 'input': '?', 'output': '?'}",
          "{'messages': [{'role': 'user', 'content': '?'}, {'role': 'assistant', 'content': '?'}]}",
          "{'conversations': [{'from': 'human', 'value': '?'}, {'from': 'gpt', 'value': '?'}]}",
          "{'prompt': [{'role': 'user', 'content': '?'}], 'completion': [{'role': 'assistant', 'content': '?'}]}");
  private static final List<String> VALUES =
      List.of(
          "'?'",
          "''",
          "null",
          "3",
          "true",
          "[]",
          "['?']",
          "{'a': '?'}",
          "[{'name': '?', 'parameters': {'default': null, 'type': '?'}}]",
          "[{'type': 'text', 'text': '?'}]",
          "[{'function': {'name': '?', 'arguments': {'x': '?', 'y': null}}}]",
          "'[{\\'name\\': \\'?\\'}]'",
          "[{'role': 'assistant', 'content': '?'}]",
          "[['?', '?']]");

  private static Path directory;
  private static int read;
  private static int refused;

  @BeforeContainer
  static void create() throws IOException {
    directory = Files.createTempDirectory("rows");
  }

  @AfterContainer
  static void delete() throws IOException {
    com.google.common.io.MoreFiles.deleteRecursively(directory);
    assertThat(read).as("rows read").isGreaterThan(200);
    assertThat(refused).as("rows refused").isGreaterThan(200);
  }

  @Property(tries = 2000)
  void everyTextIsUsedOrItsFieldIsNamed(@ForAll Random random) throws IOException {
    Draw draw = new Draw(random);
    ObjectNode row = (ObjectNode) draw.parse(ROWS.get(random.nextInt(ROWS.size())));
    for (int n = random.nextInt(3); n > 0; n--) {
      row.set(draw.one(Columns.ROW.asList(), Columns.FOREIGN.asList()), draw.value());
    }
    for (String list : List.of("messages", "conversations", "prompt", "completion")) {
      if (row.path(list).isArray() && random.nextBoolean() && row.path(list).path(0).isObject()) {
        JsonNode turn = row.get(list).get(random.nextInt(row.get(list).size()));
        ((ObjectNode) turn)
            .set(draw.one(Columns.TURN.asList(), List.of("odd", "function_call")), draw.value());
      }
    }
    Path file = Files.writeString(directory.resolve("t.jsonl"), row.toString());
    TaskReader.Contents contents;
    try {
      contents = TaskReader.detecting().readAll(file);
    } catch (MalformedFileException e) {
      refused++;
      assertThat(e).hasMessageStartingWith(file + ", line 1");
      return;
    }
    read++;
    String kept = contents.examples().get(0).toString();
    for (Map.Entry<String, JsonNode> field : row.properties()) {
      if (!contents.report().unusedFields().containsKey(field.getKey())) {
        for (int i = 0; i < draw.drawn; i++) {
          String text = "text" + i + ".";
          if (field.getValue().toString().contains(text)) {
            assertThat(kept).as("'%s' of %s", field.getKey(), row).contains(text);
          }
        }
      }
    }
  }

  /** Draws values whose texts all differ. */
  private static final class Draw {
    private final Random random;
    private int drawn;

    Draw(Random random) {
      this.random = random;
    }

    String one(List<String> most, List<String> some) {
      List<String> from = random.nextInt(5) > 0 ? most : some;
      return from.get(random.nextInt(from.size()));
    }

    JsonNode value() throws IOException {
      return parse(VALUES.get(random.nextInt(VALUES.size())));
    }

    JsonNode parse(String template) throws IOException {
      StringBuilder json = new StringBuilder();
      for (String piece : Splitter.on('?').split(template.replace('\'', '"'))) {
        json.append(json.isEmpty() ? "" : "text" + drawn++ + ".").append(piece);
      }
      return JSON.readTree(json.toString());
    }
  }
}
