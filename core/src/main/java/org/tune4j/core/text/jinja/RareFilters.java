package org.tune4j.core.text.jinja;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Filters for web pages and consoles, which prompts rarely use. Only their simple cases are
 * supported; others are rejected.
 */
final class RareFilters {
  private static final int PRETTY_WIDTH = 80;

  private RareFilters() {}

  static void addTo(Map<String, Builtin> f) {
    Builtin.add(f, "filesizeformat", "value binary?", RareFilters::fileSize);
    Builtin.add(f, "pprint", "value", v -> pretty(v[0]));
    Builtin.add(f, "striptags", "value", v -> stripTags(Printing.str(v[0])));
    Builtin.add(f, "truncate", "s length? killwords? end? leeway?", RareFilters::truncate);
    Builtin.add(f, "urlencode", "value", v -> urlEncode(v[0]));
    Builtin.add(f, "wordcount", "s", v -> wordCount(Printing.str(v[0])));
    Builtin.add(f, "wordwrap", "s width?", RareFilters::wordWrap);
    Builtin.add(f, "xmlattr", "d autospace?", RareFilters::xmlAttributes);
  }

  private static String fileSize(Object[] v) {
    double bytes = Filters.floatOf(v[0]);
    boolean binary = Filters.truth(v[1]);
    double base = binary ? 1024 : 1000;
    if (bytes == 1) {
      return "1 Byte";
    }
    if (bytes < base) {
      return Printing.str(Numbers.integer(bytes)) + " Bytes";
    }
    String prefixes = binary ? "KMGTPEZY" : "kMGTPEZY";
    double unit = base;
    int i = 0;
    while (bytes >= unit * base && i < prefixes.length() - 1) {
      unit *= base;
      i++;
    }
    Object size = Format.percent("%.1f", base * bytes / (unit * base));
    return size + " " + prefixes.charAt(i) + (binary ? "iB" : "B");
  }

  private static String pretty(Object v) {
    checkOrdered(v, 0);
    String text = Printing.repr(v);
    if (Text.length(text) > PRETTY_WIDTH) {
      throw Failure.unsupported("to pprint over several lines");
    }
    return text;
  }

  /** Rejects dicts that would be sorted. */
  private static void checkOrdered(Object v, int depth) {
    Values.checkDepth(depth);
    Run.now().step();
    if (v instanceof Map<?, ?> map) {
      if (map.size() > 1) {
        throw Failure.unsupported("to pprint dicts of several keys");
      }
      map.values().forEach(x -> checkOrdered(x, depth + 1));
    } else if (v instanceof List<?> l) {
      l.forEach(x -> checkOrdered(x, depth + 1));
    }
  }

  private static String stripTags(String s) {
    if (s.contains("&")) {
      throw Failure.unsupported("striptags of a text with entities");
    }
    StringBuilder out = new StringBuilder();
    for (Object word : Text.words(without(without(s, "<!--", "-->"), "<", ">"), -1)) {
      out.append(out.isEmpty() ? "" : " ").append(word);
    }
    Run.now().made(out.length());
    return out.toString();
  }

  private static String without(String s, String open, String close) {
    StringBuilder out = new StringBuilder();
    int from = 0;
    int start = s.indexOf(open);
    int end = start < 0 ? -1 : s.indexOf(close, start);
    while (end >= 0) {
      out.append(s, from, start);
      from = end + close.length();
      start = s.indexOf(open, from);
      end = start < 0 ? -1 : s.indexOf(close, start);
    }
    return out.append(s, from, s.length()).toString();
  }

