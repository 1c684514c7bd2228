package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.IntFunction;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Python's string semantics: code points, white space and case. */
final class Text {
  private Text() {}

  private static final String LINE_BREAKS = "\n\u000B\f\r\u001C\u001D\u001E\u0085\u2028\u2029";
  private static final String SPACES =
      LINE_BREAKS + "\t \u001F\u00A0\u1680\u202F\u205F\u3000" + characters(0x2000, 0x200A);

  private static final Pattern LINE_BREAK = Pattern.compile("\r\n|[" + LINE_BREAKS + "]");
  private static final Pattern WORD = Pattern.compile("[^" + SPACES + "]++");

  private static String characters(int first, int last) {
    return IntStream.rangeClosed(first, last)
        .mapToObj(Character::toString)
        .collect(Collectors.joining());
  }

  /** Returns {@code str.isspace} of a character. */
  static boolean isSpace(int c) {
    return (c <= ' ' || c > '~') && SPACES.indexOf(c) >= 0;
  }

  static int length(String s) {
    return s.codePointCount(0, s.length());
  }

  /** Returns code points from start to end, which are within the text. */
  static String slice(String s, int start, int end) {
    if (start >= end) {
      return "";
    }
    int from = s.offsetByCodePoints(0, start);
    return s.substring(from, s.offsetByCodePoints(from, end - start));
  }

  static String reversed(String s) {
    return new StringBuilder(s).reverse().toString();
  }

  /** Compares by code points, as Python orders text. */
  static int compare(String a, String b) {
    return Arrays.compare(a.codePoints().toArray(), b.codePoints().toArray());
  }

  static List<Object> splitLines(String s, boolean keepEnds) {
    List<Object> lines = new ArrayList<>();
    int start = 0;
    for (Matcher m = LINE_BREAK.matcher(s); m.find(); start = m.end()) {
      lines.add(s.substring(start, keepEnds ? m.end() : m.start()));
    }
    if (start < s.length()) {
      lines.add(s.substring(start));
    }
    return lines;
  }

  /** Strips the characters of a set, or white space if it is null. */
  static String strip(String s, String set, boolean left, boolean right) {
    int start = 0;
    int end = s.length();
    while (left && start < end && isOf(set, s.codePointAt(start))) {
      start += Character.charCount(s.codePointAt(start));
    }
    while (right && end > start && isOf(set, s.codePointBefore(end))) {
      end -= Character.charCount(s.codePointBefore(end));
    }
    return s.substring(start, end);
  }

  private static boolean isOf(String set, int c) {
    return set == null ? isSpace(c) : set.indexOf(c) >= 0;
  }

  /** Splits at white space, at most {@code limit} times from the left; negative for no limit. */
  static List<Object> words(String s, long limit) {
    List<Object> words = new ArrayList<>();
    Matcher m = WORD.matcher(s);
    while ((limit < 0 || words.size() < limit) && m.find()) {
      words.add(m.group());
    }
    String rest =
        limit < 0 ? "" : strip(s.substring(words.isEmpty() ? 0 : m.end()), null, true, false);
    if (!rest.isEmpty()) {
      words.add(rest);
    }
    return words;
  }

  // ---- cases

  static String upper(String s) {
    return s.toUpperCase(Locale.ROOT);
  }

  static String lower(String s) {
    return s.toLowerCase(Locale.ROOT);
  }

  /** Returns the text folded for case-insensitive comparison. */
  static String foldCase(String s) {
    return each(
        s,
        c -> {
          if (c == 0x131) {
            return "\u0131"; // a dotless i folds to itself
          }
          if ((c >= 0x13A0 && c <= 0x13FD) || (c >= 0xAB70 && c <= 0xABBF)) {
            throw Failure.unsupported("casefold of Cherokee");
          }
          // one by one, as a final sigma is not a special case here
          return c == 0x1E9E ? "ss" : each(upper(Character.toString(c)), Text::lower);
        });
  }

  private static String each(String s, IntFunction<String> change) {
    StringBuilder out = new StringBuilder(s.length());
    s.codePoints().forEach(c -> out.append(change.apply(c)));
    return out.toString();
  }

  private static String lower(int c) {
    return lower(Character.toString(c));
  }

  /** Returns a character in title case. */
  private static String title(int c) {
    int simple = Character.toTitleCase(c);
    String upper = upper(Character.toString(c));
    int first = upper.codePointAt(0);
    String rest = upper.substring(Character.charCount(first));
    if (simple != c || rest.isEmpty()) {
      return Character.toString(simple); // which need not be upper case
    }
    boolean letters =
        Character.isUpperCase(first) && rest.codePoints().allMatch(Character::isLetter);
    return letters ? Character.toString(first) + lower(rest) : upper;
  }

