package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * A regular expression with the semantics of Python's {@code re}, as used in PEFT configurations,
 * for matching names of modules.
 *
 * <p>It is translated into Java's dialect, which differs in group names and comments, in braces
 * that are not quantifiers, and inside brackets. Expressions that Python refuses are refused; so
 * are conditional groups, which Java lacks. Expressions come with adapters from untrusted sources:
 * nesting and repetition are limited, and matching uses a budget of {@linkplain Steps steps}.
 */
final class PythonRegex {
  private static final int MAX_LENGTH = 10_000;
  private static final int MAX_DEPTH = 100;
  private static final int MAX_REPEATS = 1000;
  private static final double MAX_GROUP_REPEATS = 100_000; // of groups within groups, together

  private final String field;
  private final String regex;
  private final Pattern pattern;

  private PythonRegex(String field, String regex, Pattern pattern) {
    this.field = field;
    this.regex = regex;
    this.pattern = pattern;
  }

  /**
   * Compiles an expression.
   *
   * @param field of the configuration, for messages
   * @param regex as given in the configuration, for messages
   * @param whole the expression that contains it
   * @throws IllegalArgumentException if it is malformed
   */
  static PythonRegex compile(String field, String regex, String whole) {
    checkArgument(
        regex.length() <= MAX_LENGTH,
        "%s: an expression of %s characters; at most %s are allowed",
        field,
        regex.length(),
        MAX_LENGTH);
    try {
      return new PythonRegex(
          field, regex, Pattern.compile(new Translation(whole, new StringBuilder()).run()));
    } catch (PatternSyntaxException e) {
      throw new IllegalArgumentException(
          "%s: '%s' is not a regular expression: %s".formatted(field, regex, e.getDescription()),
          e);
    }
  }

  /** Compiles an expression that is not part of another. */
  static PythonRegex compile(String field, String regex) {
    return compile(field, regex, regex);
  }

  /**
   * The remaining budget of matching, in characters read, at a few nanoseconds each.
   *
   * <p>A reasonable expression reads hundreds or thousands per name; one such as {@code (a+)+b}
   * exponentially many. That mostly shows at the first name.
   */
  static final class Steps {
    private static final long TOTAL = 20_000_000;
    private static final long PER_NAME = 2_000_000;
    private long left = TOTAL;

    void use(PythonRegex regex, String name) {
      if (--left < 0) {
        throw tooMany(regex, name);
      }
    }

    private static IllegalArgumentException tooMany(PythonRegex regex, String name) {
      return new IllegalArgumentException(
          "%s: '%s' takes too many steps to match (last tried on '%s'): simplify it"
              .formatted(regex.field, regex.regex, name));
    }
  }

  /** Returns whether it matches the whole name, like {@code re.fullmatch}. */
  boolean fullMatch(String name, Steps steps) {
    return run(pattern.matcher(new Counted(name, steps)), name, true);
  }

  /** Returns the match at the start of the name, like {@code re.match}; null if there is none. */
  Matcher match(String name, Steps steps) {
    Matcher m = pattern.matcher(new Counted(name, steps));
    return run(m, name, false) ? m : null;
  }

  private boolean run(Matcher m, String name, boolean whole) {
    try {
      return whole ? m.matches() : m.lookingAt();
    } catch (StackOverflowError e) {
      throw new IllegalArgumentException(
          "%s: '%s' is nested too deeply to match '%s': simplify it".formatted(field, regex, name),
          e);
    }
  }

  @Override
  public String toString() {
    return regex;
  }

  /** A name that counts the characters read. */
  private final class Counted implements CharSequence {
    private final String name;
    private final Steps steps;
    private long left = Steps.PER_NAME;

    Counted(String name, Steps steps) {
      this.name = name;
      this.steps = steps;
    }

    @Override
    public char charAt(int index) {
      steps.use(PythonRegex.this, name);
      if (--left < 0) {
        throw Steps.tooMany(PythonRegex.this, name);
      }
      return name.charAt(index);
    }

    @Override
    public int length() {
      return name.length();
    }

    @Override
    public CharSequence subSequence(int start, int end) {
      return name.substring(start, end);
    }

    @Override
    public String toString() {
      return name;
    }
  }

  /** Translates a Python expression into Java's dialect in one pass. */
  private static final class Translation {
    private final String in;
    private final StringBuilder out;
    private final Map<String, String> names = new LinkedHashMap<>();
    private final Deque<Double> repeats = new ArrayDeque<>(); // repeats within each open group
    private int at;
    private double closed; // repeats within the group that was just closed; 0 if none was

    Translation(String in, StringBuilder out) {
      this.in = in;
      this.out = out;
    }

    String run() {
      repeats.push(0.0);
      while (at < in.length()) {
        char c = in.charAt(at);
        if (c != '{') {
          closed = 0;
        }
        switch (c) {
          case '\\' -> escape(false);
          case '[' -> brackets();
          case '(' -> open();
          case '{' -> braces();
          case '}' -> literal("\\}");
          case ')' -> close();
          default -> literal(String.valueOf(c));
        }
      }
      return out.toString();
    }

    private void literal(String text) {
      out.append(text);
      at++;
    }

    private PatternSyntaxException error(String why) {
      return new PatternSyntaxException(why, in, at);
    }

