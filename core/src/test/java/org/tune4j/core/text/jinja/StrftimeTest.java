package org.tune4j.core.text.jinja;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Clock;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Against Python's {@code datetime.strftime} with glibc. */
class StrftimeTest {
  private static String format(String format, String time) {
    ZoneId zone = ZoneId.of("Europe/Berlin");
    return Strftime.format(
        format, Clock.fixed(LocalDateTime.parse(time).atZone(zone).toInstant(), zone));
  }

  @Test
  void everyDirective() {
    Map<String, String> expected =
        Map.ofEntries(
            Map.entry("%a", "Tue"),
            Map.entry("%A", "Tuesday"),
            Map.entry("%b", "Mar"),
            Map.entry("%B", "March"),
            Map.entry("%h", "Mar"),
            Map.entry("%c", "Tue Mar  5 09:07:03 2024"),
            Map.entry("%C", "20"),
            Map.entry("%d", "05"),
            Map.entry("%D", "03/05/24"),
            Map.entry("%e", " 5"),
            Map.entry("%f", "000450"),
            Map.entry("%F", "2024-03-05"),
            Map.entry("%g", "24"),
            Map.entry("%G", "2024"),
            Map.entry("%H", "09"),
            Map.entry("%I", "09"),
            Map.entry("%j", "065"),
            Map.entry("%k", " 9"),
            Map.entry("%l", " 9"),
            Map.entry("%m", "03"),
            Map.entry("%M", "07"),
            Map.entry("%n", "\n"),
            Map.entry("%p", "AM"),
            Map.entry("%P", "am"),
            Map.entry("%r", "09:07:03 AM"),
            Map.entry("%R", "09:07"),
            Map.entry("%S", "03"),
            Map.entry("%t", "\t"),
            Map.entry("%T", "09:07:03"),
            Map.entry("%u", "2"),
            Map.entry("%U", "09"),
            Map.entry("%V", "10"),
            Map.entry("%w", "2"),
            Map.entry("%W", "10"),
            Map.entry("%x", "03/05/24"),
            Map.entry("%X", "09:07:03"),
            Map.entry("%y", "24"),
            Map.entry("%Y", "2024"),
            Map.entry("%z", ""),
            Map.entry("%Z", ""),
            Map.entry("%%", "%"),
            Map.entry("%-d", "5"),
            Map.entry("%_d", " 5"),
            Map.entry("%-m/%-I", "3/9"),
            Map.entry("%^a", "TUE"),
            Map.entry("%^B", "MARCH"),
            Map.entry("%#p", "am"),
            Map.entry("%Ey", "24"),
            Map.entry("%Od", "05"),
            Map.entry("%0e", "05"),
            Map.entry("%Q", "%Q"),
            Map.entry("100%", "100%"),
            Map.entry("é %d %B", "é 05 March"),
            Map.entry("%-j", "65"),
            Map.entry("%_H", " 9"));
    expected.forEach(
        (directive, text) ->
            assertThat(format(directive, "2024-03-05T09:07:03.000450"))
                .as(directive)
                .isEqualTo(text));
  }

  @Test
  void hoursAndWeeksAtTheirEdges() {
    assertThat(format("%I %l %p %P", "2023-01-01T00:30:00")).isEqualTo("12 12 AM am");
    assertThat(format("%I %l %p %k", "2023-01-01T12:30:00")).isEqualTo("12 12 PM 12");
    assertThat(format("%U %W %V %G %g %j %w %u", "2023-01-01T12:00:00"))
        .isEqualTo("01 00 52 2022 22 001 0 7");
    assertThat(format("%U %W %V %G %j", "2020-12-31T12:00:00")).isEqualTo("52 52 53 2020 366");
    assertThat(format("%d %b %Y", "2024-09-30T23:59:59")).isEqualTo("30 Sep 2024");
  }
}
