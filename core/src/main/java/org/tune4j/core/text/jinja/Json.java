package org.tune4j.core.text.jinja;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Python's {@code json.dumps}, as called by transformers' filter {@code tojson}. */
final class Json {
  private final Run run = Run.now();
  private final boolean ascii;
  private final String indent;
  private final String itemSeparator;
  private final String keySeparator;
  private final boolean sortKeys;
  private final StringBuilder out = new StringBuilder();

  private Json(boolean ascii, String indent, List<Object> separators, boolean sortKeys) {
    this.ascii = ascii;
    this.indent = indent;
    this.itemSeparator = separators.get(0).toString();
    this.keySeparator = separators.get(1).toString();
    this.sortKeys = sortKeys;
  }

  /** Serialises the first of the filter's arguments with the options given by the others. */
  static String dump(Object[] v) {
    Object indent = Builtin.absent(v[2], null);
    if (indent != null && !Values.isText(indent)) {
      Numbers.index(indent);
      indent = Operators.binary("*", " ", indent);
    }
    Object separators = Builtin.absent(v[3], null);
    List<Object> two =
        separators == null ? List.of(indent == null ? ", " : ",", ": ") : Values.list(separators);
    if (two.size() != 2) {
      throw Failure.value("expected 2 separators, found %d", two.size());
    }
    if (!two.stream().allMatch(Values::isText)) {
      throw Failure.type("a separator must be str");
    }
    Json json =
        new Json(
            Filters.truth(v[1]),
            indent == null ? null : indent.toString(),
            two,
            Filters.truth(v[4]));
    json.value(v[0], 0);
    json.run.made(json.out.length());
    return json.out.toString();
  }

  private void value(Object v, int depth) {
    Values.checkDepth(depth);
    run.step();
    run.checkSize(out.length());
    if (Values.isText(v)) {
      text(v.toString());
    } else if (v == null || Numbers.isNumber(v)) {
      out.append(plain(v));
    } else if (v instanceof Map<?, ?> map) {
      object(map, depth);
    } else if (v instanceof List<?> l && !(v instanceof Range)) {
      array(l, depth);
    } else {
      throw Failure.type("Object of type %s is not JSON serializable", Values.typeName(v));
    }
  }

  private static String plain(Object v) {
    if (v instanceof Double d) {
      return Double.isNaN(d)
          ? "NaN"
          : Double.isInfinite(d) ? (d > 0 ? "Infinity" : "-Infinity") : Numbers.text(d);
    }
    return v instanceof BigInteger n ? Numbers.text(n) : String.valueOf(v);
  }

  private void array(List<?> items, int depth) {
    out.append('[');
    for (int i = 0; i < items.size(); i++) {
      separate(i, depth);
      value(items.get(i), depth + 1);
    }
    end(!items.isEmpty(), depth);
    out.append(']');
  }

  private void object(Map<?, ?> map, int depth) {
    List<Object[]> entries = new ArrayList<>();
    map.forEach((k, v) -> entries.add(new Object[] {Values.unkey(k), v}));
    if (sortKeys) {
      entries.sort((a, b) -> Values.order(a[0], b[0]));
    }
    out.append('{');
    for (int i = 0; i < entries.size(); i++) {
      Object key = entries.get(i)[0];
      if (!Values.isText(key) && key != null && !Numbers.isNumber(key)) {
        throw Failure.type("%s cannot be a key in JSON", Values.typeName(key));
      }
      separate(i, depth);
      text(Values.isText(key) ? key.toString() : plain(key));
      out.append(keySeparator);
      value(entries.get(i)[1], depth + 1);
    }
    end(!entries.isEmpty(), depth);
    out.append('}');
  }

  private void separate(int index, int depth) {
    out.append(index == 0 ? "" : itemSeparator);
    newLine(depth + 1);
  }

  private void end(boolean any, int depth) {
    if (any) {
      newLine(depth);
    }
  }

  private void newLine(int depth) {
    if (indent != null) {
      run.checkSize(out.length() + (long) indent.length() * depth);
      out.append('\n').append(indent.repeat(depth));
    }
  }

  private void text(String s) {
    run.checkSize(out.length() + (long) s.length());
    out.append('"');
    for (int i = 0; i < s.length(); i++) {
      char c = s.charAt(i);
      switch (c) {
        case '"' -> out.append("\\\"");
        case '\\' -> out.append("\\\\");
        case '\n' -> out.append("\\n");
        case '\r' -> out.append("\\r");
        case '\t' -> out.append("\\t");
        case '\b' -> out.append("\\b");
        case '\f' -> out.append("\\f");
        default -> {
          if (c < ' ' || (ascii && c > '~')) {
            out.append("\\u").append(Escapes.hex(4, c));
          } else {
            out.append(c);
          }
        }
      }
    }
    out.append('"');
  }
}
