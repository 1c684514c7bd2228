package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.IntPredicate;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Tuple;

/** The methods of Python's {@code str}. */
final class StringMethods {
  /** A method of a string and its arguments. */
  private interface Body {
    Object call(String s, Object[] v);
  }

  static final ImmutableMap<String, Builtin> ALL = all();

  private StringMethods() {}

  private static ImmutableMap<String, Builtin> all() {
    Map<String, Builtin> m = new HashMap<>();
    add(m, "upper", "/ self", (s, v) -> Text.upper(s));
    add(m, "lower", "/ self", (s, v) -> Text.lower(s));
    add(m, "casefold", "/ self", (s, v) -> Text.foldCase(s));
    add(m, "capitalize", "/ self", (s, v) -> Text.capitalize(s));
    add(m, "title", "/ self", (s, v) -> Text.titleWords(s));
    add(m, "swapcase", "/ self", (s, v) -> Text.swapCase(s));
    add(m, "strip", "/ self chars?", (s, v) -> Text.strip(s, set(v[1]), true, true));
    add(m, "lstrip", "/ self chars?", (s, v) -> Text.strip(s, set(v[1]), true, false));
    add(m, "rstrip", "/ self chars?", (s, v) -> Text.strip(s, set(v[1]), false, true));
    add(m, "split", "self sep? maxsplit?", (s, v) -> split(s, v, false));
    add(m, "rsplit", "self sep? maxsplit?", (s, v) -> split(s, v, true));
    add(m, "splitlines", "self keepends?", (s, v) -> counted(Text.splitLines(s, truth(v[1]))));
    add(m, "partition", "/ self sep", (s, v) -> partition(s, v[1], false));
    add(m, "rpartition", "/ self sep", (s, v) -> partition(s, v[1], true));
    add(m, "startswith", "/ self prefix start? end?", (s, v) -> affixed(s, v, true));
    add(m, "endswith", "/ self suffix start? end?", (s, v) -> affixed(s, v, false));
    add(m, "removeprefix", "/ self prefix", (s, v) -> without(s, text(v[1]), true));
    add(m, "removesuffix", "/ self suffix", (s, v) -> without(s, text(v[1]), false));
    add(
        m,
        "replace",
        "/ self old new count?",
        (s, v) -> {
          String with = v[0] instanceof Markup ? Filters.escaped(v[2]) : text(v[2]);
          return replace(s, text(v[1]), with, limit(v[3]));
        });
    add(m, "find", "/ self sub start? end?", (s, v) -> find(s, v, false));
    add(m, "rfind", "/ self sub start? end?", (s, v) -> find(s, v, true));
    add(m, "index", "/ self sub start? end?", (s, v) -> found(find(s, v, false)));
    add(m, "rindex", "/ self sub start? end?", (s, v) -> found(find(s, v, true)));
    add(m, "count", "/ self sub start? end?", (s, v) -> count(s, v));
    add(m, "join", "/ self iterable", (s, v) -> join(v[0], v[1]));
    m.put("format", Builtin.free("format", Format::braces));
    add(m, "zfill", "/ self width", (s, v) -> zeroFilled(s, v[1]));
    add(m, "ljust", "/ self width fill?", (s, v) -> padded(s, v[1], v[2], Side.LEFT));
    add(m, "rjust", "/ self width fill?", (s, v) -> padded(s, v[1], v[2], Side.RIGHT));
    add(m, "center", "/ self width fill?", (s, v) -> padded(s, v[1], v[2], Side.CENTER));
    add(m, "expandtabs", "self tabsize?", (s, v) -> expandTabs(s, v[1]));
    for (String name : List.of("encode", "format_map", "isprintable", "maketrans", "translate")) {
      m.put(
          name,
          Builtin.free(
              name,
              a -> {
                throw Failure.unsupported("str.%s", name);
              }));
    }
    add(m, "isspace", "/ self", (s, v) -> all(s, Text::isSpace));
    add(m, "isalpha", "/ self", (s, v) -> all(s, Character::isLetter));
    add(m, "isdecimal", "/ self", (s, v) -> all(s, Text::isDecimal));
    add(m, "isdigit", "/ self", (s, v) -> all(s, Text::isDigit));
    add(m, "isnumeric", "/ self", (s, v) -> all(s, Text::isNumeric));
    add(m, "isalnum", "/ self", (s, v) -> all(s, c -> Character.isLetter(c) || Text.isNumeric(c)));
    add(m, "isascii", "/ self", (s, v) -> s.chars().allMatch(c -> c < 128));
    add(m, "isidentifier", "/ self", (s, v) -> Text.isIdentifier(s));
    add(m, "isupper", "/ self", (s, v) -> Text.isCase(s, true));
    add(m, "islower", "/ self", (s, v) -> Text.isCase(s, false));
    add(m, "istitle", "/ self", (s, v) -> Text.isTitle(s));
    return ImmutableMap.copyOf(m);
  }

