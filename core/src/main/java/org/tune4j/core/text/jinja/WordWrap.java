package org.tune4j.core.text.jinja;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Words: counting them, and wrapping lines as Python's {@code textwrap.wrap} does. */
final class WordWrap {
  private static final String SPACE = "[\\t\\n\\x0b\\x0c\\r ]";
  private static final String NO_SPACE = "[^\\t\\n\\x0b\\x0c\\r ]";
  private static final String PUNCTUATION = "[\\w!\"'&.,?]";
  private static final String LETTER = "[\\w&&[^\\d]]";

  /** The pieces that lines are made of: spaces, words, parts of hyphenated words, dashes. */
  private static final Pattern PIECE =
      Pattern.compile(
          "(?:S+|(?<=P)-{2,}(?=\\w)|N+?(?:-(?:(?<=L{2}-)|(?<=L-P-))(?=L-?L)|(?=S|\\z)|(?<=P)(?=-{2,}\\w)))"
              .replace("S", SPACE)
              .replace("N", NO_SPACE)
              .replace("P", PUNCTUATION)
              .replace("L", LETTER),
          Pattern.UNICODE_CHARACTER_CLASS);

  private static final Pattern SIMPLE_PIECE = Pattern.compile(SPACE + "+|" + NO_SPACE + "+");

  private WordWrap() {}

  static long count(Run run, String s) {
    run.scanned(s.length());
    long words = 0;
    boolean within = false;
    for (int i = 0; i < s.length(); ) {
      int c = s.codePointAt(i);
      boolean letter = c == '_' || Character.isLetter(c) || StringMethods.isNumeric(c);
      words += letter && !within ? 1 : 0;
      within = letter;
      i += Character.charCount(c);
    }
    return words;
  }

  static Object format(Run run, Object[] v) {
    if (!Values.isText(v[0])) {
      throw v[0] instanceof Undefined u
          ? u.failure()
          : Failure.type("'%s' object has no attribute 'splitlines'", Values.typeName(v[0]));
    }
    long width = Arithmetic.longIndex(Filters.absent(v[1], 79L));
    boolean breakWords = v[2] == Frame.MISSING || Values.truth(v[2]);
    Object with = v[3] == Frame.MISSING || v[3] == null ? "\n" : v[3];
    if (!Values.isText(with)) {
      throw Failure.type("'%s' object has no attribute 'join'", Values.typeName(with));
    }
    boolean breakHyphens = v[4] == Frame.MISSING || Values.truth(v[4]);
    if (width <= 0) {
      throw Failure.value("invalid width %d (must be > 0)", width);
    }
    List<String> lines = new ArrayList<>();
    for (Object line : Text.splitLines(Values.text(v[0]), false)) {
      run.scanned(16L * ((String) line).length());
      lines.add(
          String.join(Values.text(with), wrap((String) line, width, breakWords, breakHyphens)));
    }
    String text = String.join(Values.text(with), lines);
    run.made(text.length());
    return text;
  }

  private static List<String> wrap(
      String line, long width, boolean breakWords, boolean breakHyphens) {
    Deque<String> pieces = new ArrayDeque<>();
    Matcher m = (breakHyphens ? PIECE : SIMPLE_PIECE).matcher(line);
    while (m.find()) {
      if (!m.group().isEmpty()) {
        pieces.add(m.group());
      }
    }
    List<String> lines = new ArrayList<>();
    while (!pieces.isEmpty()) {
      List<String> current = new ArrayList<>();
      long length = 0;
      if (!lines.isEmpty() && isBlank(pieces.peek())) {
        pieces.pop();
      }
      while (!pieces.isEmpty() && length + Text.length(pieces.peek()) <= width) {
        length += Text.length(pieces.peek());
        current.add(pieces.pop());
      }
      if (!pieces.isEmpty() && Text.length(pieces.peek()) > width) {
        if (breakWords) {
          breakWord(pieces, current, (int) (width - length), breakHyphens);
        } else if (current.isEmpty()) {
          current.add(pieces.pop());
        }
      }
      if (!current.isEmpty() && isBlank(current.get(current.size() - 1))) {
        current.remove(current.size() - 1);
      }
      if (!current.isEmpty()) {
        lines.add(String.join("", current));
      }
    }
    return lines;
  }

  private static void breakWord(
      Deque<String> pieces, List<String> current, int room, boolean breakHyphens) {
    String word = pieces.pop();
    int end = room;
    if (breakHyphens && Text.length(word) > room) {
      int hyphen = Text.slice(word, 0, room).lastIndexOf('-');
      if (hyphen > 0 && word.substring(0, hyphen).chars().anyMatch(c -> c != '-')) {
        end = word.codePointCount(0, hyphen) + 1;
      }
    }
    current.add(Text.slice(word, 0, end));
    pieces.push(Text.slice(word, end, Text.length(word)));
  }

  private static boolean isBlank(String s) {
    return Text.strip(s, null, true, true).isEmpty();
  }
}
