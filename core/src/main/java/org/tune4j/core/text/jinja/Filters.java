package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableMap;
import com.google.errorprone.annotations.FormatMethod;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Tuple;

/** The filters of Jinja, {@code value|filter}; those on texts and on numbers. */
final class Filters {
  static final ImmutableMap<String, Builtin> ALL = all();

  private Filters() {}

  private static ImmutableMap<String, Builtin> all() {
    Map<String, Builtin> f = new HashMap<>();
    add(f, "abs", "/ x", (run, v) -> absolute(v[0]));
    add(f, "attr", "obj name", (run, v) -> attribute(v[0], v[1]));
    add(f, "capitalize", "s", (run, v) -> method(run, "capitalize", soft(run, v[0])));
    add(f, "center", "value width?", (run, v) -> centered(run, v));
    for (String name : List.of("count", "length")) {
      add(f, name, "/ obj", (run, v) -> (long) Values.length(v[0]));
    }
    for (String name : List.of("d", "default")) {
      add(f, name, "value default_value? boolean?", (run, v) -> orDefault(v));
    }
    for (String name : List.of("e", "escape")) {
      add(f, name, "/ s", (run, v) -> new Markup(escaped(run, v[0])));
    }
    add(f, "forceescape", "value", (run, v) -> new Markup(escape(Values.str(run, v[0]))));
    add(f, "filesizeformat", "value binary?", (run, v) -> fileSize(run, v));
    add(f, "float", "value default?", (run, v) -> toFloat(v[0], absent(v[1], 0.0)));
    f.put("format", Builtin.free("format", Filters::format));
    add(f, "indent", "s width? first? blank?", Filters::indent);
    add(f, "int", "value default? base?", (run, v) -> toInt(v));
    add(f, "lower", "s", (run, v) -> method(run, "lower", soft(run, v[0])));
    add(f, "pprint", "value", (run, v) -> PrettyPrint.format(run, v[0]));
    add(f, "replace", "s old new count?", Filters::replace);
    add(f, "round", "value precision? method?", (run, v) -> round(run, v));
    add(
        f,
        "safe",
        "value",
        (run, v) -> v[0] instanceof Markup ? v[0] : new Markup(Values.str(run, v[0])));
    add(f, "string", "/ s", (run, v) -> soft(run, v[0]));
    add(f, "striptags", "value", (run, v) -> Html.stripTags(run, Values.str(run, v[0])));
    add(f, "title", "s", (run, v) -> title(run, soft(run, v[0])));
    add(
        f,
        "tojson",
        "x ensure_ascii? indent? separators? sort_keys?",
        (run, v) ->
            Json.dump(run, v[0], truth(v[1]), absent(v[2], null), absent(v[3], null), truth(v[4])));
    add(f, "trim", "value chars?", Filters::trim);
    add(f, "truncate", "s length? killwords? end? leeway?", Filters::truncate);
    add(f, "upper", "s", (run, v) -> method(run, "upper", soft(run, v[0])));
    add(f, "urlencode", "value", (run, v) -> Html.urlEncode(run, v[0]));
    add(f, "urlize", "value trim_url_limit? nofollow? target? rel? extra_schemes?", Html::urlize);
    add(f, "wordcount", "s", (run, v) -> WordWrap.count(run, Values.text(soft(run, v[0]))));
    add(
        f,
        "wordwrap",
        "s width? break_long_words? wrapstring? break_on_hyphens?",
        WordWrap::format);
    add(f, "xmlattr", "d autospace?", Html::attributes);
    SequenceFilters.addTo(f);
    return ImmutableMap.copyOf(f);
  }

  static void add(Map<String, Builtin> into, String name, String signature, Builtin.Body body) {
    into.put(name, Builtin.function(name, signature, body));
  }

  static Object absent(Object v, Object otherwise) {
    return v == Frame.MISSING ? otherwise : v;
  }

  static boolean truth(Object v) {
    return v != Frame.MISSING && Values.truth(v);
  }

  @FormatMethod
  static Failure argument(String format, Object... arguments) {
    return Failure.runtime(format, arguments);
  }

  /** Returns a text as it is, and of other values the text. */
  static Object soft(Run run, Object v) {
    return Values.isText(v) ? v : Values.str(run, v);
  }

  static Object method(Run run, String name, Object self, Object... arguments) {
    return ((Builtin) StringMethods.attribute(self, name)).call(run, Arguments.of(arguments));
  }

  /** Returns a value's text for HTML; of {@link Markup} the text as it is. */
  static String escaped(Run run, Object v) {
    return v instanceof Markup m ? m.text() : escape(Values.str(run, v));
  }