    private void escape(boolean inBrackets) {
      if (at + 1 == in.length()) {
        throw error("it ends with a backslash");
      }
      char c = in.charAt(at + 1);
      at += 2;
      switch (c) {
        case 'a' -> out.append("\\x07");
        case 'v' -> out.append("\\x0B");
        case 'Z' -> out.append(only(!inBrackets, c, "\\z"));
        case 'b' -> out.append(inBrackets ? "\\x08" : "\\b");
        case 'A', 'B' -> out.append(only(!inBrackets, c, "\\" + c));
        case 'U' -> {
          out.append("\\x{").append(hex(8)).append('}');
          at += 8;
        }
        case 'u' -> {
          out.append("\\x{").append(hex(4)).append('}');
          at += 4;
        }
        case '0' -> {
          int end = at;
          while (end < Math.min(in.length(), at + 2) && "01234567".indexOf(in.charAt(end)) >= 0) {
            end++;
          }
          int code = end == at ? 0 : Integer.parseInt(in, at, end, 8);
          out.append("\\x{").append(Integer.toHexString(code)).append('}');
          at = end;
        }
        default ->
            out.append(only(!Character.isLetter(c) || "dDsSwWfnrtx".indexOf(c) >= 0, c, "\\" + c));
      }
    }

    private String only(boolean allowed, char c, String text) {
      if (!allowed) {
        throw error("Python has no escape \\" + c);
      }
      return text;
    }

    private String hex(int digits) {
      String text = in.substring(at, Math.min(in.length(), at + digits));
      if (!text.matches("[0-9a-fA-F]{" + digits + "}")) {
        throw error("an incomplete escape");
      }
      return text;
    }

    /** Escapes [ and &&, which only Java interprets inside brackets. */
    private void brackets() {
      literal("[");
      if (at < in.length() && in.charAt(at) == '^') {
        literal("^");
      }
      if (at < in.length() && in.charAt(at) == ']') {
        literal("\\]");
      }
      while (at < in.length() && in.charAt(at) != ']') {
        switch (in.charAt(at)) {
          case '\\' -> escape(true);
          case '[' -> literal("\\[");
          case '&' -> literal("\\&");
          default -> literal(in.substring(at, at + 1));
        }
      }
      if (at == in.length()) {
        throw error("a bracket is not closed");
      }
      literal("]");
    }

    private void close() {
      if (repeats.size() < 2) {
        throw error("a group is closed that was not opened");
      }
      closed = Math.max(1, repeats.pop());
      literal(")");
      repeat(closed);
    }

    private void repeat(double more) {
      repeats.push(repeats.pop() + more);
      if (repeats.peek() > MAX_GROUP_REPEATS) {
        throw error(TOO_OFTEN);
      }
    }

    private void open() {
      if (repeats.size() > MAX_DEPTH) {
        throw error("groups nest more than " + MAX_DEPTH + " deep");
      }
      repeats.push(0.0);
      if (in.startsWith("(?P<", at)) {
        int end = in.indexOf('>', at);
        String name = end < 0 ? "" : in.substring(at + 4, end);
        if (name.isEmpty() || names.containsKey(name)) {
          throw error("a group with an empty or duplicate name");
        }
        names.put(name, "g" + names.size()); // Java's names cannot have underscores
        out.append("(?<").append(names.get(name)).append('>');
        at = end + 1;
      } else if (in.startsWith("(?P=", at)) {
        int end = in.indexOf(')', at);
        String name = end < 0 ? "" : in.substring(at + 4, end);
        if (!names.containsKey(name)) {
          throw error("no group is named '" + name + "'");
        }
        out.append("\\k<").append(names.get(name)).append('>');
        at = end + 1;
        repeats.pop();
      } else if (in.startsWith("(?#", at)) {
        int end = in.indexOf(')', at);
        if (end < 0) {
          throw error("a comment is not closed");
        }
        at = end + 1;
        repeats.pop();
      } else if (in.startsWith("(?(", at)) {
        throw error("conditional groups are not supported");
      } else if (in.startsWith("(?", at)) {
        extension();
      } else {
        literal("(");
      }
    }

    private void extension() {
      int end = at + 2;
      while (end < in.length() && (Character.isLetter(in.charAt(end)) || in.charAt(end) == '-')) {
        end++;
      }
      String flags = in.substring(at + 2, end);
      if (flags.isEmpty()) {
        boolean known = false;
        for (String kind : new String[] {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}) {
          known |= in.startsWith(kind, at);
        }
        if (!known) {
          throw error("Python has no such group");
        }
        literal("(");
        literal("?");
        return;
      }
      if (!flags.matches("[aimsux]*(-[imsx]+)?")
          || end == in.length()
          || ":)".indexOf(in.charAt(end)) < 0) {
        throw error("flags '" + flags + "'");
      }
      if (in.charAt(end) == ')') {
        repeats.pop(); // flags alone
        closed = 0;
      }
      // names are ASCII, so that flags a and u make no difference
      out.append("(?").append(flags.replaceAll("[au]", "")).append(in.charAt(end));
      at = end + 1;
    }

    private void braces() {
      Matcher m = QUANTIFIER.matcher(in).region(at, in.length());
      if (!m.lookingAt()) {
        closed = 0;
        literal("\\{");
        return;
      }
      String from = m.group(1).isEmpty() ? "0" : m.group(1);
      String to = m.group(2) == null ? from : m.group(3);
      long repeats = Math.max(count(from), to.isEmpty() ? 0 : count(to));
      if (repeats > MAX_REPEATS) {
        throw error(TOO_OFTEN);
      }
      if (closed > 0 && repeats > 1) {
        repeat(closed * (repeats - 1));
      }
      closed = 0;
      out.append('{').append(from);
      if (m.group(2) != null) {
        out.append(',').append(to);
      }
      out.append('}');
      at = m.end();
    }

    private static final String TOO_OFTEN =
        "it has more repetitions than names of modules have characters";
    private static final Pattern QUANTIFIER = Pattern.compile("\\{(?=[\\d,])(\\d*)(,(\\d*))?\\}");

    private static long count(String digits) {
      return digits.length() > 9 ? Long.MAX_VALUE : Long.parseLong(digits);
    }
  }
}
