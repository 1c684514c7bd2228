package org.tune4j.core.text;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON values as plain immutable Java objects, which chat templates read: null, {@link Boolean},
 * {@link Long} or (beyond its range) {@link BigInteger}, {@link Double}, {@link String}, {@link
 * List}, and {@link Map} with string keys in the order of their first appearance.
 */
public final class JsonValues {
  /** Deeper than any data in practice, and far from a stack overflow. */
  private static final int MAX_DEPTH = 200;

  private static final BigInteger MIN_LONG = BigInteger.valueOf(Long.MIN_VALUE);
  private static final BigInteger MAX_LONG = BigInteger.valueOf(Long.MAX_VALUE);

  private JsonValues() {}

  /**
   * Returns an immutable copy of a value.
   *
   * @throws IllegalArgumentException if it contains something that has no JSON equivalent
   */
  public static Object copyOf(Object value) {
    return copy(value, 0);
  }

  /** Returns an immutable copy of an object's fields. */
  public static Map<String, Object> copyOf(Map<String, ?> fields) {
    return object(fields, 0);
  }

  /** Converts a parsed value; a missing node becomes null. */
  public static Object of(JsonNode node) {
    return parsed(node, 0);
  }

  /**
   * Converts the fields of a parsed object.
   *
   * @throws IllegalArgumentException if it is not an object
   */
  public static Map<String, Object> fields(JsonNode node) {
    if (!node.isObject()) {
      throw new IllegalArgumentException("found %s, expected a JSON object".formatted(node));
    }
    return parsedObject(node, 0);
  }

  private static Object copy(Object value, int depth) {
    if (value == null
        || value instanceof Boolean
        || value instanceof Long
        || value instanceof Double
        || value instanceof String) {
      return value;
    }
    if (value instanceof BigInteger n) {
      return integer(n);
    }
    if (value instanceof Integer || value instanceof Short || value instanceof Byte) {
      return ((Number) value).longValue();
    }
    if (value instanceof Float f) {
      return f.doubleValue();
    }
    if (value instanceof List<?> list) {
      List<Object> copy = new ArrayList<>(list.size());
      list.forEach(v -> copy.add(copy(v, deeper(depth))));
      return Collections.unmodifiableList(copy);
    }
    if (value instanceof Map<?, ?> map) {
      return object(map, depth);
    }
    throw new IllegalArgumentException(
        "found a %s, expected a JSON value: null, a Boolean, a number, a String, a List or a Map"
            .formatted(value.getClass().getName()));
  }

  private static Map<String, Object> object(Map<?, ?> map, int depth) {
    Map<String, Object> copy = new LinkedHashMap<>();
    map.forEach(
        (k, v) -> {
          if (!(k instanceof String key)) {
            throw new IllegalArgumentException("found the key %s, expected a String".formatted(k));
          }
          copy.put(key, copy(v, deeper(depth)));
        });
    return Collections.unmodifiableMap(copy);
  }

  private static Object parsed(JsonNode node, int depth) {
    return switch (node.getNodeType()) {
      case NULL, MISSING -> null;
      case BOOLEAN -> node.booleanValue();
      case NUMBER ->
          node.isIntegralNumber() ? integer(node.bigIntegerValue()) : (Object) node.doubleValue();
      case STRING -> node.textValue();
      case ARRAY -> {
        List<Object> list = new ArrayList<>(node.size());
        for (JsonNode v : node) {
          list.add(parsed(v, deeper(depth)));
        }
        yield Collections.unmodifiableList(list);
      }
      case OBJECT -> parsedObject(node, depth);
      case BINARY, POJO -> throw new IllegalArgumentException("not a JSON value: " + node);
    };
  }

  private static Map<String, Object> parsedObject(JsonNode node, int depth) {
    Map<String, Object> map = new LinkedHashMap<>();
    node.properties().forEach(f -> map.put(f.getKey(), parsed(f.getValue(), deeper(depth))));
    return Collections.unmodifiableMap(map);
  }

  private static Object integer(BigInteger n) {
    return n.compareTo(MIN_LONG) >= 0 && n.compareTo(MAX_LONG) <= 0 ? (Object) n.longValue() : n;
  }

  private static int deeper(int depth) {
    if (depth >= MAX_DEPTH) {
      throw new IllegalArgumentException(
          "lists and maps are nested more than %s deep".formatted(MAX_DEPTH));
    }
    return depth + 1;
  }
}
