package org.tune4j.core.text.jinja;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Tuple;

/**
 * Python's {@code format % values} and {@code format.format(values)}, with the conversions {@code d
 * i u x X o b e E f F s r %}. Formatting escaped text and nested formats are not supported.
 */
final class Format {
  /** More than the digits of any float. */
  private static final int MAX_PRECISION = 1100;

  private static final Pattern PERCENT =
      Pattern.compile(
          "%(?:\\(([^()]*+)\\))?([-+ #0]*+)(\\d{0,9})(\\.\\d{0,9})?[hlL]?([a-zA-Z%*])?");
  private static final Pattern FIELD =
      Pattern.compile("([^{}!:\\[]*+(?:\\[[^\\]]*+\\][^{}!:\\[]*+)*+)(?:!([rs]))?(?::([^{}]*+))?");
  private static final Pattern STEP = Pattern.compile("\\.([^.\\[]+)|\\[([^\\]]+)\\]");
  private static final Pattern SPEC =
      Pattern.compile(
          "(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?(\\d{0,9})([,_])?(?:\\.(\\d{0,9}))?([a-zA-Z%])?",
          Pattern.DOTALL);

  private final String spec;
  private final String fill;
  private final char align;
  private final String sign;
  private final boolean alternative;
  private final int width;
  private final String grouping;
  private final int precision;
  private final char type;

  /**
   * Parses the format of one value: {@code [[fill]align][sign][#][0][width][,][.precision][type]}.
   */
  private Format(String spec, boolean text) {
    Matcher m = SPEC.matcher(spec);
    if (!m.matches()) {
      throw Failure.unsupported("the format '%s'", spec);
    }
    this.spec = spec;
    boolean zero = m.group(5) != null && m.group(1) == null;
    fill = m.group(1) != null ? m.group(1) : zero ? "0" : " ";
    align = m.group(2) != null ? m.group(2).charAt(0) : text ? '<' : zero ? '=' : '>';
    sign = m.group(3) == null ? "" : m.group(3).replace("-", "");
    alternative = m.group(4) != null;
    width = number(m.group(6), 0);
    grouping = m.group(7) == null ? "" : m.group(7);
    precision = m.group(8) == null ? -1 : number(m.group(8), 0);
    type = m.group(9) == null ? ' ' : m.group(9).charAt(0);
    boolean numeric = align == '=' || m.group(3) != null || alternative || m.group(7) != null;
    if (text && (numeric || " s".indexOf(type) < 0)) {
      throw Failure.value("the format '%s' is for numbers", spec);
    }
  }

  private static int number(String digits, int otherwise) {
    int n = digits.isEmpty() ? otherwise : Integer.parseInt(digits);
    Run.now().checkSize(n);
    return n;
  }

  private static String checked(Object format) {
    if (format instanceof Markup) {
      throw Failure.unsupported("to format escaped text");
    }
    return format.toString();
  }

  /** Returns {@code format % values}. */
  static Object percent(Object formatValue, Object values) {
    String format = checked(formatValue);
    List<Object> given = values instanceof Tuple t ? t : Tuple.of(values);
    StringBuilder out = new StringBuilder();
    int end = 0;
    int used = 0;
    boolean byName = false;
    for (Matcher m = PERCENT.matcher(format); m.find(); end = m.end()) {
      out.append(format, end, m.start());
      String type = m.group(5) == null ? "" : m.group(5);
      if (type.isEmpty()) {
        throw Failure.value("incomplete format");
      }
      if (type.equals("%")) {
        out.append('%');
        continue;
      }
      byName |= m.group(1) != null;
      if (m.group(1) == null && used == given.size()) {
        throw Failure.type("not enough arguments for format string");
      }
      Object v = m.group(1) != null ? named(values, m.group(1)) : given.get(used++);
      String flags = m.group(2);
      boolean text = type.equals("s") || type.equals("r");
      if (!text) {
        v = numeric(v, type);
      }
      String side = flags.contains("-") ? "<" : flags.contains("0") && !text ? "0=" : ">";
      String sign = text ? "" : flags.contains("+") ? "+" : flags.contains(" ") ? " " : "";
      String spec =
          (side + sign + (flags.contains("#") && !text ? "#" : "") + m.group(3))
              + (m.group(4) == null ? "" : m.group(4))
              + (text ? "" : type.replaceAll("[iu]", "d"));
      out.append(
          formatted(!text ? v : type.equals("s") ? Printing.str(v) : Printing.repr(v), spec));
      Run.now().checkSize(out.length());
    }
    boolean optional = byName || (values instanceof Map || values instanceof Undefined);
    boolean list = values instanceof List && !(values instanceof Tuple);
    if (used < given.size() && !optional && !list) {
      throw Failure.type("not all arguments converted during string formatting");
    }
    Run.now().made(out.length());
    return out.append(format.substring(end)).toString();
  }

