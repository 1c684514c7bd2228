package org.tune4j.core.text.jinja;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Values.Tuple;

/** Python's {@code json.dumps}, as transformers' filter {@code tojson} calls it. */
final class Json {
  private final Run run;
  private final boolean ascii;
  private final String indent;
  private final String itemSeparator;
  private final String keySeparator;
  private final boolean sortKeys;
  private final StringBuilder out = new StringBuilder();

  private Json(Run run, boolean ascii, String indent, String item, String key, boolean sortKeys) {
    this.run = run;
    this.ascii = ascii;
    this.indent = indent;
    this.itemSeparator = item;
    this.keySeparator = key;
    this.sortKeys = sortKeys;
  }

  static String dump(
      Run run, Object v, boolean ascii, Object indent, Object separators, boolean sortKeys) {
    String indention = null;
    if (Values.isText(indent)) {
      indention = Values.text(indent);
    } else if (indent != null) {
      indention = (String) Arithmetic.binary(run, "*", " ", Arithmetic.index(indent));
    }
    String item = indention == null ? ", " : ",";
    String key = ": ";
    if (separators != null) {
      List<Object> two = Values.list(run, separators);
      if (two.size() != 2) {
        throw Failure.value("expected 2 separators, found %d", two.size());
      }
      for (Object s : two) {
        if (!Values.isText(s)) {
          throw Failure.type("a separator must be str, not %s", Values.typeName(s));
        }
      }
      item = Values.text(two.get(0));
      key = Values.text(two.get(1));
    }
    Json json = new Json(run, ascii, indention, item, key, sortKeys);
    json.value(v, 0);
    run.made(json.out.length());
    return json.out.toString();
  }

  private void value(Object v, int depth) {
    Values.checkDepth(depth);
    run.step();
    run.checkSize(out.length());
    if (v == null) {
      out.append("null");
    } else if (v instanceof Boolean) {
      out.append(v);
    } else if (v instanceof BigInteger n) {
      out.append(Numbers.text(n));
    } else if (v instanceof Long) {
      out.append(v);
    } else if (v instanceof Double d) {
      out.append(number(d));
    } else if (Values.isText(v)) {
      text(Values.text(v));
    } else if (v instanceof Map<?, ?> map) {
      object(map, depth);
    } else if (v instanceof List<?> list) {
      array(list, depth);
    } else if (v instanceof Tuple t) {
      array(t.items(), depth);
    } else {
      throw Failure.type("Object of type %s is not JSON serializable", Values.typeName(v));
    }
  }

  private static String number(double d) {
    if (Double.isNaN(d)) {
      return "NaN";
    }
    return Double.isInfinite(d) ? (d > 0 ? "Infinity" : "-Infinity") : Numbers.text(d);
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
      entries.sort((a, b) -> Values.less(a[0], b[0]) ? -1 : Values.less(b[0], a[0]) ? 1 : 0);
    }
    out.append('{');
    for (int i = 0; i < entries.size(); i++) {
      separate(i, depth);
      text(key(entries.get(i)[0]));
      out.append(keySeparator);
      value(entries.get(i)[1], depth + 1);
    }
    end(!entries.isEmpty(), depth);
    out.append('}');
  }

  private static String key(Object k) {
    if (Values.isText(k)) {
      return Values.text(k);
    }
    if (k == null) {
      return "null";
    }
    if (k instanceof Boolean) {
      return k.toString();
    }
    if (k instanceof Double d) {
      return number(d);
    }
    if (Numbers.isInteger(k)) {
      return Numbers.text(Numbers.big(k));
    }
    throw Failure.type("keys must be str, int, float, bool or None, not %s", Values.typeName(k));
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
            out.append("\\u").append(Text.hex(c, 4));
          } else {
            out.append(c);
          }
        }
      }
    }
    out.append('"');
  }
}