  private static void add(Map<String, Builtin> into, String name, String signature, Body body) {
    Builtin.add(
        into,
        name,
        signature,
        v -> {
          String s = v[0].toString();
          Run.now().scanned(s.length());
          Object result = body.call(s, v);
          if (result instanceof String made) {
            Run.now().made(made.length());
          }
          return v[0] instanceof Markup ? marked(result) : result;
        });
  }

  /** Returns the result of a method of escaped text, in which strings are escaped as well. */
  private static Object marked(Object v) {
    if (v instanceof String s) {
      return new Markup(s);
    }
    if (!(v instanceof List<?> l)) {
      return v;
    }
    List<Object> all = l.stream().map(StringMethods::marked).toList();
    return v instanceof Tuple ? Tuple.of(all) : all;
  }

  private static boolean truth(Object v) {
    return v != Scope.MISSING && Values.truth(v);
  }

  private static String text(Object v) {
    if (!Values.isText(v)) {
      throw Failure.type("must be str, not %s", Values.typeName(v));
    }
    return v.toString();
  }

  private static String set(Object v) {
    return v == Scope.MISSING || v == null ? null : text(v);
  }

  /** Returns the maximum number of repetitions; negative if unlimited. */
  private static long limit(Object v) {
    return v == Scope.MISSING ? -1 : Numbers.index(v);
  }

  private static List<Object> counted(List<Object> parts) {
    Run.now().madeElements(12L * parts.size(), parts.size());
    return parts;
  }

  private static List<Object> split(String s, Object[] v, boolean fromRight) {
    boolean atSpace = v[1] == Scope.MISSING || v[1] == null;
    if (!fromRight) {
      return counted(atSpace ? Text.words(s, limit(v[2])) : split(s, text(v[1]), limit(v[2])));
    }
    String reversed = Text.reversed(s);
    List<Object> parts =
        new ArrayList<>(
            atSpace
                ? Text.words(reversed, limit(v[2]))
                : split(reversed, Text.reversed(text(v[1])), limit(v[2])));
    parts.replaceAll(p -> Text.reversed((String) p));
    Collections.reverse(parts);
    return counted(parts);
  }

  private static List<Object> split(String s, String separator, long limit) {
    if (separator.isEmpty()) {
      throw Failure.value("empty separator");
    }
    List<Object> parts = new ArrayList<>();
    int start = 0;
    for (int at = s.indexOf(separator);
        at >= 0 && (limit < 0 || parts.size() < limit);
        at = s.indexOf(separator, start)) {
      parts.add(s.substring(start, at));
      start = at + separator.length();
    }
    parts.add(s.substring(start));
    return parts;
  }

  private static Tuple partition(String s, Object separatorValue, boolean last) {
    String separator = text(separatorValue);
    if (separator.isEmpty()) {
      throw Failure.value("empty separator");
    }
    int at = last ? s.lastIndexOf(separator) : s.indexOf(separator);
    if (at < 0) {
      return last ? Tuple.of("", "", s) : Tuple.of(s, "", "");
    }
    return Tuple.of(s.substring(0, at), separator, s.substring(at + separator.length()));
  }

  /** Returns an index into a string; the argument may be absent or count from the end. */
  private static long index(Object v, int size, long otherwise) {
    if (v == Scope.MISSING || v == null) {
      return otherwise;
    }
    long i = Numbers.index(v);
    return i < 0 ? Math.max(0, Math.max(i, -size) + size) : i;
  }

  /** Returns the part of a string from start to end; null if start is beyond the end. */
  private static String part(String s, Object start, Object end) {
    int size = Text.length(s);
    long from = index(start, size, 0);
    long to = Math.min(index(end, size, size), size);
    return from > to ? null : Text.slice(s, (int) from, (int) to);
  }

  private static boolean affixed(String s, Object[] v, boolean prefix) {
    List<Object> affixes = v[1] instanceof Tuple t ? t : Arrays.asList(v[1]);
    String part = part(s, v[2], v[3]);
    for (Object affix : affixes) {
      String a = text(affix);
      if (part != null && (prefix ? part.startsWith(a) : part.endsWith(a))) {
        return true;
      }
    }
    return false;
  }

