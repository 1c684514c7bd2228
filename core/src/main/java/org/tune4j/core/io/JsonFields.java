package org.tune4j.core.io;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Path;
import java.util.function.Predicate;

/**
 * Typed access to the fields of one JSON object. A field of another type or out of range is a
 * {@link MalformedFileException} that names file, field, what was found and what was expected:
 * nothing is converted. A field that is absent or null has the default that the caller gives, and
 * is refused by the methods that take none.
 */
public final class JsonFields {
  private static final int SHOWN = 200;

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
   * @throws MalformedFileException if it is no JSON object
   */
  public static JsonFields read(Path file) throws IOException {
    return of(JsonFile.read(file), file);
  }

  /** Parses the text of such a file; {@code origin} is the file, for messages. */
  public static JsonFields parse(String text, Path origin) throws MalformedFileException {
    return of(JsonFile.parse(text, origin), origin);
  }

  /** Parses a line of a file that has an object in each; {@code number} counts from 1. */
  public static JsonFields parseLine(String text, Path origin, long number)
      throws MalformedFileException {
    return of(JsonFile.parseLine(text, origin, number), origin, "line " + number);
  }

  /** Wraps an object that was parsed before. */
  public static JsonFields of(JsonNode object, Path origin) throws MalformedFileException {
    return of(object, origin, "");
  }

  private static JsonFields of(JsonNode object, Path origin, String place)
      throws MalformedFileException {
    if (!object.isObject()) {
      throw new MalformedFileException(
          origin,
          place,
          "no JSON object" + (object.isMissingNode() ? "" : " but " + shown(object.toString())),
          "an object with its fields");
    }
    return new JsonFields(origin, place, "", object);
  }

  /** Returns the object itself, for what has no accessor here; do not change it. */
  public JsonNode node() {
    return node;
  }

  /** Returns the file that errors name. */
  public Path origin() {
    return origin;
  }

  /** Describes what is wrong with a field; {@code found} is shown in quotes, nothing if empty. */
  public MalformedFileException bad(String field, String found, String expected) {
    return new MalformedFileException(
        origin,
        (place.isEmpty() ? "" : place + ", ") + "field '" + prefix + field + "'",
        found.isEmpty() ? "nothing" : "'" + shown(found) + "'",
        expected);
  }

  /** Describes what is wrong with the value that a field has. */
  public MalformedFileException bad(String field, String expected) {
    return bad(field, node.path(field).toString(), expected);
  }

  private static String shown(String text) {
    return text.length() <= SHOWN ? text : text.substring(0, SHOWN) + "…";
  }

  /** Returns whether the object has the field, be it null. */
  public boolean present(String field) {
    return node.has(field);
  }

  /** Returns whether the object has the field and it is not null. */
  public boolean has(String field) {
    return node.hasNonNull(field);
  }

  /** Refuses null in fields that cannot be without a value. */
  public void refuseNull(String... fields) throws MalformedFileException {
    for (String field : fields) {
      if (present(field) && !has(field)) {
        throw bad(field, "a value, or no such field");
      }
    }
  }

  /** Refuses a field that has any value but null. */
  public void refuse(String field, String expected) throws MalformedFileException {
    if (has(field)) {
      throw bad(field, expected);
    }
  }

  /** Refuses any other value of a truth-valued field. */
  public void require(String field, boolean value) throws MalformedFileException {
    if (flag(field, value) != value) {
      throw bad(field, String.valueOf(value));
    }
  }

  private JsonNode value(String field, Predicate<JsonNode> fits, String expected)
      throws MalformedFileException {
    if (!fits.test(node.path(field))) {
      throw bad(field, expected);
    }
    return node.get(field);
  }

  /** Returns a string, which must be there. */
  public String text(String field) throws MalformedFileException {
    return value(field, JsonNode::isTextual, "a string").textValue();
  }

  /** Returns a string, which may be absent. */
  public String text(String field, String otherwise) throws MalformedFileException {
    return has(field) ? text(field) : otherwise;
  }

  /** Returns a truth value, which must be there. */
  public boolean flag(String field) throws MalformedFileException {
    return value(field, JsonNode::isBoolean, "true or false").booleanValue();
  }