  private static Object named(Object values, String name) {
    if (!(Values.defined(values) instanceof Map<?, ?> map)) {
      throw Failure.type("format requires a mapping");
    }
    if (!map.containsKey(name)) {
      throw Failure.value("no value named '%s'", name);
    }
    return map.get(name);
  }

  private static Object numeric(Object v, String type) {
    if (!type.matches("[diuxXoeEfF]")) {
      throw Failure.unsupported("the conversion %%%s", type);
    }
    boolean whole = type.matches("[xXo]") && v instanceof Double;
    if (!Numbers.isNumber(Values.defined(v)) || whole) {
      throw Failure.type("%%%s cannot show '%s'", type, Values.typeName(v));
    }
    return type.matches("[diu]") && v instanceof Double d ? Numbers.integer(d) : v;
  }

  /** Returns {@code format.format(values)}; the format is the first of the arguments. */
  static Object braces(Arguments withFormat) {
    String format = checked(withFormat.positional().get(0));
    Arguments arguments = withFormat.rest();
    StringBuilder out = new StringBuilder();
    int automatic = 0;
    boolean manual = false;
    Matcher field = FIELD.matcher(format);
    for (int i = 0; i < format.length(); i++) {
      char c = format.charAt(i);
      if (c != '{' && c != '}') {
        out.append(c);
      } else if (format.startsWith(String.valueOf(c), i + 1)) {
        out.append(c);
        i++;
      } else if (c == '}'
          || !field.region(i + 1, format.length()).lookingAt()
          || !format.startsWith("}", field.end())) {
        throw Failure.value("the field at %d of the format is malformed", i);
      } else {
        i = field.end();
        String path = field.group(1);
        String name = path.split("[.\\[]", 2)[0];
        boolean numbered = name.matches("\\d{1,9}");
        if (name.isEmpty() ? manual : numbered && automatic > 0) {
          throw Failure.value("cannot switch between manual and automatic field numbering");
        }
        manual |= numbered;
        int index = name.isEmpty() ? automatic++ : numbered ? Integer.parseInt(name) : -1;
        if (index >= arguments.positional().size()) {
          throw Failure.value("there is no argument %d to format", index);
        }
        Object v = index < 0 ? named(arguments.named(), name) : arguments.positional().get(index);
        v = follow(v, path.substring(name.length()));
        String conversion = field.group(2) == null ? "" : field.group(2);
        v =
            conversion.equals("r")
                ? Printing.repr(v)
                : conversion.equals("s") ? Printing.str(v) : v;
        out.append(formatted(v, field.group(3) == null ? "" : field.group(3)));
        Run.now().checkSize(out.length());
      }
    }
    Run.now().made(out.length());
    return out.toString();
  }

  /** Follows a path such as {@code .a[0][b]}, with the same access as templates. */
  private static Object follow(Object from, String path) {
    Object v = from;
    Matcher m = STEP.matcher(path);
    for (int end = 0; end < path.length(); end = m.end()) {
      if (!m.region(end, path.length()).lookingAt()) {
        throw Failure.value("'%s' is not a valid path in a format", path);
      }
      if (m.group(1) != null) {
        v = Attributes.get(v, m.group(1));
      } else {
        boolean index = m.group(2).matches("\\d{1,9}");
        v = Attributes.item(v, index ? (Object) Long.valueOf(m.group(2)) : m.group(2));
      }
    }
    return v;
  }