  static String capitalize(String s) {
    if (s.isEmpty()) {
      return s;
    }
    int first = s.codePointAt(0);
    // lower-cased together with the first character, which matters for a final sigma
    String lowered = lower(s);
    return title(first) + lowered.substring(Math.min(lower(first).length(), lowered.length()));
  }

  /** Returns every word's first letter in title case and the others in lower case. */
  static String titleWords(String s) {
    return recased(s, (c, inWord) -> inWord ? null : title(c));
  }

  static String swapCase(String s) {
    return recased(
        s,
        (c, inWord) ->
            Character.isUpperCase(c)
                ? null
                : Character.isLowerCase(c) ? upper(Character.toString(c)) : Character.toString(c));
  }

  private interface Recasing {
    /** Returns the replacement of a character; null for its lower case. */
    String apply(int c, boolean inWord);
  }

  private static String recased(String s, Recasing change) {
    StringBuilder out = new StringBuilder(s.length());
    String lowered = lower(s);
    boolean sameLength = lowered.length() == s.length(); // a final sigma depends on its context
    boolean inWord = false;
    for (int i = 0; i < s.length(); ) {
      int c = s.codePointAt(i);
      int next = i + Character.charCount(c);
      String changed = change.apply(c, inWord);
      out.append(changed != null ? changed : sameLength ? lowered.substring(i, next) : lower(c));
      inWord = isCased(c);
      i = next;
    }
    return out.toString();
  }

  static boolean isCased(int c) {
    return Character.isUpperCase(c) || Character.isLowerCase(c) || Character.isTitleCase(c);
  }

  static boolean isCase(String s, boolean upper) {
    return s.codePoints().anyMatch(Text::isCased)
        && s.codePoints()
            .noneMatch(
                c ->
                    Character.isTitleCase(c)
                        || (upper ? Character.isLowerCase(c) : Character.isUpperCase(c)));
  }

  static boolean isTitle(String s) {
    boolean afterCased = false;
    boolean any = false;
    for (int c : s.codePoints().toArray()) {
      boolean upper = Character.isUpperCase(c) || Character.isTitleCase(c);
      if (upper ? afterCased : Character.isLowerCase(c) && !afterCased) {
        return false;
      }
      afterCased = isCased(c);
      any |= afterCased;
    }
    return any;
  }

  // ---- kinds of characters

  /** Superscript, subscript and circled digits below U+10000. */
  private static final String SPECIAL_DIGITS =
      "\u00B2\u00B3\u00B9\u19DA\u2070\u24EA\u24FF"
          + characters(0x1369, 0x1371)
          + characters(0x2074, 0x2079)
          + characters(0x2080, 0x2089)
          + characters(0x2460, 0x2468)
          + characters(0x2474, 0x247C)
          + characters(0x2488, 0x2490)
          + characters(0x24F5, 0x24FD)
          + characters(0x2776, 0x277E)
          + characters(0x2780, 0x2788)
          + characters(0x278A, 0x2792);

  static boolean isDecimal(int c) {
    return Character.getType(c) == Character.DECIMAL_DIGIT_NUMBER;
  }

  static boolean isDigit(int c) {
    if (c > 0xFFFF && Character.getType(c) == Character.OTHER_NUMBER) {
      throw Failure.unsupported("isdigit of a number beyond U+FFFF");
    }
    return isDecimal(c) || SPECIAL_DIGITS.indexOf(c) >= 0;
  }

  static boolean isNumeric(int c) {
    if (Character.isIdeographic(c)) {
      throw Failure.unsupported("to ask whether an ideograph is a number");
    }
    int type = Character.getType(c);
    return type == Character.DECIMAL_DIGIT_NUMBER
        || type == Character.LETTER_NUMBER
        || type == Character.OTHER_NUMBER;
  }

  static boolean isIdentifier(String s) {
    boolean first = true;
    for (int c : s.codePoints().toArray()) {
      boolean part =
          first ? Character.isUnicodeIdentifierStart(c) : Character.isUnicodeIdentifierPart(c);
      if (c != '_' && (!part || Character.isIdentifierIgnorable(c))) {
        return false;
      }
      first = false;
    }
    return !first;
  }

  static boolean isPrintable(int c) {
    return switch (Character.getType(c)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.SURROGATE,
          Character.PRIVATE_USE,
          Character.UNASSIGNED,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR ->
          false;
      case Character.SPACE_SEPARATOR -> c == ' ';
      default -> true;
    };
  }
}