  private static String without(String s, String affix, boolean prefix) {
    if (prefix) {
      return s.startsWith(affix) ? s.substring(affix.length()) : s;
    }
    return s.endsWith(affix) ? s.substring(0, s.length() - affix.length()) : s;
  }

  private static long find(String s, Object[] v, boolean last) {
    String sub = text(v[1]);
    String part = part(s, v[2], v[3]);
    int at = part == null ? -1 : last ? part.lastIndexOf(sub) : part.indexOf(sub);
    return at < 0 ? -1 : index(v[2], Text.length(s), 0) + part.codePointCount(0, at);
  }

  private static long found(long at) {
    if (at < 0) {
      throw Failure.value("substring not found");
    }
    return at;
  }

  private static long count(String s, Object[] v) {
    String sub = text(v[1]);
    String part = part(s, v[2], v[3]);
    if (part == null) {
      return 0;
    }
    long count = sub.isEmpty() ? Text.length(part) + 1 : 0;
    for (int at = part.indexOf(sub);
        at >= 0 && !sub.isEmpty();
        at = part.indexOf(sub, at + sub.length())) {
      count++;
    }
    return count;
  }

  static String replace(String s, String old, String with, long limit) {
    StringBuilder out = new StringBuilder();
    int start = 0;
    long count = 0;
    // an empty string is found before each character and at the end
    for (int at = s.indexOf(old);
        at >= 0 && (limit < 0 || count < limit);
        at = next(s, old, start, at)) {
      out.append(s, start, at).append(with);
      Run.now().checkSize(out.length());
      start = at + old.length();
      count++;
    }
    return count == 0 ? s : out.append(s, start, s.length()).toString();
  }

  private static int next(String s, String old, int start, int at) {
    if (!old.isEmpty()) {
      return s.indexOf(old, start);
    }
    return at < s.length() ? at + Character.charCount(s.codePointAt(at)) : -1;
  }

  private static String join(Object separator, Object items) {
    if (Values.iteratorOrNull(items) == null) {
      throw Failure.type("can only join an iterable");
    }
    boolean markup = separator instanceof Markup;
    StringBuilder out = new StringBuilder();
    boolean first = true;
    for (Iterator<Object> i = Values.iterator(items); i.hasNext(); first = false) {
      Object item = i.next();
      Run.now().step();
      out.append(first ? "" : separator).append(markup ? Filters.escaped(item) : text(item));
      Run.now().checkSize(out.length());
    }
    return out.toString();
  }

  private static String zeroFilled(String s, Object width) {
    String sign = s.startsWith("-") || s.startsWith("+") ? s.substring(0, 1) : "";
    long missing = Math.max(0, Numbers.index(width) - Text.length(s));
    Run.now().made(missing);
    return sign + "0".repeat((int) missing) + s.substring(sign.length());
  }

  /** Alignment of a string in a field. */
  enum Side {
    LEFT,
    RIGHT,
    CENTER
  }

  static String padded(String s, Object widthValue, Object fillValue, Side side) {
    long width = Numbers.index(widthValue);
    String fill = fillValue == Scope.MISSING ? " " : text(fillValue);
    if (Text.length(fill) != 1) {
      throw Failure.type("The fill character must be exactly one character long");
    }
    long missing = Math.max(0, width - Text.length(s));
    Run.now().made(missing);
    // as in Python, an odd space goes to the left if the width is odd
    long left =
        side == Side.LEFT ? 0 : side == Side.RIGHT ? missing : missing / 2 + (missing & width & 1);
    return fill.repeat((int) left) + s + fill.repeat((int) (missing - left));
  }

  private static String expandTabs(String s, Object size) {
    long tab = size == Scope.MISSING ? 8 : Numbers.index(size);
    StringBuilder out = new StringBuilder();
    long column = 0;
    for (int c : s.codePoints().toArray()) {
      if (c == '\t') {
        long spaces = tab <= 0 ? 0 : tab - column % tab;
        Run.now().made(out.length() + spaces);
        out.append(" ".repeat((int) spaces));
        column += spaces;
      } else {
        out.appendCodePoint(c);
        column = c == '\n' || c == '\r' ? 0 : column + 1;
      }
    }
    return out.toString();
  }

  private static boolean all(String s, IntPredicate test) {
    return !s.isEmpty() && s.codePoints().allMatch(test);
  }
}