  private static Object truncate(Object[] v) {
    long length = Numbers.index(Builtin.absent(v[1], 255L));
    Object leewayValue = Builtin.absent(v[4], null);
    long leeway = leewayValue == null ? 5 : Numbers.index(leewayValue);
    Object end = Builtin.absent(v[3], "...");
    if (!(v[0] instanceof String s) || !(end instanceof String)) {
      throw Failure.unsupported("truncate of %s", Values.typeName(v[0]));
    }
    long kept = length - Values.length(end);
    if (kept < 0 || leeway < 0) {
      throw Failure.value("the length or leeway of truncate is too small");
    }
    if (Text.length(s) <= length + leeway) {
      return s;
    }
    String cut = Text.slice(s, 0, (int) kept);
    int word = Filters.truth(v[2]) ? -1 : cut.lastIndexOf(' ');
    return (word < 0 ? cut : cut.substring(0, word)) + end;
  }

  private static String urlEncode(Object v) {
    if (v instanceof Map<?, ?> map) {
      List<String> all = new ArrayList<>();
      map.forEach((k, x) -> all.add(quoted(Values.unkey(k), "") + "=" + quoted(x, "")));
      return String.join("&", all).replace("%20", "+");
    }
    if (!Values.isText(v) && Values.iteratorOrNull(v) != null) {
      throw Failure.unsupported("urlencode of %s", Values.typeName(v));
    }
    return quoted(v, "/");
  }

  private static String quoted(Object v, String safe) {
    StringBuilder out = new StringBuilder();
    for (byte b : Printing.str(v).getBytes(StandardCharsets.UTF_8)) {
      char c = (char) (b & 0xFF);
      boolean plain = c < 128 && (Character.isLetterOrDigit(c) || "_.-~".indexOf(c) >= 0);
      if (plain || safe.indexOf(c) >= 0) {
        out.append(c);
      } else {
        out.append('%').append(Text.upper(Escapes.hex(2, c)));
      }
    }
    Run.now().made(out.length());
    return out.toString();
  }

  private static long wordCount(String s) {
    Run.now().scanned(s.length());
    long words = 0;
    boolean within = false;
    for (int c : s.codePoints().toArray()) {
      boolean letter = c == '_' || Character.isLetter(c) || Text.isNumeric(c);
      words += letter && !within ? 1 : 0;
      within = letter;
    }
    return words;
  }

  private static String wordWrap(Object[] v) {
    long width = Numbers.index(Builtin.absent(v[1], 79L));
    if (!(v[0] instanceof String s) || width <= 0) {
      throw Failure.unsupported("wordwrap of %s to %d", Values.typeName(v[0]), width);
    }
    List<String> lines = new ArrayList<>();
    for (Object line : Text.splitLines(s, false)) {
      StringBuilder current = new StringBuilder();
      for (String word : line.toString().split(" ", -1)) {
        boolean plain = word.indexOf('-') < 0 && word.chars().noneMatch(Text::isSpace);
        if (word.isEmpty() || !plain || Text.length(word) > width) {
          throw Failure.unsupported("wordwrap of a text with such words or spaces");
        }
        if (!current.isEmpty() && Text.length(current + " " + word) > width) {
          lines.add(current.toString());
          current.setLength(0);
        }
        current.append(current.isEmpty() ? "" : " ").append(word);
      }
      lines.add(current.toString());
    }
    Run.now().made(s.length());
    return String.join("\n", lines);
  }

  private static String xmlAttributes(Object[] v) {
    if (!(Values.defined(v[0]) instanceof Map<?, ?> map)) {
      throw Failure.type("'%s' object has no attribute 'items'", Values.typeName(v[0]));
    }
    List<String> all = new ArrayList<>();
    for (Map.Entry<?, ?> e : map.entrySet()) {
      if (e.getValue() == null || e.getValue() instanceof Undefined) {
        continue;
      }
      if (!(e.getKey() instanceof String key) || key.matches("(?s).*[\\s/>=].*")) {
        throw Failure.value(
            "%s is not an attribute name", Printing.quoted(Values.unkey(e.getKey())));
      }
      all.add(Filters.escape(key) + "=\"" + Filters.escaped(e.getValue()) + "\"");
    }
    boolean space = v[1] == Scope.MISSING || Values.truth(v[1]);
    return (space && !all.isEmpty() ? " " : "") + String.join(" ", all);
  }
}
