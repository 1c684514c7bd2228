package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableMap;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.TemplateException.Kind;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Tuple;

/** The filters of Jinja, {@code value|filter}; those on strings and numbers are here. */
final class Filters {
  static final ImmutableMap<String, Builtin> ALL = all();

  private Filters() {}

  private static ImmutableMap<String, Builtin> all() {
    Map<String, Builtin> f = new HashMap<>();
    Builtin.add(f, "abs", "/ x", v -> absolute(v[0]));
    Builtin.add(f, "attr", "obj name", v -> attribute(v[0], v[1]));
    Builtin.add(f, "capitalize", "s", v -> method("capitalize", v[0]));
    Builtin.add(
        f, "center", "value width?", v -> method("center", v[0], Builtin.absent(v[1], 80L)));
    for (String name : List.of("count", "length")) {
      Builtin.add(f, name, "/ obj", v -> (long) Values.length(v[0]));
    }
    for (String name : List.of("d", "default")) {
      Builtin.add(f, name, "value default_value? boolean?", Filters::orDefault);
    }
    for (String name : List.of("e", "escape")) {
      Builtin.add(f, name, "/ s", v -> new Markup(escaped(v[0])));
    }
    Builtin.add(f, "float", "value default?", v -> toFloat(v[0], Builtin.absent(v[1], 0.0)));
    Builtin.add(f, "forceescape", "value", v -> new Markup(escape(Printing.str(v[0]))));
    f.put("format", Builtin.free("format", Filters::format));
    Builtin.add(f, "indent", "s width? first? blank?", Filters::indent);
    Builtin.add(f, "int", "value default? base?", Filters::toInt);
    Builtin.add(f, "lower", "s", v -> method("lower", v[0]));
    Builtin.add(f, "replace", "s old new count?", Filters::replace);
    Builtin.add(f, "round", "value precision? method?", Filters::round);
    Builtin.add(
        f, "safe", "value", v -> v[0] instanceof Markup ? v[0] : new Markup(Printing.str(v[0])));
    Builtin.add(f, "string", "/ s", v -> soft(v[0]));
    Builtin.add(f, "title", "s", v -> title(Printing.str(v[0])));
    Builtin.add(f, "tojson", "x ensure_ascii? indent? separators? sort_keys?", Json::dump);
    Builtin.add(f, "trim", "value chars?", v -> method("strip", v[0], Builtin.absent(v[1], null)));
    Builtin.add(f, "upper", "s", v -> method("upper", v[0]));
    RareFilters.addTo(f);
    SequenceFilters.addTo(f);
    return ImmutableMap.copyOf(f);
  }

  /** Returns the truth of an argument that defaults to false. */
  static boolean truth(Object v) {
    return v != Scope.MISSING && Values.truth(v);
  }

  /** Returns a string unchanged, and other values as strings. */
  static Object soft(Object v) {
    return Values.isText(v) ? v : Printing.str(v);
  }

  private static Object method(String name, Object self, Object... arguments) {
    return StringMethods.ALL.get(name).call(Arguments.of(arguments).prepend(soft(self)));
  }

  /** Returns a value as a string escaped for HTML; {@link Markup} is not escaped again. */
  static String escaped(Object v) {
    return v instanceof Markup m ? m.text() : escape(Printing.str(v));
  }

