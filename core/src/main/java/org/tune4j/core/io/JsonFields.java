package org.tune4j.core.io;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Path;

/**
 * Typed access to the fields of one JSON object. A field of another type or out of range is a
 * {@link MalformedFileException} that names file, field, what was found and what was expected:
 * nothing is converted. Fields that are absent or null have the default that the caller gives.
 */
public final class JsonFields {
  private static final int SHOWN = 200;

  private final Path origin;
  private final String prefix;
  private final JsonNode node;

  private JsonFields(Path origin, String prefix, JsonNode node) {
    this.origin = origin;
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

  /** Wraps an object that was parsed before. */
  public static JsonFields of(JsonNode object, Path origin) throws MalformedFileException {
    if (!object.isObject()) {
      throw new MalformedFileException(
          origin,
          "",
          "no JSON object" + (object.isMissingNode() ? "" : " but " + shown(object.toString())),
          "the fields of a configuration");
    }
    return new JsonFields(origin, "", object);
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
        "field '" + prefix + field + "'",
        found.isEmpty() ? "nothing" : "'" + shown(found) + "'",
        expected);
  }

  private MalformedFileException bad(String field, String expected) {
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

  /** Returns a string. */
  public String text(String field, String otherwise) throws MalformedFileException {
    if (!has(field)) {
      return otherwise;
    }
    if (!node.get(field).isTextual()) {
      throw bad(field, "a string");
    }
    return node.get(field).textValue();
  }

  /** Returns a truth value. */
  public boolean flag(String field, boolean otherwise) throws MalformedFileException {
    if (!has(field)) {
      return otherwise;
    }
    if (!node.get(field).isBoolean()) {
      throw bad(field, "true or false");
    }
    return node.get(field).booleanValue();
  }

  /** Returns an integer. */
  public int integer(String field, int otherwise) throws MalformedFileException {
    return integer(field, otherwise, Integer.MIN_VALUE, Integer.MAX_VALUE);
  }

  /** Returns an integer from {@code least} to {@code most}. */
  public int integer(String field, int otherwise, int least, int most)
      throws MalformedFileException {
    if (!has(field)) {
      return otherwise;
    }
    JsonNode value = node.get(field);
    if (!isInt(value) || value.intValue() < least || value.intValue() > most) {
      throw bad(field, range(least, most));
    }
    return value.intValue();
  }

  private static String range(int least, int most) {
    if (most < Integer.MAX_VALUE) {
      return least == Integer.MIN_VALUE
          ? "an integer up to " + most
          : "an integer from " + least + " to " + most;
    }
    return least == Integer.MIN_VALUE
        ? "an integer"
        : least == 1 ? "a positive integer" : "an integer from " + least + " on";
  }

  /** Returns a finite number. */
  public double number(String field, double otherwise) throws MalformedFileException {
    return number(field, otherwise, -Double.MAX_VALUE, Double.MAX_VALUE, "a number that is finite");
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
    if (!has(field)) {
      return otherwise;
    }
    JsonNode value = node.get(field);
    // not a comparison that NaN passes
    if (!value.isNumber() || !(value.doubleValue() >= least && value.doubleValue() <= most)) {
      throw bad(field, expected);
    }
    return value.doubleValue();
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

  /** Returns the numbers of an array; none if the field is absent or null. */
  public ImmutableList<Double> numbers(String field) throws MalformedFileException {
    ImmutableList.Builder<Double> numbers = ImmutableList.builder();
    if (has(field)) {
      if (!node.get(field).isArray()) {
        throw bad(field, "an array of numbers");
      }
      for (JsonNode element : node.get(field)) {
        if (!element.isNumber() || !Double.isFinite(element.doubleValue())) {
          throw bad(field, "an array of numbers");
        }
        numbers.add(element.doubleValue());
      }
    }
    return numbers.build();
  }

  /** Returns the strings of an array; none if the field is absent or null. */
  public ImmutableList<String> strings(String field) throws MalformedFileException {
    ImmutableList.Builder<String> strings = ImmutableList.builder();
    if (has(field)) {
      if (!node.get(field).isArray()) {
        throw bad(field, "an array of strings");
      }
      for (JsonNode element : node.get(field)) {
        if (!element.isTextual()) {
          throw bad(field, "an array of strings");
        }
        strings.add(element.textValue());
      }
    }
    return strings.build();
  }

  /** Returns the fields of an object inside this one, which must be there. */
  public JsonFields object(String field) throws MalformedFileException {
    if (!node.path(field).isObject()) {
      throw bad(field, "an object");
    }
    return new JsonFields(origin, prefix + field + ".", node.get(field));
  }

  /** Returns the fields' names, in the file's order. */
  public Iterable<String> names() {
    return node::fieldNames;
  }
}
