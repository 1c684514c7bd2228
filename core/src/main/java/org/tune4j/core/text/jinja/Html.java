package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableMap;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The filters for web pages, which prompts hardly use: tags, links, attributes, addresses. */
final class Html {
  /** Longer words are no links. Expressions that look for links take their time over words. */
  private static final int LONGEST_LINK = 2000;

  private static final Pattern ATTRIBUTE_BREAK = Pattern.compile("[\\s/>=]");
  private static final Pattern SCHEME = Pattern.compile("[\\w.+-]{2,}:(/){0,2}");
  private static final Pattern HEAD = Pattern.compile("^(?:[(<]|&lt;)++");
  private static final Pattern TAIL = Pattern.compile("(?:[)>.,\\n]|&gt;)++$");
  private static final Pattern LINK =
      Pattern.compile(
          "^((https?://|www\\.)(([\\w%-]++\\.)+)?([a-z]{2,63}|xn--[\\w%]{2,59})"
              + "|([\\w%-]{2,63}\\.)+(com|net|int|edu|gov|org|info|mil)"
              + "|(https?://)((([\\d]{1,3})(\\.[\\d]{1,3}){3})"
              + "|(\\[([\\da-f]{0,4}:){2}([\\da-f]{0,4}:?){1,6}\\])))"
              + "(?::[\\d]{1,5})?(?:[/?#]\\S*)?$",
          Pattern.CASE_INSENSITIVE | Pattern.UNICODE_CASE | Pattern.UNICODE_CHARACTER_CLASS);
  private static final Pattern MAIL =
      Pattern.compile("^\\S+@\\w[\\w.-]*\\.\\w+$", Pattern.UNICODE_CHARACTER_CLASS);
  private static final Pattern ENTITY =
      Pattern.compile("&(#[0-9]{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z0-9]{1,32};?)");

  /** The entities of XML and those that texts have most. */
  private static final ImmutableMap<String, String> ENTITIES =
      ImmutableMap.<String, String>builder()
          .put("amp", "&")
          .put("lt", "<")
          .put("gt", ">")
          .put("quot", "\"")
          .put("apos", "'")
          .put("nbsp", "\u00A0")
          .put("copy", "\u00A9")
          .put("reg", "\u00AE")
          .put("deg", "\u00B0")
          .put("raquo", "\u00BB")
          .put("laquo", "\u00AB")
          .put("middot", "\u00B7")
          .put("times", "\u00D7")
          .put("eacute", "\u00E9")
          .put("hellip", "\u2026")
          .put("ndash", "\u2013")
          .put("mdash", "\u2014")
          .put("lsquo", "\u2018")
          .put("rsquo", "\u2019")
          .put("ldquo", "\u201C")
          .put("rdquo", "\u201D")
          .put("bull", "\u2022")
          .put("euro", "\u20AC")
          .put("trade", "\u2122")
          .buildOrThrow();

  private Html() {}

  /** Removes comments and tags, and makes white space single spaces. */
  static Object stripTags(Run run, String s) {
    String text = without(without(s, "<!--", "-->"), "<", ">");
    StringBuilder joined = new StringBuilder();
    for (Object word : Text.words(text, -1)) {
      joined.append(joined.isEmpty() ? "" : " ").append(word);
    }
    String result = unescape(joined.toString());
    run.made(result.length());
    return result;
  }

  private static String without(String s, String open, String close) {
    StringBuilder out = new StringBuilder();
    int from = 0;
    while (true) {
      int start = s.indexOf(open, from);
      int end = start < 0 ? -1 : s.indexOf(close, start);
      if (end < 0) {
        return out.append(s, from, s.length()).toString();
      }
      out.append(s, from, start);
      from = end + close.length();
    }
  }

  private static String unescape(String s) {
    Matcher m = ENTITY.matcher(s);
    StringBuilder out = new StringBuilder();
    while (m.find()) {
      String name = m.group(1).replace(";", "");
      String value;
      if (name.startsWith("#")) {
        boolean hex = name.charAt(1) == 'x' || name.charAt(1) == 'X';
        int point =
            hex ? Integer.parseInt(name.substring(2), 16) : Integer.parseInt(name.substring(1));
        value = point > Character.MAX_CODE_POINT ? "\uFFFD" : Character.toString(point);
      } else {
        value = ENTITIES.getOrDefault(name, m.group());
      }
      m.appendReplacement(out, Matcher.quoteReplacement(value));
    }
    return m.appendTail(out).toString();
  }

  static Object urlEncode(Run run, Object v) {
    Iterator<Object> items = Values.isText(v) ? null : Values.iteratorOrNull(v);
    if (items == null) {
      return quote(run, v, "/");
    }
    if (v instanceof Map<?, ?> map) {
      items = new Values.DictView("dict_items", map).iterator();
    }
    List<String> all = new ArrayList<>();
    while (items.hasNext()) {
      List<Object> pair = Values.list(run, items.next());
      if (pair.size() != 2) {
        throw Failure.value(
            "%s values to unpack (expected 2)", pair.size() > 2 ? "too many" : "not enough");
      }
      all.add(
          quote(run, pair.get(0), "").replace("%20", "+")
              + "="
              + quote(run, pair.get(1), "").replace("%20", "+"));
    }
    return String.join("&", all);
  }

  private static String quote(Run run, Object v, String safe) {
    StringBuilder out = new StringBuilder();
    for (byte b : Values.str(run, v).getBytes(StandardCharsets.UTF_8)) {
      char c = (char) (b & 0xFF);
      boolean plain = c < 128 && (Character.isLetterOrDigit(c) || "_.-~".indexOf(c) >= 0);
      if (plain || safe.indexOf(c) >= 0) {
        out.append(c);
      } else {
        out.append('%').append(Text.upper(Text.hex(c, 2)));
      }
    }
    run.made(out.length());
    return out.toString();
  }

