package org.tune4j.core.text.jinja;

import java.util.Map;
import org.tune4j.core.text.jinja.Values.Markup;

/** Python's {@code str.format}, whose fields reach no further than templates do. */
final class BraceFormat {
  private final Run run;
  private final boolean markup;
  private final Arguments arguments;
  private final Object mapping;
  private int automatic;
  private boolean manual;

  private BraceFormat(Run run, boolean markup, Arguments arguments, Object mapping) {
    this.run = run;
    this.markup = markup;
    this.arguments = arguments;
    this.mapping = mapping;
  }

  static Object format(Run run, Object format, Arguments arguments) {
    return new BraceFormat(run, format instanceof Markup, arguments, arguments.named())
        .expand(Values.text(format), 2);
  }

  static Object formatMap(Run run, Object format, Object mapping) {
    return new BraceFormat(run, format instanceof Markup, Arguments.NONE, mapping)
        .expand(Values.text(format), 2);
  }

  private String expand(String format, int depth) {
    if (depth < 0) {
      throw Failure.value("Max string recursion exceeded");
    }
    StringBuilder out = new StringBuilder();
    int i = 0;
    while (i < format.length()) {
      char c = format.charAt(i++);
      if (c != '{' && c != '}') {
        out.append(c);
        continue;
      }
      if (i < format.length() && format.charAt(i) == c) {
        out.append(c);
        i++;
        continue;
      }
      if (c == '}') {
        throw Failure.value("Single '}' encountered in format string");
      }
      if (i >= format.length()) {
        throw Failure.value("Single '{' encountered in format string");
      }
      int end = fieldEnd(format, i);
      out.append(field(format.substring(i, end), depth));
      run.checkSize(out.length());
      i = end + 1;
    }
    run.made(out.length());
    return out.toString();
  }

  /** Returns where the brace is that ends a field. */
  private static int fieldEnd(String format, int start) {
    int depth = 1;
    boolean bracket = false;
    boolean name = true;
    for (int i = start; i < format.length(); i++) {
      switch (format.charAt(i)) {
        case '[' -> bracket |= name;
        case ']' -> bracket = false;
        case ':', '!' -> name &= bracket;
        case '{' -> {
          if (!bracket) {
            if (name) {
              throw Failure.value("unexpected '{' in field name");
            }
            depth++;
          }
        }
        case '}' -> {
          if (!bracket && --depth == 0) {
            return i;
          }
        }
        default -> {
          // part of the field
        }
      }
    }
    throw Failure.value("expected '}' before end of string");
  }

  private String field(String field, int depth) {
    int split = 0;
    boolean bracket = false;
    while (split < field.length()) {
      char c = field.charAt(split);
      if (!bracket && (c == ':' || c == '!')) {
        break;
      }
      bracket = c == '[' || (bracket && c != ']');
      split++;
    }
    char conversion = 0;
    String spec = "";
    if (split < field.length() && field.charAt(split) == '!') {
      if (split + 1 >= field.length()) {
        throw Failure.value("end of string while looking for conversion specifier");
      }
      conversion = field.charAt(split + 1);
      String rest = field.substring(split + 2);
      if (!rest.isEmpty() && rest.charAt(0) != ':') {
        throw Failure.value("expected ':' after conversion specifier");
      }
      spec = rest.isEmpty() ? "" : rest.substring(1);
    } else if (split < field.length()) {
      spec = field.substring(split + 1);
    }
    Object v = lookup(field.substring(0, split));
    v =
        switch (conversion) {
          case 0 -> v;
          case 's' -> Values.str(run, v);
          case 'r' -> Values.repr(run, v);
          case 'a' -> PercentFormat.ascii(Values.repr(run, v));
          default ->
              throw Failure.value(
                  "Unknown conversion specifier %s", Character.toString(conversion));
        };
    String expanded = expand(spec, depth - 1);
    if (markup && v instanceof Markup m) {
      if (!expanded.isEmpty()) {
        throw Failure.value("Unsupported format specification for Markup.");
      }
      return m.text();
    }
    String text = FormatSpec.format(run, v, expanded);
    return markup ? Filters.escaped(run, text) : text;
  }

  private Object lookup(String name) {
    int end = 0;
    while (end < name.length() && name.charAt(end) != '.' && name.charAt(end) != '[') {
      end++;
    }
    Object v = first(name.substring(0, end));
    while (end < name.length()) {
      char c = name.charAt(end);
      if (c == '.') {
        int next = end + 1;
        while (next < name.length() && name.charAt(next) != '.' && name.charAt(next) != '[') {
          next++;
        }
        String attribute = name.substring(end + 1, next);
        if (attribute.isEmpty()) {
          throw Failure.value("Empty attribute in format string");
        }
        v = Attributes.get(run, v, attribute);
        end = next;
      } else if (c == '[') {
        int close = name.indexOf(']', end);
        if (close < 0) {
          throw Failure.value("Missing ']' in format string");
        }
        String key = name.substring(end + 1, close);
        if (key.isEmpty()) {
          throw Failure.value("Empty attribute in format string");
        }
        v = Attributes.item(run, v, isIndex(key) ? Numbers.parseInteger(key, 10) : key);
        end = close + 1;
      } else {
        throw Failure.value("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return v;
  }

  private static boolean isIndex(String s) {
    return !s.isEmpty() && s.chars().allMatch(c -> c >= '0' && c <= '9');
  }

  private Object first(String name) {
    if (!name.isEmpty() && !isIndex(name)) {
      if (mapping instanceof Map<?, ?> map) {
        if (!map.containsKey(name)) {
          throw Failure.value("no value named %s", Values.quoted(name));
        }
        return map.get(name);
      }
      if (mapping instanceof Undefined u) {
        throw u.failure();
      }
      throw Failure.type("'%s' object is not subscriptable", Values.typeName(mapping));
    }
    if (name.isEmpty() ? manual : automatic > 0) {
      throw Failure.value(
          "cannot switch between manual field specification and automatic field numbering");
    }
    manual |= !name.isEmpty();
    long index =
        name.isEmpty() ? automatic++ : Arithmetic.longIndex(Numbers.parseInteger(name, 10));
    if (index >= arguments.positional().size()) {
      throw Failure.value("Replacement index %d out of range for positional args tuple", index);
    }
    return arguments.positional().get((int) index);
  }
}
