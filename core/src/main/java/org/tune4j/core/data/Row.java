package org.tune4j.core.data;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.google.common.base.Ascii;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.tune4j.core.io.MalformedFileException;

/**
 * A JSON object of a file, either a row or a turn of a conversation. Fields are accessed by the
 * formats' names, null counts as absent, and the used ones are remembered, so that no other field
 * is ignored unnoticed.
 */
final class Row {
  private static final int MAX_SHOWN = 200;

  private final Path file;
  private final String place;
  private final String lineSuffix;
  private final JsonNode node;
  private final Columns columns;
  private final Map<String, Integer> unused;
  private final Set<String> used = new HashSet<>();

  /**
   * Wraps an object.
   *
   * @param lineSuffix added to the place in errors, if the place is not a line
   */
  Row(Path file, String place, String lineSuffix, JsonNode node, Columns columns)
      throws MalformedFileException {
    this(file, place, lineSuffix, node, columns, new LinkedHashMap<>());
  }

  private Row(
      Path file,
      String place,
      String lineSuffix,
      JsonNode node,
      Columns columns,
      Map<String, Integer> unused)
      throws MalformedFileException {
    this.file = file;
    this.place = place;
    this.lineSuffix = lineSuffix;
    this.node = node;
    this.columns = columns;
    this.unused = unused;
    if (!node.isObject()) {
      throw bad(Ascii.toLowerCase(node.getNodeType().toString()), "a JSON object");
    }
  }

  /** Returns an object nested in this one. */
  Row within(String where, JsonNode inner) throws MalformedFileException {
    return new Row(file, place + lineSuffix + ", " + where, "", inner, columns, unused);
  }

  JsonNode node() {
    return node;
  }

  Columns columns() {
    return columns;
  }

  /** Returns the file and place, such as {@code train.jsonl, line 3}. */
  String origin() {
    return file + ", " + place;
  }

  /** Returns whether a field is present and not null. */
  boolean has(String field) {
    return node.hasNonNull(columns.name(field));
  }

  /** Returns whether a field has content: a text that is not blank, a list with elements, ... */
  boolean says(String field) {
    return says(node.path(columns.name(field)));
  }

  static boolean says(JsonNode value) {
    return !(value.isNull()
        || value.isMissingNode()
        || (value.isTextual() && value.textValue().isBlank())
        || (value.isContainerNode() && value.isEmpty()));
  }

  /** Returns a field's value, or a missing node if it is null, and marks the field as used. */
  JsonNode use(String field) {
    String name = columns.name(field);
    used.add(name);
    JsonNode value = node.path(name);
    return value.isNull() ? MissingNode.getInstance() : value;
  }

  boolean isUsed(String nameInFile) {
    return used.contains(nameInFile);
  }

  /** Returns the unused fields of this object and those nested in it, with their counts. */
  Map<String, Integer> unused() {
    return unused;
  }

  void countUnused(String name) {
    unused.merge(name, 1, Integer::sum);
  }

  String text(String field) throws MalformedFileException {
    JsonNode value = use(field);
    if (!value.isTextual()) {
      throw badField(field, show(value), "a string");
    }
    return value.textValue();
  }

  /** Returns a field's text, which must not be blank. */
  String textToLearn(String field) throws MalformedFileException {
    String text = text(field);
    if (text.isBlank()) {
      throw badField(field, "an empty string", "some text to learn");
    }
    return text;
  }

  /** Returns a value as shown in error messages. */
  static String show(JsonNode value) {
    return value.isMissingNode() || value.isNull()
        ? "nothing"
        : Ascii.truncate(value.toString(), MAX_SHOWN, "...");
  }

  /** Returns the error of the object as a whole. */
  MalformedFileException bad(String found, String expected) {
    return new MalformedFileException(file, place + lineSuffix, found, expected);
  }

  /** Returns the error of the object as a whole, with the exception that revealed it. */
  MalformedFileException bad(String found, String expected, Throwable cause) {
    return new MalformedFileException(file, place + lineSuffix, found, expected, cause);
  }

  MalformedFileException badField(String field, String found, String expected) {
    return new MalformedFileException(
        file, place + lineSuffix + ", field '" + columns.name(field) + "'", found, expected);
  }
}
