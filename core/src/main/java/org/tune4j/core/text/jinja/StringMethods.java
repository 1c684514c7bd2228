package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
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
  /** What gives escaped text when called on escaped text. */
  private static final ImmutableSet<String> KEEP_MARKUP =
      ImmutableSet.of(
          "capitalize",
          "casefold",
          "center",
          "expandtabs",
          "format",
          "format_map",
          "join",
          "ljust",
          "lower",
          "lstrip",
          "partition",
          "removeprefix",
          "removesuffix",
          "replace",
          "rjust",
          "rpartition",
          "rsplit",
          "rstrip",
          "split",
          "splitlines",
          "strip",
          "swapcase",
          "title",
          "translate",
          "upper",
          "zfill");

  private static final ImmutableMap<String, Builtin> METHODS = methods();

  private StringMethods() {}

  /** Returns a method of a text; {@link Frame#MISSING} if there is none of that name. */
  static Object attribute(Object owner, String name) {
    Builtin method = METHODS.get(name);
    return method == null ? Frame.MISSING : method.bind(owner);
  }

  /** What a method does with the text and its arguments. */
  private interface Body {
    Object call(Run run, String s, Object[] v);
  }

  private static ImmutableMap<String, Builtin> methods() {
    Map<String, Builtin> m = new HashMap<>();
    add(m, "upper", "/ self", (run, s, v) -> Text.upper(s));
    add(m, "lower", "/ self", (run, s, v) -> Text.lower(s));
    add(m, "casefold", "/ self", (run, s, v) -> Text.foldCase(s));
    add(m, "capitalize", "/ self", (run, s, v) -> Text.capitalize(s));
    add(m, "title", "/ self", (run, s, v) -> Text.titleWords(s));
    add(m, "swapcase", "/ self", (run, s, v) -> Text.swapCase(s));
    add(m, "strip", "/ self chars?", (run, s, v) -> Text.strip(s, set(v[1]), true, true));
    add(m, "lstrip", "/ self chars?", (run, s, v) -> Text.strip(s, set(v[1]), true, false));
    add(m, "rstrip", "/ self chars?", (run, s, v) -> Text.strip(s, set(v[1]), false, true));
    add(m, "split", "self sep? maxsplit?", (run, s, v) -> split(run, s, v, false));
    add(m, "rsplit", "self sep? maxsplit?", (run, s, v) -> split(run, s, v, true));
    add(
        m,
        "splitlines",
        "self keepends?",
        (run, s, v) -> {
          List<Object> lines = Text.splitLines(s, v[1] != Frame.MISSING && Values.truth(v[1]));
          run.madeElements(12L * lines.size(), lines.size());
          return lines;
        });
    add(m, "partition", "/ self sep", (run, s, v) -> partition(s, v[1], false));
    add(m, "rpartition", "/ self sep", (run, s, v) -> partition(s, v[1], true));
    add(m, "startswith", "/ self prefix start? end?", (run, s, v) -> affixed(s, v, true));
    add(m, "endswith", "/ self suffix start? end?", (run, s, v) -> affixed(s, v, false));
    add(
        m,
        "removeprefix",
        "/ self prefix",
        (run, s, v) -> s.startsWith(text(v[1])) ? s.substring(text(v[1]).length()) : s);
    add(
        m,
        "removesuffix",
        "/ self suffix",
        (run, s, v) -> {
          String suffix = text(v[1]);
          return s.endsWith(suffix) ? s.substring(0, s.length() - suffix.length()) : s;
        });
    add(
        m,
        "replace",
        "/ self old new count?",
        (run, s, v) -> {
          String old = text(v[1]);
          String with = v[0] instanceof Markup ? Filters.escaped(run, v[2]) : text(v[2]);
          return replace(run, s, old, with, optionalIndex(v[3], -1));
        });
    add(m, "find", "/ self sub start? end?", (run, s, v) -> find(s, v, false));
    add(m, "rfind", "/ self sub start? end?", (run, s, v) -> find(s, v, true));
    add(m, "index", "/ self sub start? end?", (run, s, v) -> found(find(s, v, false)));
    add(m, "rindex", "/ self sub start? end?", (run, s, v) -> found(find(s, v, true)));
    add(m, "count", "/ self sub start? end?", (run, s, v) -> count(s, v));
    add(m, "join", "/ self iterable", (run, s, v) -> join(run, v[0], v[1]));
    m.put("format", Builtin.free("format", StringMethods::format));
    add(m, "format_map", "/ self mapping", (run, s, v) -> BraceFormat.formatMap(run, v[0], v[1]));
    add(m, "zfill", "/ self width", (run, s, v) -> zeroFilled(run, s, v[1]));
    add(m, "ljust", "/ self width fill?", (run, s, v) -> padded(run, s, v, 0));
    add(m, "rjust", "/ self width fill?", (run, s, v) -> padded(run, s, v, 1));
    add(m, "center", "/ self width fill?", (run, s, v) -> padded(run, s, v, 2));
    add(m, "expandtabs", "self tabsize?", (run, s, v) -> expandTabs(run, s, v[1]));
    add(m, "translate", "/ self table", (run, s, v) -> translate(run, s, v[1]));
    for (String bytes : List.of("encode", "maketrans")) {
      m.put(
          bytes,
          Builtin.free(
              bytes,
              (run, a) -> {
                throw Failure.runtime("str.%s is not known", bytes);
              }));
    }
    add(m, "isspace", "/ self", (run, s, v) -> all(s, Text::isSpace));
    add(m, "isalpha", "/ self", (run, s, v) -> all(s, Character::isLetter));
    add(m, "isdecimal", "/ self", (run, s, v) -> all(s, StringMethods::isDecimal));
    add(m, "isdigit", "/ self", (run, s, v) -> all(s, StringMethods::isDigit));
    add(m, "isnumeric", "/ self", (run, s, v) -> all(s, StringMethods::isNumeric));
    add(m, "isalnum", "/ self", (run, s, v) -> all(s, c -> Character.isLetter(c) || isNumeric(c)));
    add(m, "isascii", "/ self", (run, s, v) -> s.chars().allMatch(c -> c < 128));
    add(m, "isprintable", "/ self", (run, s, v) -> s.codePoints().allMatch(Text::isPrintable));
    add(m, "isidentifier", "/ self", (run, s, v) -> isIdentifier(s));
    add(m, "isupper", "/ self", (run, s, v) -> isCase(s, true));
    add(m, "islower", "/ self", (run, s, v) -> isCase(s, false));
    add(m, "istitle", "/ self", (run, s, v) -> isTitle(s));
    return ImmutableMap.copyOf(m);
  }

  private static void add(Map<String, Builtin> into, String name, String signature, Body body) {
    into.put(
        name,
        Builtin.function(
            name,
            signature,
            (run, v) -> {
              String s = Values.text(v[0]);
              run.scanned(s.length());
              Object result = body.call(run, s, v);
              if (result instanceof String made) {
                run.made(made.length());
              }
              return v[0] instanceof Markup && KEEP_MARKUP.contains(name) ? marked(result) : result;
            }));
  }

  private static Object marked(Object v) {
    if (v instanceof String s) {
      return new Markup(s);
    }
    if (v instanceof List<?> list) {
      return markedAll(list);
    }
    return v instanceof Tuple t ? new Tuple(markedAll(t.items())) : v;
  }

  private static List<Object> markedAll(List<?> items) {
    List<Object> all = new ArrayList<>();
    items.forEach(x -> all.add(marked(x)));
    return all;
  }

  private static Object format(Run run, Arguments a) {
    Object self = a.positional().get(0);
    Object result = BraceFormat.format(run, self, a.drop(1));
    return self instanceof Markup ? marked(result) : result;
  }

  private static String text(Object v) {
    if (!Values.isText(v)) {
      throw Failure.type("must be str, not %s", Values.typeName(v));
    }
    return Values.text(v);
  }

  private static String set(Object v) {
    return v == Frame.MISSING || v == null ? null : text(v);
  }

  private static long optionalIndex(Object v, long otherwise) {
    return v == Frame.MISSING ? otherwise : Arithmetic.longIndex(v);
  }

  private static Object split(Run run, String s, Object[] v, boolean fromRight) {
    long limit = optionalIndex(v[2], -1);
    boolean atSpace = v[1] == Frame.MISSING || v[1] == null;
    List<Object> parts;
    if (atSpace && fromRight && limit >= 0) {
      parts = reversedWords(s, limit);
    } else if (atSpace) {
      parts = Text.words(s, limit);
    } else {
      String separator = text(v[1]);
      if (separator.isEmpty()) {
        throw Failure.value("empty separator");
      }
      parts = fromRight ? splitFromRight(s, separator, limit) : split(s, separator, limit);
    }
    run.madeElements(12L * parts.size(), parts.size());
    return parts;
  }

  private static List<Object> reversedWords(String s, long limit) {
    List<Object> parts = new ArrayList<>();
    for (Object word : Text.words(Text.reversed(s), limit)) {
      parts.add(Text.reversed((String) word));
    }
    Collections.reverse(parts);
    return parts;
  }

  private static List<Object> split(String s, String separator, long limit) {
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

  private static List<Object> splitFromRight(String s, String separator, long limit) {
    List<Object> parts = new ArrayList<>();
    int end = s.length();
    for (int at = s.lastIndexOf(separator);
        at >= 0 && (limit < 0 || parts.size() < limit);
        at = end < separator.length() ? -1 : s.lastIndexOf(separator, end - separator.length())) {
      parts.add(s.substring(at + separator.length(), end));
      end = at;
    }
    parts.add(s.substring(0, end));
    Collections.reverse(parts);
    return parts;
  }

  private static Object partition(String s, Object separatorValue, boolean last) {
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

  /** Part of a text that start and end leave; null if start is beyond the end. */
  private static String part(String s, Object start, Object end) {
    int size = Text.length(s);
    long from = start == Frame.MISSING || start == null ? 0 : Arithmetic.longIndex(start);
    long to = end == Frame.MISSING || end == null ? size : Arithmetic.longIndex(end);
    from = from < 0 ? Math.max(0, Math.max(from, -size) + size) : from;
    to = to < 0 ? Math.max(0, Math.max(to, -size) + size) : Math.min(to, size);
    return from > to || from > size ? null : Text.slice(s, (int) from, (int) to);
  }

  private static boolean affixed(String s, Object[] v, boolean prefix) {
    List<Object> affixes = v[1] instanceof Tuple t ? t.items() : Arrays.asList(v[1]);
    String part = part(s, v[2], v[3]);
    for (Object affix : affixes) {
      if (!Values.isText(affix)) {
        throw Failure.type(
            "%s first arg must be str or a tuple of str, not %s",
            prefix ? "startswith" : "endswith", Values.typeName(affix));
      }
      String a = Values.text(affix);
      if (part != null && (prefix ? part.startsWith(a) : part.endsWith(a))) {
        return true;
      }
    }
    return false;
  }

  private static Object find(String s, Object[] v, boolean last) {
    String sub = text(v[1]);
    String part = part(s, v[2], v[3]);
    int at = part == null ? -1 : last ? part.lastIndexOf(sub) : part.indexOf(sub);
    if (at < 0) {
      return -1L;
    }
    int size = Text.length(s);
    long from = v[2] == Frame.MISSING || v[2] == null ? 0 : Arithmetic.longIndex(v[2]);
    from = from < 0 ? Math.max(0, Math.max(from, -size) + size) : from;
    return from + part.codePointCount(0, at);
  }

  private static Object found(Object at) {
    if (at.equals(-1L)) {
      throw Failure.value("substring not found");
    }
    return at;
  }

  private static Object count(String s, Object[] v) {
    String sub = text(v[1]);
    String part = part(s, v[2], v[3]);
    if (part == null) {
      return 0L;
    }
    if (sub.isEmpty()) {
      return Text.length(part) + 1L;
    }
    long count = 0;
    for (int at = part.indexOf(sub); at >= 0; at = part.indexOf(sub, at + sub.length())) {
      count++;
    }
    return count;
  }

  static String replace(Run run, String s, String old, String with, long limit) {
    StringBuilder out = new StringBuilder();
    long count = 0;
    if (old.isEmpty()) {
      for (int i = 0; i <= s.length() && (limit < 0 || count < limit); count++) {
        out.append(with);
        int next = i < s.length() ? i + Character.charCount(s.codePointAt(i)) : i + 1;
        out.append(s, i, Math.min(next, s.length()));
        run.checkSize(out.length());
        i = next;
      }
      int done = s.offsetByCodePoints(0, (int) Math.min(count, Text.length(s)));
      return out.append(s, done, s.length()).toString();
    }
    int start = 0;
    for (int at = s.indexOf(old);
        at >= 0 && (limit < 0 || count < limit);
        at = s.indexOf(old, start)) {
      out.append(s, start, at).append(with);
      run.checkSize(out.length());
      start = at + old.length();
      count++;
    }
    return start == 0 && count == 0 ? s : out.append(s, start, s.length()).toString();
  }

  private static Object join(Run run, Object separatorValue, Object items) {
    boolean markup = separatorValue instanceof Markup;
    String separator = Values.text(separatorValue);
    if (Values.iteratorOrNull(items) == null) {
      throw Failure.type("can only join an iterable");
    }
    StringBuilder out = new StringBuilder();
    int index = 0;
    for (Iterator<Object> i = Values.iterator(items); i.hasNext(); index++) {
      Object item = i.next();
      run.step();
      if (!markup && !Values.isText(item)) {
        throw Failure.type(
            "sequence item %d: expected str instance, %s found", index, Values.typeName(item));
      }
      out.append(index == 0 ? "" : separator)
          .append(markup ? Filters.escaped(run, item) : Values.text(item));
      run.checkSize(out.length());
    }
    return out.toString();
  }

  private static String zeroFilled(Run run, String s, Object widthValue) {
    long missing = Arithmetic.longIndex(widthValue) - Text.length(s);
    if (missing <= 0) {
      return s;
    }
    run.made(missing);
    boolean signed = s.startsWith("-") || s.startsWith("+");
    return (signed ? s.substring(0, 1) : "")
        + "0".repeat((int) missing)
        + s.substring(signed ? 1 : 0);
  }

  private static String padded(Run run, String s, Object[] v, int side) {
    long width = Arithmetic.longIndex(v[1]);
    String fill = v[2] == Frame.MISSING ? " " : text(v[2]);
    if (Text.length(fill) != 1) {
      throw Failure.type("The fill character must be exactly one character long");
    }
    long missing = Math.max(0, width - Text.length(s));
    run.made(missing);
    // as Python centres: an odd space goes left if the width is odd
    long left =
        switch (side) {
          case 0 -> 0;
          case 1 -> missing;
          default -> missing / 2 + (missing & width & 1);
        };
    return fill.repeat((int) left) + s + fill.repeat((int) (missing - left));
  }

  /** Returns a text centred in a field, as {@code str.center} does. */
  static String centered(Run run, String s, Object width) {
    return padded(run, s, new Object[] {s, width, Frame.MISSING}, 2);
  }

  private static String expandTabs(Run run, String s, Object size) {
    long tab = size == Frame.MISSING ? 8 : Arithmetic.longIndex(size);
    StringBuilder out = new StringBuilder();
    long column = 0;
    for (int i = 0; i < s.length(); i++) {
      char c = s.charAt(i);
      if (c == '\t') {
        long spaces = tab <= 0 ? 0 : tab - column % tab;
        run.made(out.length() + spaces);
        out.append(" ".repeat((int) spaces));
        column += spaces;
      } else {
        out.append(c);
        column = c == '\n' || c == '\r' ? 0 : column + (Character.isLowSurrogate(c) ? 0 : 1);
      }
    }
    return out.toString();
  }

  private static String translate(Run run, String s, Object table) {
    StringBuilder out = new StringBuilder();
    for (int i = 0; i < s.length(); i += Character.charCount(s.codePointAt(i))) {
      int c = s.codePointAt(i);
      Object to = Attributes.item(run, table, (long) c);
      if (to instanceof Undefined) {
        out.appendCodePoint(c);
      } else if (to instanceof Long n && n >= 0 && n <= Character.MAX_CODE_POINT) {
        out.appendCodePoint(n.intValue());
      } else if (Values.isText(to)) {
        out.append(Values.text(to));
      } else if (to != null) {
        throw Failure.type("character mapping must return integer, None or str");
      }
      run.checkSize(out.length());
    }
    return out.toString();
  }

  private static boolean all(String s, IntPredicate test) {
    return !s.isEmpty() && s.codePoints().allMatch(test);
  }

  private static boolean isDecimal(int c) {
    return Character.getType(c) == Character.DECIMAL_DIGIT_NUMBER;
  }

  /** Decimal digits, and those that are raised, lowered or in a circle. */
  private static boolean isDigit(int c) {
    if (c < 128 || isDecimal(c)) {
      return isDecimal(c);
    }
    return c == 0xB2
        || c == 0xB3
        || c == 0xB9
        || (c >= 0x1369 && c <= 0x1371)
        || c == 0x19DA
        || c == 0x2070
        || (c >= 0x2074 && c <= 0x2079)
        || (c >= 0x2080 && c <= 0x2089)
        || (c >= 0x2460 && c <= 0x2468)
        || (c >= 0x2474 && c <= 0x247C)
        || (c >= 0x2488 && c <= 0x2490)
        || c == 0x24EA
        || (c >= 0x24F5 && c <= 0x24FD)
        || c == 0x24FF
        || (c >= 0x2776 && c <= 0x277E)
        || (c >= 0x2780 && c <= 0x2788)
        || (c >= 0x278A && c <= 0x2792)
        || (c >= 0x10A40 && c <= 0x10A43)
        || (c >= 0x10E60 && c <= 0x10E68)
        || (c >= 0x11052 && c <= 0x1105A)
        || (c >= 0x1F100 && c <= 0x1F10A);
  }

  static boolean isNumeric(int c) {
    int type = Character.getType(c);
    return type == Character.DECIMAL_DIGIT_NUMBER
        || type == Character.LETTER_NUMBER
        || type == Character.OTHER_NUMBER
        || (c >= 0x3400 && NUMBER_IDEOGRAPHS.indexOf(c) >= 0);
  }

  /** Ideographs that mean numbers. */
  private static final String NUMBER_IDEOGRAPHS =
      "㐅㒃㠪㭍一七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾廿弌弍弎弐拾捌柒漆玖百肆萬貮貳贰阡陆陌陸零"
          + "\uF96B\uF973\uF978\uF9B2\uF9D1\uF9D3\uF9FD";

  private static boolean isIdentifier(String s) {
    for (int i = 0; i < s.length(); ) {
      int c = s.codePointAt(i);
      boolean part =
          i == 0 ? Character.isUnicodeIdentifierStart(c) : Character.isUnicodeIdentifierPart(c);
      if (c != '_' && (!part || Character.isIdentifierIgnorable(c))) {
        return false;
      }
      i += Character.charCount(c);
    }
    return !s.isEmpty();
  }

  static boolean isCase(String s, boolean upper) {
    return s.codePoints().anyMatch(Text::isCased)
        && s.codePoints()
            .noneMatch(
                c ->
                    Character.isTitleCase(c)
                        || (upper ? Character.isLowerCase(c) : Character.isUpperCase(c)));
  }

  private static boolean isTitle(String s) {
    boolean afterCased = false;
    boolean any = false;
    for (int c : s.codePoints().toArray()) {
      boolean upper = Character.isUpperCase(c) || Character.isTitleCase(c);
      if (upper ? afterCased : Character.isLowerCase(c) && !afterCased) {
        return false;
      }
      afterCased = Text.isCased(c);
      any |= afterCased;
    }
    return any;
  }
}