  static String escape(String s) {
    StringBuilder out = new StringBuilder(s.length());
    for (int i = 0; i < s.length(); i++) {
      char c = s.charAt(i);
      switch (c) {
        case '&' -> out.append("&amp;");
        case '<' -> out.append("&lt;");
        case '>' -> out.append("&gt;");
        case '"' -> out.append("&#34;");
        case '\'' -> out.append("&#39;");
        default -> out.append(c);
      }
    }
    return out.toString();
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
    String text = Values.text(name);
    Object attribute = Attributes.attribute(owner, text);
    boolean dunder = text.startsWith("__") && text.endsWith("__");
    if (attribute == Frame.MISSING && owner instanceof Undefined u && !dunder) {
      throw u.failure();
    }
    return attribute == Frame.MISSING ? Undefined.element(owner, name) : attribute;
  }

  private static Object centered(Run run, Object[] v) {
    Object text = soft(run, v[0]);
    return method(run, "center", text, absent(v[1], 80L));
  }

  private static Object orDefault(Object[] v) {
    boolean missing = v[0] instanceof Undefined || (truth(v[2]) && !Values.truth(v[0]));
    return missing ? absent(v[1], "") : v[0];
  }

  private static String fileSize(Run run, Object[] v) {
    double bytes = floatOf(v[0]);
    boolean binary = truth(v[1]);
    double base = binary ? 1024 : 1000;
    if (bytes == 1) {
      return "1 Byte";
    }
    if (bytes < base) {
      return Values.str(run, Numbers.integer(bytes)) + " Bytes";
    }
    String prefixes = "kMGTPEZY";
    double unit = base;
    for (int i = 0; i < prefixes.length(); i++) {
      unit *= base;
      if (bytes < unit || i == prefixes.length() - 1) {
        String size = Decimals.text(base * bytes / unit, 'f', 1, false);
        String prefix = binary ? Text.upper(prefixes.substring(i, i + 1)) + "iB" : null;
        return size + " " + (prefix == null ? prefixes.charAt(i) + "B" : prefix);
      }
    }
    throw new AssertionError();
  }

  /** Returns Python's {@code float(v)}. */
  private static double floatOf(Object v) {
    if (v instanceof Undefined u) {
      throw u.failure();
    }
    if (Values.isText(v)) {
      return Numbers.parseFloat(Values.text(v));
    }
    if (!Numbers.isNumber(v)) {
      throw Failure.type(
          "float() argument must be a string or a real number, not '%s'", Values.typeName(v));
    }
    return Numbers.toDouble(v);
  }

  private static boolean isTypeOrValue(Failure e) {
    return e.kind == TemplateException.Kind.TYPE || e.kind == TemplateException.Kind.VALUE;
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
    Object base = absent(v[2], 10L);
    try {
      if (Values.isText(v[0])) {
        return Numbers.parseInteger(Values.text(v[0]), Arithmetic.longIndex(base));
      }
      if (v[0] instanceof Double d) {
        return Numbers.integer(d);
      }
      if (Numbers.isInteger(v[0])) {
        return Numbers.plain(v[0]);
      }
      throw v[0] instanceof Undefined u
          ? u.failure()
          : Failure.type(
              "int() argument must be a string or a real number, not '%s'", Values.typeName(v[0]));
    } catch (Failure e) {
      if (!isTypeOrValue(e)) {
        throw e;
      }
    }
    try {
      return Numbers.integer(floatOf(v[0])); // "42.23" is 42
    } catch (Failure e) {
      if (isTypeOrValue(e) || e.kind == TemplateException.Kind.OVERFLOW) {
        return absent(v[1], 0L);
      }
      throw e;
    }
  }

  private static Object format(Run run, Arguments a) {
    if (a.positional().size() > 1 && !a.named().isEmpty()) {
      throw argument("can't handle positional and keyword arguments at the same time");
    }
    Object format = soft(run, a.positional().get(0));
    List<Object> rest = a.drop(1).positional();
    return PercentFormat.format(
        run, format, a.named().isEmpty() ? new Tuple(rest) : new HashMap<>(a.named()));
  }

  private static Object indent(Run run, Object[] v) {
    if (!Values.isText(v[0])) {
      throw v[0] instanceof Undefined u
          ? u.failure()
          : Failure.type(
              "unsupported operand type(s) for +=: '%s' and 'str'", Values.typeName(v[0]));
    }
    Object width = absent(v[1], 4L);
    String indention =
        Values.isText(width)
            ? Values.text(width)
            : (String) Arithmetic.binary(run, "*", " ", width);
    // escaped text escapes what is put between
    boolean markup = v[0] instanceof Markup;
    List<Object> lines = Text.splitLines(Values.text(v[0]) + "\n", false);
    boolean blank = truth(v[3]);
    StringBuilder out = new StringBuilder(truth(v[2]) ? indention : "");
    for (int i = 0; i < lines.size(); i++) {
      String line = (String) lines.get(i);
      out.append(i == 0 ? "" : "\n");
      out.append(i > 0 && (blank || !line.isEmpty()) ? indention : "").append(line);
      run.checkSize(out.length());
    }
    run.made(out.length());
    return markup ? new Markup(out.toString()) : out.toString();
  }

