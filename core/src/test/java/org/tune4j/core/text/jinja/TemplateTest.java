package org.tune4j.core.text.jinja;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.time.Clock;
import java.time.ZoneOffset;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/** What the recorded renderings leave out: printed objects, and which of two errors comes first. */
class TemplateTest {
  private static String render(String template) {
    return Template.compile(template, "test", Limits.defaults())
        .render(Map.of("n", 5L), Clock.system(ZoneOffset.UTC))
        .text();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '#',
      quoteCharacter = '~',
      value = {
        "{{ 'a'|urlize }}#the filter 'urlize'",
        "{{ 'a'|random }}#the filter 'random'",
        "{{ ['a']|map('urlize')|list }}#the filter 'urlize'",
        "{{ self }}#the variable 'self'",
        "{{ self.b() }}#the variable 'self'",
        "{{ lipsum() }}#the variable 'lipsum'",
        "{{ 'a'.encode() }}#str.encode",
        "{{ '{a}'.format_map({'a': 1}) }}#str.format_map",
        "{{ 'a'.isprintable() }}#str.isprintable",
        "{{ 'a'.translate({97: 'b'}) }}#str.translate",
        "{{ {}.fromkeys([1]) }}#dict.fromkeys",
        "{{ n.real }}#int.real",
        "{{ n.bit_length() }}#int.bit_length",
        "{{ 1.5.is_integer() }}#float.is_integer",
        "{{ range(3).start }}#range.start",
        "{{ {}.keys() == {}.keys() }}#to compare views of dicts",
        "{{ '%g' % 1.5 }}#the conversion %g",
        "{{ '%*d' % (5, n) }}#the conversion %*",
        "{{ '%.3d' % n }}#a precision of integers",
        "{{ '{:g}'.format(1.5) }}#the format 'g' of float",
        "{{ '{:010,}'.format(n) }}#the format '010,' of int",
        "{{ '{:.3}'.format(1.5) }}#the format '.3' of float",
        "{{ ('%s'|safe) % 'a' }}#to format escaped text",
        "{{ ('{}'|safe).format('a') }}#to format escaped text",
        "{{ '&amp;'|striptags }}#striptags of a text with entities",
        "{{ 'well-known'|wordwrap(5) }}#wordwrap of a text with such words",
        "{{ {'b': 1, 'a': 2}|pprint }}#to pprint dicts of several keys",
        "{{ ['a' * 90]|pprint }}#to pprint over several lines",
        "{{ [('a', 1)]|urlencode }}#urlencode of list",
        "{{ ['a']|truncate(1) }}#truncate of list",
        "{{ '10'|int(0, 7) }}#the base 7",
        "{{ '三'.isnumeric() }}#to ask whether an ideograph is a number",
        "{{ (0 - 8) ** 0.5 }}#a negative number to a fractional power",
        "{% autoescape true %}{% endautoescape %}#the tag 'autoescape'",
        "{% block b required %}{% endblock %}#'required'",
        "{% block b scoped %}{% endblock %}#'scoped'",
      })
  void whatIsLeftOutIsRefusedByName(String template, String name) {
    TemplateException e =
        catchThrowableOfType(TemplateException.class, () -> render("\n  " + template));
    assertThat(e).as(template).isNotNull();
    assertThat(e.detail()).contains(name);
    assertThat(e.getMessage()).contains("supported").contains("line 2, column ");
    assertThat(e.kind()).isIn(Kind.RUNTIME, Kind.SYNTAX);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{{ cycler('a') }}",
        "{{ joiner() }}",
        "{{ range }}",
        "{{ namespace() }}",
        "{{ 'a'.upper }}",
        "{{ {}.items }}",
        "{{ [1]|map('string') }}",
        "{% macro m() %}{% endmacro %}{{ m }}",
        "{% for x in [1] recursive %}{{ loop }}{{ loop.cycle }}{% endfor %}",
      })
  void noObjectIsPrintedAsJavaDoes(String template) {
    assertThat(render(template)).doesNotContain("org.tune4j").doesNotContain("@");
    assertThat(render(template)).isEqualTo(render(template)); // no address or hash
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{{ n|map|list }}",
        "{{ n|map(attribute='x', y=1)|list }}",
        "{{ n|selectattr|list }}",
        "{{ n|rejectattr|list }}",
      })
  void aFiltersOwnArgumentsFailBeforeItsValue(String template) {
    TemplateException e = catchThrowableOfType(TemplateException.class, () -> render(template));
    assertThat(e).as(template).isNotNull();
    assertThat(e.kind()).isEqualTo(Kind.RUNTIME); // TYPE is that 5 cannot be iterated
  }

  @Test
  void aFilterOfNothingAsksForNoArguments() {
    assertThat(render("{{ 0|map|list }}{{ []|selectattr|list }}")).isEqualTo("[][]");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '#',
      quoteCharacter = '"',
      value = {
        "{{ 1.0 is odd }}{{ 2.0 is odd }}{{ -3.0 is odd }}{{ 1.5 is odd }}#TrueFalseTrueFalse",
        "{{ 'ab'|batch(0)|list }}#[[], ['a', 'b']]",
        "{{ 'ab'|batch(0, 'x')|list }}#[[], ['a', 'b']]",
        "{{ ''|batch(0)|list }}#[]",
        "{{ 'abc'|batch(2)|list }}#[['a', 'b'], ['c']]",
      })
  void numbersAtTheEdgeMeanWhatTheyDoInPython(String template, String expected) {
    assertThat(render(template)).isEqualTo(expected);
  }
}
