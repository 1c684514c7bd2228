package org.tune4j.core.io;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Path;
import java.util.function.Predicate;

/**
 * Typed access to the fields of one JSON object. A field of another type or out of range is a
 * {@link MalformedFileException} that names the file, the field, what was found and what was
 * expected; types are never converted. For a field that is absent or null, methods with a default
 * return it, and the others throw.
 */
public final class JsonFields {
  private static final int MAX_SHOWN = 200;

  private final Path origin;
  private final String place;
  private final String prefix;
  private final JsonNode node;

  private JsonFields(Path origin, String place, String prefix, JsonNode node) {
    this.origin = origin;
    this.place = place;
    this.prefix = prefix;
    this.node = node;
  }

  /**
   * Reads a file that holds one object.
   *
   * @throws java.nio.file.NoSuchFileException if there is none
   * @throws MalformedFileException if it is not a JSON object
   */
  public static JsonFields read(Path file) throws IOException {
    return of(JsonFile.read(file), file);
  }

  /** Parses the text of a file that holds one object; {@code origin} is named in messages. */
  public static JsonFields parse(String text, Path origin) throws MalformedFileException {
    return of(JsonFile.parse(text, origin), origin);
  }

  /** Parses a line of a JSON-lines file; {@code number} counts from 1. */
  public static JsonFields parseLine(String text, Path origin, long number)
      throws MalformedFileException {
    return of(JsonFile.parseLine(text, origin, number), origin, "line " + number);
  }

  /** Wraps a parsed object. */
  public static JsonFields of(JsonNode object, Path origin) throws MalformedFileException {
    return of(object, origin, "");
  }

  private static JsonFields of(JsonNode object, Path origin, String place)
      throws MalformedFileException {
    if (!object.isObject()) {
      throw new MalformedFileException(
          origin,
          place,
          "no JSON object" + (object.isMissingNode() ? "" : " but " + truncated(object.toString())),
          "an object with its fields");
    }
    return new JsonFields(origin, place, "", object);
  }

  /** Returns the object itself, for access that this class does not offer; do not modify it. */
  public JsonNode node() {
    return node;
  }

  /** Returns the file that errors name. */
  public Path origin() {
    return origin;
  }

  /** Returns the error of a field; {@code found} is shown in quotes, or as "nothing" if empty. */
  public MalformedFileException bad(String field, String found, String expected) {
    return new MalformedFileException(
        origin,
        (place.isEmpty() ? "" : place + ", ") + "field '" + prefix + field + "'",
        found.isEmpty() ? "nothing" : "'" + truncated(found) + "'",
        expected);
  }

  /** Returns the error of a field, showing its value. */
  public MalformedFileException bad(String field, String expected) {
    return bad(field, node.path(field).toString(), expected);
  }

  private static String truncated(String text) {
    return text.length() <= MAX_SHOWN ? text : text.substring(0, MAX_SHOWN) + "…";
  }

  /** Returns whether the object has the field, possibly null. */
  public boolean present(String field) {
    return node.has(field);
  }

  /** Returns whether the object has the field and it is not null. */
  public boolean has(String field) {
    return node.hasNonNull(field);
  }

  /** Refuses null in fields that may be absent but not null. */
  public void refuseNull(String... fields) throws MalformedFileException {
    for (String field : fields) {
      if (present(field) && !has(field)) {
        throw bad(field, "a value, or no such field");
      }
    }
  }

  /** Refuses a field with any value other than null. */
  public void refuse(String field, String expected) throws MalformedFileException {
    if (has(field)) {
      throw bad(field, expected);
    }
  }

  /** Refuses any other value of a boolean field; an absent one is fine. */
  public void require(String field, boolean value) throws MalformedFileException {
    if (flag(field, value) != value) {
      throw bad(field, String.valueOf(value));
    }
  }

  private JsonNode value(String field, Predicate<JsonNode> accepts, String expected)
      throws MalformedFileException {
    if (!accepts.test(node.path(field))) {
      throw bad(field, expected);
    }
    return node.get(field);
  }

  /** Returns a string that must be present. */
  public String text(String field) throws MalformedFileException {
    return value(field, JsonNode::isTextual, "a string").textValue();
  }

  /** Returns a string, or the default if it is absent or null. */
  public String text(String field, String defaultValue) throws MalformedFileException {
    return has(field) ? text(field) : defaultValue;
  }

  /** Returns a boolean that must be present. */
  public boolean flag(String field) throws MalformedFileException {
    return value(field, JsonNode::isBoolean, "true or false").booleanValue();
  }

  /** Returns a boolean, or the default if it is absent or null. */
  public boolean flag(String field, boolean defaultValue) throws MalformedFileException {
    return has(field) ? flag(field) : defaultValue;
  }

  /** Returns a 32-bit integer that must be present. */
  public int integer(String field) throws MalformedFileException {
    return value(field, JsonFields::isInt, "an integer").intValue();
  }

  /** Returns a 32-bit integer, or the default if it is absent or null. */
  public int integer(String field, int defaultValue) throws MalformedFileException {
    return has(field) ? integer(field) : defaultValue;
  }

  /** Returns an integer from {@code min} to {@code max}. */
  public int integer(String field, int defaultValue, int min, int max)
      throws MalformedFileException {
    return has(field)
        ? value(field, v -> isInt(v) && v.intValue() >= min && v.intValue() <= max, range(min, max))
            .intValue()
        : defaultValue;
  }