  private static String formatted(Object v, String spec) {
    if (spec.isEmpty()) {
      return Printing.str(v);
    }
    Format f = new Format(spec, Values.isText(v));
    if (Values.isText(v)) {
      String s = v.toString();
      boolean cut = f.precision >= 0 && f.precision < Text.length(s);
      return f.aligned("", cut ? Text.slice(s, 0, f.precision) : s);
    }
    if (!Numbers.isNumber(v)) {
      throw Failure.type("'%s' object has no format '%s'", Values.typeName(v), spec);
    }
    return f.number(v);
  }

  private String number(Object v) {
    boolean real = v instanceof Double || "eEfF%".indexOf(type) >= 0;
    if (!real && precision >= 0) {
      throw Failure.unsupported("a precision of integers");
    }
    boolean grouped = !grouping.isEmpty() && (align == '=' || "xXob".indexOf(type) >= 0);
    boolean general = real && type == ' ' && precision >= 0;
    boolean known = (real ? " eEfF%" : " dxXob").indexOf(type) >= 0;
    if (!known || grouped || general || (real && alternative)) {
      throw Failure.unsupported("the format '%s' of %s", spec, Values.typeName(v));
    }
    Object n = real ? (Object) Numbers.toDouble(v) : Numbers.big(v);
    boolean negative = n instanceof Double d ? d < 0 || 1 / d < 0 : ((BigInteger) n).signum() < 0;
    String digits = n instanceof Double d ? floating(Math.abs(d)) : integer(((BigInteger) n).abs());
    int whole = 0;
    while (whole < digits.length() && Character.isDigit(digits.charAt(whole))) {
      whole++;
    }
    StringBuilder out = new StringBuilder(digits);
    for (int i = whole - 3; i > 0 && !grouping.isEmpty(); i -= 3) {
      out.insert(i, grouping);
    }
    String prefix = alternative && "xXob".indexOf(type) >= 0 ? "0" + type : "";
    return aligned((negative ? "-" : sign) + prefix, out.toString());
  }

  private String integer(BigInteger n) {
    return switch (type) {
      case 'b' -> n.toString(2);
      case 'o' -> n.toString(8);
      case 'x' -> n.toString(16);
      case 'X' -> Text.upper(n.toString(16));
      default -> Numbers.text(n);
    };
  }

  private String floating(double value) {
    double d = type == '%' ? value * 100 : value;
    int digits = Math.min(precision < 0 ? 6 : precision, MAX_PRECISION);
    String s;
    if (type == ' ' || !Double.isFinite(d)) {
      s = Numbers.text(d);
    } else if (type == 'e' || type == 'E') {
      s = scientific(d, digits);
    } else {
      s = new BigDecimal(d).setScale(digits, RoundingMode.HALF_EVEN).toPlainString();
    }
    return (Character.isUpperCase(type) ? Text.upper(s) : s) + (type == '%' ? "%" : "");
  }

  private static String scientific(double d, int precision) {
    BigDecimal rounded =
        new BigDecimal(d).round(new MathContext(precision + 1, RoundingMode.HALF_EVEN));
    String digits = rounded.unscaledValue().toString();
    int exponent = d == 0 ? 0 : digits.length() - 1 - rounded.scale();
    digits = (digits + "0".repeat(precision + 1)).substring(0, precision + 1);
    String fraction = precision > 0 ? "." + digits.substring(1) : "";
    return digits.charAt(0) + fraction + "e%+03d".formatted(exponent);
  }

  private String aligned(String prefix, String text) {
    int missing = Math.max(0, width - Text.length(prefix) - Text.length(text));
    int left = align == '>' ? missing : align == '^' ? missing / 2 : 0;
    String inside = fill.repeat(align == '=' ? missing : 0);
    int right = align == '=' ? 0 : missing - left;
    return fill.repeat(left) + prefix + inside + text + fill.repeat(right);
  }
}