  static String escape(String s) {
    return s.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\"", "&#34;")
        .replace("'", "&#39;");
  }

  private static Object absolute(Object v) {
    if (!Numbers.isNumber(v)) {
      throw Failure.type("bad operand type for abs(): '%s'", Values.typeName(v));
    }
    Object n = Numbers.plain(v);
    return n instanceof Double d ? (Object) Math.abs(d) : Numbers.normal(Numbers.big(n).abs());
  }

  private static Object attribute(Object owner, Object name) {
    if (!Values.isText(name)) {
      throw Failure.type("attribute name must be string, not '%s'", Values.typeName(name));
    }
    Object attribute = Attributes.attribute(owner, name.toString());
    if (attribute == Scope.MISSING) {
      Values.defined(owner);
      return Undefined.element(owner, name);
    }
    return attribute;
  }

  private static Object orDefault(Object[] v) {
    boolean missing = v[0] instanceof Undefined || (truth(v[2]) && !Values.truth(v[0]));
    return missing ? Builtin.absent(v[1], "") : v[0];
  }

  /** Returns Python's {@code float(v)}. */
  static double floatOf(Object v) {
    if (Values.isText(v)) {
      return Numbers.parseFloat(v.toString());
    }
    if (!Numbers.isNumber(Values.defined(v))) {
      throw Failure.type("float() argument must not be '%s'", Values.typeName(v));
    }
    return Numbers.toDouble(v);
  }

  private static boolean isTypeOrValue(Failure e) {
    return e.kind == Kind.TYPE || e.kind == Kind.VALUE;
  }

  private static Object toFloat(Object v, Object otherwise) {
    try {
      return floatOf(v);
    } catch (Failure e) {
      if (isTypeOrValue(e)) {
        return otherwise;
      }
      throw e;
    }
  }

  private static Object toInt(Object[] v) {
    try {
      if (Values.isText(v[0])) {
        return Numbers.parseInteger(v[0].toString(), Numbers.index(Builtin.absent(v[2], 10L)));
      }
      if (Numbers.isInteger(v[0])) {
        return Numbers.plain(v[0]);
      }
      return Numbers.integer(floatOf(v[0]));
    } catch (Failure e) {
      if (!isTypeOrValue(e)) {
        throw e;
      }
    }
    try {
      return Numbers.integer(floatOf(v[0])); // "42.23" is 42
    } catch (Failure e) {
      if (isTypeOrValue(e) || e.kind == Kind.OVERFLOW) {
        return Builtin.absent(v[1], 0L);
      }
      throw e;
    }
  }

  private static Object format(Arguments a) {
    if (a.positional().size() > 1 && !a.named().isEmpty()) {
      throw Failure.runtime("format takes values by position or by name, not both");
    }
    Object format = soft(a.positional().get(0));
    return Format.percent(
        format, a.named().isEmpty() ? Tuple.of(a.rest().positional()) : new HashMap<>(a.named()));
  }

  private static Object indent(Object[] v) {
    if (!Values.isText(Values.defined(v[0]))) {
      throw Failure.type("indent needs a text, not '%s'", Values.typeName(v[0]));
    }
    Object width = Builtin.absent(v[1], 4L);
    String indention =
        Values.isText(width) ? width.toString() : Operators.binary("*", " ", width).toString();
    List<Object> lines = Text.splitLines(v[0] + "\n", false);
    StringBuilder out = new StringBuilder(truth(v[2]) ? indention : "");
    for (int i = 0; i < lines.size(); i++) {
      String line = (String) lines.get(i);
      out.append(i == 0 ? "" : "\n");
      out.append(i > 0 && (truth(v[3]) || !line.isEmpty()) ? indention : "").append(line);
      Run.now().checkSize(out.length());
    }
    Run.now().made(out.length());
    return v[0] instanceof Markup ? new Markup(out.toString()) : out.toString();
  }

  private static Object replace(Object[] v) {
    Object count = Builtin.absent(v[3], null);
    String s = Printing.str(v[0]);
    Run.now().scanned(s.length());
    String result =
        StringMethods.replace(
            s, Printing.str(v[1]), Printing.str(v[2]), count == null ? -1 : Numbers.index(count));
    Run.now().made(result.length());
    return result;
  }

  private static Object round(Object[] v) {
    Object method = Builtin.absent(v[2], "common");
    if (!List.of("common", "ceil", "floor").contains(Printing.str(method))) {
      throw Failure.runtime("method must be common, ceil or floor");
    }
    Object precision = Builtin.absent(v[1], 0L);
    if (Printing.str(method).equals("common")) {
      if (!Numbers.isNumber(v[0])) {
        throw Failure.type("'%s' cannot be rounded", Values.typeName(v[0]));
      }
      if (precision == null) {
        return v[0] instanceof Double d ? Numbers.integer(Math.rint(d)) : Numbers.plain(v[0]);
      }
      return Numbers.round(v[0], Numbers.index(precision));
    }
    Object power = Operators.binary("**", 10L, precision);
    Object scaled = Operators.binary("*", v[0], power);
    if (!Numbers.isNumber(scaled)) {
      throw Failure.type("must be real number, not %s", Values.typeName(scaled));
    }
    if (scaled instanceof Double d) {
      Numbers.integer(d); // rejects non-finite values
      boolean up = Printing.str(method).equals("ceil");
      RoundingMode mode = up ? RoundingMode.CEILING : RoundingMode.FLOOR;
      scaled = Numbers.normal(new BigDecimal(d).setScale(0, mode).toBigInteger());
    }
    return Operators.binary("/", scaled, power);
  }

  /** Jinja's own title case: words start after white space and some brackets. */
  private static String title(String s) {
    StringBuilder out = new StringBuilder(s.length());
    for (int i = 0; i < s.length(); ) {
      boolean between = isWordStart(s.charAt(i));
      int start = i;
      while (i < s.length() && isWordStart(s.charAt(i)) == between) {
        i++;
      }
      int first = between ? i : start + Character.charCount(s.codePointAt(start));
      out.append(Text.upper(s.substring(start, first))).append(Text.lower(s.substring(first, i)));
    }
    Run.now().made(out.length());
    return out.toString();
  }

  private static boolean isWordStart(char c) {
    return Text.isSpace(c) || "-({[<".indexOf(c) >= 0;
  }
}
