package org.tune4j.core.text.jinja;

import java.time.Clock;
import java.time.LocalDateTime;
import java.time.format.TextStyle;
import java.time.temporal.ChronoField;
import java.time.temporal.IsoFields;
import java.util.Locale;

/**
 * Python's {@code datetime.now().strftime}: the directives of C with glibc's flags, in English
 * regardless of the locale.
 */
final class Strftime {
  private Strftime() {}

  static String format(String format, Clock clock) {
    return format(format, LocalDateTime.now(clock), clock);
  }

  private static String format(String format, LocalDateTime t, Clock clock) {
    StringBuilder out = new StringBuilder();
    for (int i = 0; i < format.length(); i++) {
      char c = format.charAt(i);
      if (c != '%') {
        out.append(c);
        continue;
      }
      int start = i++;
      char flag = 0;
      while (i < format.length() && "-_0^#".indexOf(format.charAt(i)) >= 0) {
        flag = format.charAt(i++);
      }
      if (i < format.length() && (format.charAt(i) == 'E' || format.charAt(i) == 'O')) {
        i++; // alternative forms of a locale, which English does not have
      }
      String text = i < format.length() ? directive(format.charAt(i), flag, t, clock) : null;
      out.append(text != null ? text : format.substring(start, Math.min(i + 1, format.length())));
    }
    return out.toString();
  }

  /** Returns the text of a directive; null if it is unknown. */
  private static String directive(char directive, char flag, LocalDateTime t, Clock clock) {
    int hour12 = t.getHour() % 12 == 0 ? 12 : t.getHour() % 12;
    int sinceSunday = t.getDayOfWeek().getValue() % 7;
    return switch (directive) {
      case 'a' -> text(weekday(t).substring(0, 3), flag);
      case 'A' -> text(weekday(t), flag);
      case 'b', 'h' -> text(month(t).substring(0, 3), flag);
      case 'B' -> text(month(t), flag);
      case 'c' -> format("%a %b %e %H:%M:%S %Y", t, clock);
      case 'C' -> number(t.getYear() / 100, 2, '0', flag);
      case 'd' -> number(t.getDayOfMonth(), 2, '0', flag);
      case 'D', 'x' -> format("%m/%d/%y", t, clock);
      case 'e' -> number(t.getDayOfMonth(), 2, ' ', flag);
      case 'f' -> number(t.getNano() / 1000, 6, '0', flag == '0' ? 0 : flag);
      case 'F' -> format("%Y-%m-%d", t, clock);
      case 'g' -> number(t.get(IsoFields.WEEK_BASED_YEAR) % 100, 2, '0', flag);
      case 'G' -> number(t.get(IsoFields.WEEK_BASED_YEAR), 4, '0', flag);
      case 'H' -> number(t.getHour(), 2, '0', flag);
      case 'I' -> number(hour12, 2, '0', flag);
      case 'j' -> number(t.getDayOfYear(), 3, '0', flag);
      case 'k' -> number(t.getHour(), 2, ' ', flag);
      case 'l' -> number(hour12, 2, ' ', flag);
      case 'm' -> number(t.getMonthValue(), 2, '0', flag);
      case 'M' -> number(t.getMinute(), 2, '0', flag);
      case 'n' -> "\n";
      case 'p' -> flag == '#' ? (t.getHour() < 12 ? "am" : "pm") : t.getHour() < 12 ? "AM" : "PM";
      case 'P' -> t.getHour() < 12 ? "am" : "pm";
      case 'r' -> format("%I:%M:%S %p", t, clock);
      case 'R' -> format("%H:%M", t, clock);
      case 's' -> String.valueOf(t.atZone(clock.getZone()).toEpochSecond());
      case 'S' -> number(t.getSecond(), 2, '0', flag);
      case 't' -> "\t";
      case 'T', 'X' -> format("%H:%M:%S", t, clock);
      case 'u' -> number(t.getDayOfWeek().getValue(), 1, '0', flag);
      case 'U' -> number((t.getDayOfYear() + 6 - sinceSunday) / 7, 2, '0', flag);
      case 'V' -> number(t.get(IsoFields.WEEK_OF_WEEK_BASED_YEAR), 2, '0', flag);
      case 'w' -> number(sinceSunday, 1, '0', flag);
      case 'W' -> number((t.getDayOfYear() + 6 - (sinceSunday + 6) % 7) / 7, 2, '0', flag);
      case 'y' -> number(t.getYear() % 100, 2, '0', flag);
      case 'Y' -> number(t.get(ChronoField.YEAR), 1, '0', flag);
      case 'z', 'Z' -> ""; // the time has no zone
      case '%' -> "%";
      default -> null;
    };
  }

  private static String weekday(LocalDateTime t) {
    return t.getDayOfWeek().getDisplayName(TextStyle.FULL, Locale.ENGLISH);
  }

  private static String month(LocalDateTime t) {
    return t.getMonth().getDisplayName(TextStyle.FULL, Locale.ENGLISH);
  }

  private static String text(String name, char flag) {
    return flag == '^' || flag == '#' ? Text.upper(name) : name;
  }

  private static String number(int n, int width, char fill, char flag) {
    String digits = String.valueOf(n);
    char with = flag == '_' ? ' ' : flag == '0' ? '0' : fill;
    int missing = flag == '-' ? 0 : Math.max(0, width - digits.length());
    return String.valueOf(with).repeat(missing) + digits;
  }
}