  private static String range(int min, int max) {
    if (max < Integer.MAX_VALUE) {
      return "an integer from " + min + " to " + max;
    }
    return min == 1 ? "a positive integer" : "an integer from " + min + " on";
  }

  /** Returns a 64-bit integer that must be present. */
  public long longInteger(String field) throws MalformedFileException {
    return value(field, v -> v.isIntegralNumber() && v.canConvertToLong(), "an integer")
        .longValue();
  }

  /** Returns a finite number that must be present. */
  public double number(String field) throws MalformedFileException {
    return value(field, JsonFields::isFinite, "a finite number").doubleValue();
  }

  /** Returns a finite number, or the default if it is absent or null. */
  public double number(String field, double defaultValue) throws MalformedFileException {
    return has(field) ? number(field) : defaultValue;
  }

  /** Returns a finite number above 0, or the default if it is absent or null. */
  public double positive(String field, double defaultValue) throws MalformedFileException {
    return number(field, defaultValue, Double.MIN_VALUE, Double.MAX_VALUE, "a positive number");
  }

  /**
   * Returns a number from {@code min} to {@code max}.
   *
   * @param expected describes the range in the message
   */
  public double number(String field, double defaultValue, double min, double max, String expected)
      throws MalformedFileException {
    return has(field)
        ? value(
                field,
                v -> isFinite(v) && v.doubleValue() >= min && v.doubleValue() <= max,
                expected)
            .doubleValue()
        : defaultValue;
  }

  /**
   * Returns a single integer or an array of them as a list; empty if the field is absent or null.
   */
  public ImmutableList<Integer> integers(String field, String expected)
      throws MalformedFileException {
    ImmutableList.Builder<Integer> integers = ImmutableList.builder();
    if (has(field)) {
      JsonNode value = node.get(field);
      for (JsonNode element : value.isArray() ? value : ImmutableList.of(value)) {
        if (!isInt(element)) {
          throw bad(field, expected);
        }
        integers.add(element.intValue());
      }
    }
    return integers.build();
  }

  private static boolean isInt(JsonNode value) {
    return value.isIntegralNumber() && value.canConvertToInt();
  }

  private static boolean isFinite(JsonNode value) {
    return value.isNumber() && Double.isFinite(value.doubleValue());
  }

  /** Returns the numbers of an array; empty if the field is absent or null. */
  public ImmutableList<Double> numbers(String field) throws MalformedFileException {
    ImmutableList.Builder<Double> numbers = ImmutableList.builder();
    for (JsonNode element : elements(field, JsonFields::isFinite, "an array of numbers")) {
      numbers.add(element.doubleValue());
    }
    return numbers.build();
  }

  /** Returns the strings of an array; empty if the field is absent or null. */
  public ImmutableList<String> strings(String field) throws MalformedFileException {
    ImmutableList.Builder<String> strings = ImmutableList.builder();
    for (JsonNode element : elements(field, JsonNode::isTextual, "an array of strings")) {
      strings.add(element.textValue());
    }
    return strings.build();
  }

  private Iterable<JsonNode> elements(String field, Predicate<JsonNode> accepts, String expected)
      throws MalformedFileException {
    if (!has(field)) {
      return ImmutableList.of();
    }
    for (JsonNode element : value(field, JsonNode::isArray, expected)) {
      if (!accepts.test(element)) {
        throw bad(field, expected);
      }
    }
    return node.get(field);
  }

  /** Returns a nested object, which must be present. */
  public JsonFields object(String field) throws MalformedFileException {
    return inner(field, value(field, JsonNode::isObject, "an object"));
  }

  /** Returns the fields of each object of an array. */
  public ImmutableList<JsonFields> objects(String field) throws MalformedFileException {
    ImmutableList.Builder<JsonFields> objects = ImmutableList.builder();
    int i = 0;
    for (JsonNode element : value(field, JsonNode::isArray, "an array of objects")) {
      String name = field + "[" + i++ + "]";
      if (!element.isObject()) {
        throw bad(name, element.toString(), "an object");
      }
      objects.add(inner(name, element));
    }
    return objects.build();
  }

  private JsonFields inner(String field, JsonNode object) {
    return new JsonFields(origin, place, prefix + field + ".", object);
  }

  /** Returns a nested object whose values are all numbers, in the file's order. */
  public ImmutableMap<String, Double> numbersByName(String field) throws MalformedFileException {
    JsonFields object = object(field);
    ImmutableMap.Builder<String, Double> numbers = ImmutableMap.builder();
    for (String name : object.names()) {
      numbers.put(name, object.number(name));
    }
    return numbers.buildOrThrow();
  }

  /** Returns a nested object whose values are all integers, in the file's order. */
  public ImmutableMap<String, Integer> integersByName(String field) throws MalformedFileException {
    JsonFields object = object(field);
    ImmutableMap.Builder<String, Integer> integers = ImmutableMap.builder();
    for (String name : object.names()) {
      integers.put(name, object.integer(name));
    }
    return integers.buildOrThrow();
  }

  /** Returns the fields' names, in the file's order. */
  public Iterable<String> names() {
    return node::fieldNames;
  }
}