  private static Object replace(Run run, Object[] v) {
    long limit = v[3] == Frame.MISSING || v[3] == null ? -1 : Arithmetic.longIndex(v[3]);
    String s = Values.str(run, v[0]);
    run.scanned(s.length());
    String result =
        StringMethods.replace(run, s, Values.str(run, v[1]), Values.str(run, v[2]), limit);
    run.made(result.length());
    return result;
  }

  private static Object round(Run run, Object[] v) {
    Object method = absent(v[2], "common");
    if (method instanceof List || method instanceof Map) {
      throw Failure.type("unhashable type: '%s'", Values.typeName(method));
    }
    String how = Values.isText(method) ? Values.text(method) : "";
    if (!List.of("common", "ceil", "floor").contains(how)) {
      throw argument("method must be common, ceil or floor");
    }
    Object precision = absent(v[1], 0L);
    if (how.equals("common")) {
      if (!Numbers.isNumber(v[0])) {
        throw Failure.type("type %s doesn't define __round__ method", Values.typeName(v[0]));
      }
      if (precision == null) {
        return v[0] instanceof Double d ? Numbers.integer(Math.rint(d)) : Numbers.plain(v[0]);
      }
      return Numbers.round(v[0], Arithmetic.longIndex(precision));
    }
    Object power = Arithmetic.binary(run, "**", 10L, precision);
    Object scaled = Arithmetic.binary(run, "*", v[0], power);
    if (!Numbers.isNumber(scaled)) {
      throw Failure.type("must be real number, not %s", Values.typeName(scaled));
    }
    Object whole = scaled;
    if (scaled instanceof Double d) {
      Numbers.integer(d); // refuses what is not finite
      RoundingMode mode = how.equals("ceil") ? RoundingMode.CEILING : RoundingMode.FLOOR;
      BigInteger n = new BigDecimal(d).setScale(0, mode).toBigInteger();
      whole = Numbers.normal(n);
    }
    return Arithmetic.binary(run, "/", whole, power);
  }

  private static Object title(Run run, Object text) {
    String s = Values.text(text);
    StringBuilder out = new StringBuilder(s.length());
    int i = 0;
    while (i < s.length()) {
      int start = i;
      while (i < s.length() && isWordStart(s.charAt(i))) {
        i++;
      }
      out.append(s, start, i);
      start = i;
      while (i < s.length() && !isWordStart(s.charAt(i))) {
        i++;
      }
      if (i > start) {
        int first = Character.charCount(s.codePointAt(start));
        out.append(Text.upper(s.substring(start, start + first)))
            .append(Text.lower(s.substring(start + first, i)));
      }
    }
    run.made(out.length());
    return out.toString();
  }

  private static boolean isWordStart(char c) {
    return Text.isSpace(c) || "-({[<".indexOf(c) >= 0;
  }

  private static Object trim(Run run, Object[] v) {
    return method(run, "strip", soft(run, v[0]), absent(v[1], null));
  }

  private static Object truncate(Run run, Object[] v) {
    Object length = absent(v[1], 255L);
    Object end = absent(v[3], "...");
    Object leeway = v[4] == Frame.MISSING || v[4] == null ? (Object) 5L : v[4];
    int endLength = Values.length(end);
    if (!Arithmetic.compare(run, ">=", length, (long) endLength)) {
      throw Failure.value("expected length >= %d, got %s", endLength, Values.str(run, length));
    }
    if (!Arithmetic.compare(run, ">=", leeway, 0L)) {
      throw Failure.value("expected leeway >= 0, got %s", Values.str(run, leeway));
    }
    Object most = Arithmetic.binary(run, "+", length, leeway);
    if (Arithmetic.compare(run, "<=", (long) Values.length(v[0]), most)) {
      return v[0];
    }
    Object to = Arithmetic.binary(run, "-", length, (long) endLength);
    Object cut = Attributes.slice(run, v[0], null, to, null);
    if (!truth(v[2])) {
      if (!Values.isText(cut)) {
        throw Failure.type("'%s' object has no attribute 'rsplit'", Values.typeName(cut));
      }
      List<?> parts = (List<?>) method(run, "rsplit", cut, " ", 1L);
      cut = new ArrayList<Object>(parts).get(0);
    }
    return Arithmetic.binary(run, "+", cut, end);
  }
}