  /** Returns a truth value, which may be absent. */
  public boolean flag(String field, boolean otherwise) throws MalformedFileException {
    return has(field) ? flag(field) : otherwise;
  }

  /** Returns an integer of 32 bits, which must be there. */
  public int integer(String field) throws MalformedFileException {
    return value(field, JsonFields::isInt, "an integer").intValue();
  }

  /** Returns an integer of 32 bits, which may be absent. */
  public int integer(String field, int otherwise) throws MalformedFileException {
    return has(field) ? integer(field) : otherwise;
  }

  /** Returns an integer from {@code least} to {@code most}. */
  public int integer(String field, int otherwise, int least, int most)
      throws MalformedFileException {
    return has(field)
        ? value(
                field,
                v -> isInt(v) && v.intValue() >= least && v.intValue() <= most,
                range(least, most))
            .intValue()
        : otherwise;
  }

  private static String range(int least, int most) {
    if (most < Integer.MAX_VALUE) {
      return "an integer from " + least + " to " + most;
    }
    return least == 1 ? "a positive integer" : "an integer from " + least + " on";
  }

  /** Returns an integer of 64 bits, which must be there. */
  public long longInteger(String field) throws MalformedFileException {
    return value(field, v -> v.isIntegralNumber() && v.canConvertToLong(), "an integer")
        .longValue();
  }

  /** Returns a finite number, which must be there. */
  public double number(String field) throws MalformedFileException {
    return value(field, JsonFields::isFinite, "a number that is finite").doubleValue();
  }

  /** Returns a finite number, which may be absent. */
  public double number(String field, double otherwise) throws MalformedFileException {
    return has(field) ? number(field) : otherwise;
  }

  /** Returns a number that is finite and above 0. */
  public double positive(String field, double otherwise) throws MalformedFileException {
    return number(field, otherwise, Double.MIN_VALUE, Double.MAX_VALUE, "a positive number");
  }

  /**
   * Returns a number from {@code least} to {@code most}.
   *
   * @param expected describes these, as the message says
   */
  public double number(String field, double otherwise, double least, double most, String expected)
      throws MalformedFileException {
    return has(field)
        ? value(
                field,
                v -> isFinite(v) && v.doubleValue() >= least && v.doubleValue() <= most,
                expected)
            .doubleValue()
        : otherwise;
  }

  /** Returns an integer, or those of an array; none if the field is absent or null. */
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

  /** Returns the numbers of an array; none if the field is absent or null. */
  public ImmutableList<Double> numbers(String field) throws MalformedFileException {
    ImmutableList.Builder<Double> numbers = ImmutableList.builder();
    for (JsonNode element : elements(field, JsonFields::isFinite, "an array of numbers")) {
      numbers.add(element.doubleValue());
    }
    return numbers.build();
  }

  /** Returns the strings of an array; none if the field is absent or null. */
  public ImmutableList<String> strings(String field) throws MalformedFileException {
    ImmutableList.Builder<String> strings = ImmutableList.builder();
    for (JsonNode element : elements(field, JsonNode::isTextual, "an array of strings")) {
      strings.add(element.textValue());
    }
    return strings.build();
  }

  private Iterable<JsonNode> elements(String field, Predicate<JsonNode> fit, String expected)
      throws MalformedFileException {
    if (!has(field)) {
      return ImmutableList.of();
    }
    for (JsonNode element : value(field, JsonNode::isArray, expected)) {
      if (!fit.test(element)) {
        throw bad(field, expected);
      }
    }
    return node.get(field);
  }

  /** Returns the fields of an object inside this one. */
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

  /** Returns the numbers of an object, by name, in the file's order. */
  public ImmutableMap<String, Double> numbersByName(String field) throws MalformedFileException {
    JsonFields object = object(field);
    ImmutableMap.Builder<String, Double> numbers = ImmutableMap.builder();
    for (String name : object.names()) {
      numbers.put(name, object.number(name));
    }
    return numbers.buildOrThrow();
  }

  /** Returns the integers of an object, by name, in the file's order. */
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