  static Object attributes(Run run, Object[] v) {
    if (v[0] instanceof Undefined u) {
      throw u.failure();
    }
    if (!(v[0] instanceof Map<?, ?> map)) {
      throw Failure.type("'%s' object has no attribute 'items'", Values.typeName(v[0]));
    }
    List<String> all = new ArrayList<>();
    for (Map.Entry<?, ?> e : map.entrySet()) {
      Object value = e.getValue();
      if (value == null || value instanceof Undefined) {
        continue;
      }
      Object key = Values.unkey(e.getKey());
      if (!Values.isText(key)) {
        throw Failure.type("expected string or bytes-like object, got '%s'", Values.typeName(key));
      }
      if (ATTRIBUTE_BREAK.matcher(Values.text(key)).find()) {
        throw Failure.value("Invalid character in attribute name: %s", Values.quoted(key));
      }
      all.add(Filters.escaped(run, key) + "=\"" + Filters.escaped(run, value) + "\"");
    }
    String text = String.join(" ", all);
    boolean space = v[1] == Frame.MISSING || Values.truth(v[1]);
    return space && !text.isEmpty() ? " " + text : text;
  }

  /** Makes links of addresses in a text. */
  static Object urlize(Run run, Object[] v) {
    TreeSet<String> rel = new TreeSet<>(List.of("noopener"));
    if (v[4] != Frame.MISSING && Values.truth(v[4])) {
      Text.words(Values.str(run, v[4]), -1).forEach(w -> rel.add((String) w));
    }
    if (Filters.truth(v[2])) {
      rel.add("nofollow");
    }
    Object target = Filters.absent(v[3], null);
    String attributes =
        " rel=\"%s\"%s"
            .formatted(
                Filters.escape(String.join(" ", rel)),
                target == null || !Values.truth(target)
                    ? ""
                    : " target=\"%s\"".formatted(Filters.escaped(run, target)));
    Object limit = Filters.absent(v[1], null);
    List<String> schemes = new ArrayList<>();
    if (v[5] != Frame.MISSING && v[5] != null) {
      for (Object scheme : Values.list(run, v[5])) {
        if (!Values.isText(scheme) || !SCHEME.matcher(Values.text(scheme)).matches()) {
          throw Filters.argument("%s is not a valid URI scheme prefix.", Values.quoted(scheme));
        }
        schemes.add(Values.text(scheme));
      }
    }
    String s = Filters.escaped(run, v[0]);
    StringBuilder out = new StringBuilder();
    int i = 0;
    while (i < s.length()) {
      int start = i;
      boolean space = Text.isSpace(s.charAt(i));
      while (i < s.length() && Text.isSpace(s.charAt(i)) == space) {
        i++;
      }
      String word = s.substring(start, i);
      out.append(
          space || word.length() > LONGEST_LINK
              ? word
              : link(
                  word, attributes, limit == null ? null : Arithmetic.longIndex(limit), schemes));
      run.step();
      run.scanned(64);
      run.checkSize(out.length());
    }
    run.made(out.length());
    return out.toString();
  }

  private static String link(String word, String attributes, Long limit, List<String> schemes) {
    String middle = word;
    Matcher m = HEAD.matcher(middle);
    String head = m.find() ? m.group() : "";
    middle = middle.substring(head.length());
    m = TAIL.matcher(middle);
    String tail = m.find() ? m.group() : "";
    middle = middle.substring(0, middle.length() - tail.length());
    for (String[] pair : new String[][] {{"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}}) {
      int opened = occurrences(middle, pair[0]);
      if (opened <= occurrences(middle, pair[1])) {
        continue;
      }
      int move = Math.min(opened, occurrences(tail, pair[1]));
      for (int i = 0; i < move; i++) {
        int end = tail.indexOf(pair[1]) + pair[1].length();
        middle += tail.substring(0, end);
        tail = tail.substring(end);
      }
    }
    return head + linked(middle, attributes, limit, schemes) + tail;
  }

  private static String linked(String s, String attributes, Long limit, List<String> schemes) {
    if (LINK.matcher(s).find()) {
      boolean full = s.startsWith("https://") || s.startsWith("http://");
      return "<a href=\"%s%s\"%s>%s</a>"
          .formatted(full ? "" : "https://", s, attributes, shortened(s, limit));
    }
    if (s.startsWith("mailto:") && MAIL.matcher(s.substring(7)).find()) {
      return "<a href=\"%s\">%s</a>".formatted(s, s.substring(7));
    }
    if (s.contains("@")
        && !s.startsWith("www.")
        && !s.startsWith("@")
        && !s.contains(":")
        && MAIL.matcher(s).find()) {
      return "<a href=\"mailto:%s\">%s</a>".formatted(s, s);
    }
    String result = s;
    for (String scheme : schemes) {
      if (!result.equals(scheme) && result.startsWith(scheme)) {
        result = "<a href=\"%s\"%s>%s</a>".formatted(result, attributes, result);
      }
    }
    return result;
  }

  private static String shortened(String s, Long limit) {
    return limit == null || Text.length(s) <= limit
        ? s
        : Text.slice(s, 0, (int) Math.max(0, limit)) + "...";
  }

  private static int occurrences(String s, String part) {
    int count = 0;
    for (int i = s.indexOf(part); i >= 0; i = s.indexOf(part, i + part.length())) {
      count++;
    }
    return count;
  }
}
