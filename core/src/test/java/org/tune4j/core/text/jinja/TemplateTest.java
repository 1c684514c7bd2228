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
      delimiter = '|',
      value = {
        "{{ self }}|<TemplateReference None>",
        "{{ [self] }}|[<TemplateReference None>]",
        "{{ self ~ 'a' }}|<TemplateReference None>a",
        "{% block b %}x{% endblock %}{{ self }}|x<TemplateReference None>",
      })
  void theTemplateItselfIsPrintedAsJinjaDoes(String template, String expected) {
    assertThat(render(template)).isEqualTo(expected);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{{ cycler('a') }}",
        "{{ joiner() }}",
        "{{ self }}",
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
