package org.tune4j.core.text.jinja;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Clock;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Map;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.tune4j.core.text.JsonValues;

/** What holds of any template and any value. */
class TemplatePropertyTest {
  private static final Clock CLOCK = Clock.system(ZoneOffset.UTC);
  private static final Limits LIMITS = new Limits(1 << 20, 1 << 18, 1 << 24, 100_000, 1500);

  private static String render(String template, Map<String, ?> variables) {
    return Template.compile(template, "t", LIMITS).render(variables, CLOCK).text();
  }

  @Provide
  Arbitrary<String> templates() {
    return Arbitraries.of(
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "-",
            "+",
            " ",
            "\n",
            "for",
            "in",
            "if",
            "else",
            "endfor",
            "endif",
            "set",
            "macro",
            "endmacro",
            "m",
            "x",
            "messages",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ".",
            "|",
            ",",
            ":",
            "=",
            "==",
            "is",
            "not",
            "and",
            "1",
            "2.5",
            "'a'",
            "'",
            "~",
            "*",
            "**",
            "/",
            "%",
            "upper",
            "list",
            "loop",
            "call",
            "endcall",
            "raw",
            "endraw",
            "\\",
            "generation",
            "endgeneration",
            "namespace",
            "self",
            "recursive",
            "\uD83D\uDE00",
            "none")
        .list()
        .ofMaxSize(40)
        .map(l -> String.join("", l));
  }

  @Property(tries = 3000)
  void anyTemplateIsRenderedOrRefused(@ForAll("templates") String template) {
    try {
      assertThat(render(template, Map.of("messages", List.of(), "x", 1L))).isNotNull();
    } catch (TemplateException e) {
      assertThat(e.line()).isPositive();
      assertThat(e.column()).isPositive();
      assertThat(e.detail()).isNotBlank();
    }
  }

  @Property(tries = 500)
  void contentIsPrintedAsItIs(@ForAll String content) {
    assertThat(
            render(
                "{{ a }}|{% for m in b %}{{ m.c }}{% endfor %}",
                Map.of("a", content, "b", List.of(Map.of("c", content)))))
        .isEqualTo(content + "|" + content);
    assertThat(render("{{ a ~ '' }}{{ a|string }}", Map.of("a", content)))
        .isEqualTo(content + content);
  }

  @Provide
  Arbitrary<Object> values() {
    return values(3);
  }

  private static Arbitrary<Object> values(int depth) {
    Arbitrary<Object> leaves =
        Arbitraries.oneOf(
            Arbitraries.strings().map(s -> (Object) s),
            Arbitraries.longs().map(n -> (Object) n),
            Arbitraries.bigIntegers().map(n -> JsonValues.copyOf((Object) n)),
            Arbitraries.doubles().map(d -> (Object) d),
            Arbitraries.of(true, false).map(b -> (Object) b));
    if (depth == 0) {
      return leaves;
    }
    Arbitrary<Object> inner = values(depth - 1);
    return Arbitraries.oneOf(
        leaves,
        inner.list().ofMaxSize(3).map(l -> (Object) l),
        Arbitraries.maps(Arbitraries.strings().ofMaxLength(5), inner)
            .ofMaxSize(3)
            .map(m -> (Object) m));
  }

  @Property(tries = 500)
  void tojsonIsReadBackTheSame(
      @ForAll("values") Object value, @ForAll boolean ascii, @ForAll boolean indented)
      throws Exception {
    String json =
        render(
            "{{ v|tojson(ensure_ascii=a, indent=i) }}",
            Map.of("v", value, "a", ascii, "i", indented ? 2L : ""));
    assertThat(JsonValues.of(new ObjectMapper().readTree(json)))
        .isEqualTo(JsonValues.copyOf(value));
    if (ascii) {
      assertThat(json.chars()).allMatch(c -> c < 128);
    }
  }

  @Property(tries = 2000)
  void floatsArePrintedShortAndExact(@ForAll double value) {
    String text = render("{{ v }}", Map.of("v", value));
    assertThat(Double.parseDouble(text)).isEqualTo(value);
    // Java's own text is never shorter in digits
    assertThat(digits(text)).isLessThanOrEqualTo(digits(Double.toString(value)));
  }

  private static int digits(String number) {
    return number
        .replaceFirst("[eE].*", "")
        .replaceAll("[^0-9]", "")
        .replaceFirst("^0+", "")
        .replaceFirst("0+$", "")
        .length();
  }

  @Property(tries = 1000)
  void integersDivideAsInPython(@ForAll long a, @ForAll long b) {
    if (b == 0) {
      return;
    }
    Map<String, Long> variables = Map.of("a", a, "b", b);
    assertThat(render("{{ (a // b) * b + a % b == a }}", variables)).isEqualTo("True");
    assertThat(render("{{ a % b == 0 or (a % b < 0) == (b < 0) }}", variables)).isEqualTo("True");
  }
}
