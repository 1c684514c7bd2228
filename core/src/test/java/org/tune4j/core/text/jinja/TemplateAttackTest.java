package org.tune4j.core.text.jinja;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.text.Message;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/** Templates that mean harm: they reach nothing, and they end soon, with an error that says why. */
@Timeout(60)
class TemplateAttackTest {
  private static final Clock CLOCK = Clock.system(ZoneOffset.UTC);
  private static final Map<String, Object> VARIABLES =
      Map.of("messages", List.of(Message.user("Hi").fields()), "s", "text");

  /** A part of the usual, for tests that take no longer than they must. */
  private static final Limits TIGHT = new Limits(1 << 24, 1 << 23, 1 << 26, 400_000, 1500);

  private static String render(String template) {
    return Template.compile(template, "hostile", TIGHT).render(VARIABLES, CLOCK).text();
  }

  private static TemplateException failure(String template) {
    TemplateException e = catchThrowableOfType(TemplateException.class, () -> render(template));
    assertThat(e).as(template.substring(0, Math.min(80, template.length()))).isNotNull();
    return e;
  }

  // ---- reaching out

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{{ s.__class__.__mro__ }}",
        "{{ s['__class__']['__bases__'] }}",
        "{{ (s|attr('__class__')).x }}",
        "{{ messages.__class__.__base__.__subclasses__() }}",
        "{{ messages[0].__init__.__globals__ }}",
        "{{ range.__globals__.os }}",
        "{{ raise_exception.__code__.co_code }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ namespace().__class__.x }}",
        "{% macro m() %}{% endmacro %}{{ m.__call__.x }}",
        "{% for x in [1] %}{{ loop.__init__.x }}{% endfor %}",
        "{{ '{0.__class__.name}'.format(s) }}",
        "{{ '{0[__class__].x}'.format(messages) }}",
        "{{ [].append(1) }}",
        "{{ messages.clear() }}",
        "{{ messages[0].update({'role': 'system'}) }}",
        "{{ messages[0].pop('content') }}",
        "{{ messages[0].setdefault('a', 1) }}"
      })
  void internalsAndChangesAreForbidden(String template) {
    assertThat(failure(template).kind()).isEqualTo(Kind.SECURITY);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{{ s.getClass() }}",
        "{{ s.getClass().forName('java.lang.Runtime') }}",
        "{{ s.class.x }}",
        "{{ messages[0].entrySet() }}",
        "{{ messages.stream() }}",
        "{{ messages.iterator() }}",
        "{{ s.chars() }}",
        "{{ (1).toString() }}",
        "{{ (1.5).getClass() }}",
        "{{ true.getClass() }}",
        "{{ range.call(1) }}",
        "{{ range(3).first.getClass() }}",
        "{{ namespace().attributes.x }}",
        "{{ ____int3rpr3t3r____.config.x }}",
        "{{ context.x }}",
        "{{ open('/etc/passwd') }}",
        "{{ eval('1') }}",
        "{{ os.system('id') }}",
        "{{ java.lang.System.exit(1) }}"
      })
  void nothingOfJavaIsThere(String template) {
    assertThat(failure(template).kind()).isEqualTo(Kind.UNDEFINED);
  }

  @Test
  void nothingIsLoaded(@TempDir Path directory) throws IOException {
    Path secret = directory.resolve("application.properties");
    Files.writeString(secret, "password=hunter2");
    for (String template :
        List.of(
            "{%% include '%s' %%}",
            "{%% include ['%s', 'application.properties'] ignore missing %%}",
            "{%% import '%s' as x %%}{{ x }}",
            "{%% from '%s' import x with context %%}{{ x }}",
            "{%% extends '%s' %%}")) {
      TemplateException e = failure(template.formatted(secret));
      assertThat(e.kind()).isEqualTo(Kind.TYPE);
      assertThat(e).hasMessageNotContaining("hunter2");
    }
    assertThat(failure("{% do s.x() %}").kind()).isEqualTo(Kind.SYNTAX);
  }

  @Test
  void noNameOfJavaIsPrinted() {
    assertThat(
            render(
                "{{ range }}{{ namespace() }}{{ cycler(1) }}{{ joiner() }}{{ s.upper }}{{"
                    + " s|map('upper') }}{{ messages[0].items() }}{{ [1]|reverse }}{{ range(2) }}{%"
                    + " macro m() %}{% endmacro %}{{ m }}{% for x in [1] %}{{ loop }}{{ loop.cycle"
                    + " }}{% endfor %}{{ raise_exception }}{{ [m, missing, range, s.strip, ('a'|e)]"
                    + " }}"))
        .doesNotContain("org.tune4j", "java", "jinja", "@", "Lambda");
  }

  @Test
  void valuesStayAsTheyWere() {
    render("{% set messages = [] %}{% set s = 1 %}{% for m in messages %}{% endfor %}");
    assertThat(render("{{ messages }}{{ s }}"))
        .isEqualTo("[{'role': 'user', 'content': 'Hi'}]text");
  }

  // ---- time

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor"
            + " %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) if range(99999)|select('odd')|list|length < 0 %}{% endfor %}",
        "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{% for x in range(99999) %}{%"
            + " set a = range(9999)|map('string')|join|length %}{% endfor %}",
        "{% set x = 'ab' * 1000000 %}{% for a in range(99999) %}{{ 'c' in x }}{% endfor %}",
        "{% set x = ['a'] * 1000000 %}{% for a in range(99999) %}{% set y = 'c' in x %}{% endfor"
            + " %}",
        "{% set x = 'ab' * 1000000 %}{% for a in range(99999) %}{% set y = x == x ~ 'a' %}{% endfor"
            + " %}",
        "{% set x = 'ab' * 1000000 %}{% for a in range(99999) %}{% set y = x[5] %}{% endfor %}",
        "{% set x = 'a ' * 1000000 %}{% for a in range(99999) %}{% set y = x|wordcount %}{% endfor"
            + " %}",
        "{% set x = 7 ** 30000 %}{% for a in range(99999) %}{% for b in range(99999) %}{% set y = x"
            + " * x % 10 %}{% endfor %}{% endfor %}",
        "{% set x = range(99999)|list %}{% for a in range(99999) %}{% set y = x|sort %}{% endfor"
            + " %}",
        "{% set ns = namespace(x=range(99999)|map('string')) %}{% for a in range(99999) %}{% for b"
            + " in range(99999) %}{% set ns.x = ns.x|map('upper') %}{% endfor %}{% endfor %}",
        "{% for x in [1] recursive %}{% for a in range(99999) %}{{ loop.index if false }}{% for b"
            + " in range(99999) %}{% endfor %}{% endfor %}{% endfor %}"
      })
  void whatHangsEnds(String template) {
    assertThat(failure(template).kind()).isEqualTo(Kind.LIMIT);
  }

  @Test
  void theUsualLimitsEndItWithinSeconds() {
    Template template =
        Template.compile(
            "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}",
            "slow", Limits.defaults());
    long start = System.nanoTime();
    TemplateException e =
        catchThrowableOfType(TemplateException.class, () -> template.render(VARIABLES, CLOCK));
    assertThat(e.kind()).isEqualTo(Kind.LIMIT);
    assertThat((System.nanoTime() - start) / 1e9).isLessThan(30);
  }

  @Test
  void anInterruptEndsIt() throws InterruptedException {
    Template template =
        Template.compile(
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "slow", new Limits(1000, 1000, Long.MAX_VALUE, Long.MAX_VALUE, 100));
    AtomicReference<Throwable> thrown = new AtomicReference<>();
    AtomicReference<Boolean> still = new AtomicReference<>();
    Thread thread =
        new Thread(
            () -> {
              try {
                template.render(Map.of(), CLOCK);
              } catch (TemplateException e) {
                thrown.set(e);
              }
              still.set(Thread.currentThread().isInterrupted());
            });
    thread.start();
    Thread.sleep(100);
    thread.interrupt();
    thread.join(20_000);
    assertThat(thrown.get()).isInstanceOf(TemplateException.class);
    assertThat(((TemplateException) thrown.get()).kind()).isEqualTo(Kind.INTERRUPTED);
    assertThat(still.get()).isTrue();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{{- ' ' }}                                                                 ",
        "{%- if true -%}                                               {%- endif -%}",
        "{# # - # - # - # - # - # #}",
        "{{ '\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\' }}",
        "{% raw %}{% {% {%- {%+ endra {% endraw %}",
        "{ { { { { { { { { { { { ",
        "                                                                           \n",
        "{{ 1_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0.5 }}"
      })
  void parsingTakesTimeInProportion(String piece) {
    // a template of 240 kB in one line or many; quadratic expressions took minutes
    String template = piece.repeat(240_000 / piece.length());
    long start = System.nanoTime();
    Template.compile(template, "long", Limits.defaults());
    assertThat((System.nanoTime() - start) / 1e9).isLessThan(5);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"{{ '", "{{ \"\\", "{#", "{% raw %} {%", "{% raw %}{%  ", "{{ (", "{%-  "})
  void neitherDoUnfinishedOnes(String piece) {
    long start = System.nanoTime();
    failure(piece.repeat(120_000 / piece.length()) + " x");
    failure(piece + " ".repeat(120_000) + "x");
    assertThat((System.nanoTime() - start) / 1e9).isLessThan(5);
  }

  // ---- memory

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{% set ns = namespace(s='x' * 1000) %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s"
            + " %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{%"
            + " endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('x',"
            + " 'xx') %}{% endfor %}",
        "{% set ns = namespace(s=['x']) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{%"
            + " endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{%"
            + " endfor %}{{ ns.s }}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{%"
            + " endfor %}{{ ns.s|tojson }}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{%"
            + " endfor %}{{ ns.s|pprint }}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ [0] * 10 ** 9 }}",
        "{{ (1, 2) * 999999999 }}",
        "{{ 'x'.ljust(10 ** 9) }}",
        "{{ 'x'|center(10 ** 9) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%.999999999f' % 1 }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ 'a\nb'|indent(10 ** 9) }}",
        "{{ '\t'.expandtabs(10 ** 9) }}",
        "{{ 'x'.zfill(10 ** 9) }}",
        "{{ [1]|tojson(indent=10 ** 9) }}",
        "{{ [1]|batch(10 ** 9, 1)|list }}",
        "{{ 10 ** (10 ** 10) }}",
        "{{ 2 ** (10 ** 10) }}",
        "{{ (2 ** 90000) * (2 ** 90000) }}",
        "{{ (s * 9999).replace('', s * 9999) }}",
        "{{ (s * 9999)|replace('', s * 9999) }}",
        "{{ (s * 9999).join([s * 9999] * 999) }}",
        "{{ ([s * 9999] * 9999)|join(s) }}",
        "{% for i in range(99999) %}{{ s * 9999 }}{% endfor %}",
        "{% set x %}{% for i in range(99999) %}{{ s * 9999 }}{% endfor %}{% endset %}",
        "{% macro m() %}{% for i in range(99999) %}{{ s * 9999 }}{% endfor %}{% endmacro %}{{ m()"
            + " }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = ns.l + [s * 99999 ~"
            + " i] %}{% endfor %}",
        "{{ range(99999)|map('string')|map('center', 9999)|list|length }}",
        "{{ (s * 3000000)|list|length }}",
        "{% for i in range(99999) %}{% set ns = namespace() %}{% for j in range(99999) %}{% set"
            + " ns.x = {'p': ns.x} %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x=()) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{%"
            + " endfor %}{{ {ns.x: 1} }}",
        "{% set ns = namespace(x=[], y=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x]"
            + " %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
        "{% set ns = namespace(x=[], y=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x]"
            + " %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x < ns.y }}",
        "{{ range(99999)|slice(99999)|map('list')|list|length }}{{"
            + " range(9999)|map('string')|map('center', 99999)|list }}"
      })
  void whatExhaustsMemoryEnds(String template) {
    TemplateException e = failure(template);
    assertThat(e.kind()).as(e.getMessage()).isEqualTo(Kind.LIMIT);
  }

  @Test
  void overlongTemplatesAreRefused() {
    assertThat(failure("{{x}}".repeat(300_000)))
        .hasMessageContaining("a template of 1500000 characters");
  }

  @Test
  void messagesQuoteNoMoreThanTheBeginningOfAValue() {
    String doubled =
        "{% set ns = namespace(x=('a',)) %}{% for i in range(60) %}{% set ns.x = (ns.x, ns.x) %}{%"
            + " endfor %}";
    for (String use : List.of("{{ [1].index(ns.x) }}", "{{ 's'[ns.x].y }}", "{{ [ns.x].y.z }}")) {
      assertThat(failure(doubled + use).getMessage().length()).isLessThan(400);
    }
    assertThat(failure("{{ ('x' * 999999)|float + [] }}").getMessage().length()).isLessThan(400);
    assertThat(failure("{{ [].index('x' * 999999) }}").getMessage().length()).isLessThan(400);
  }

  @Test
  void limitsAreNamed() {
    assertThatThrownBy(() -> render("{{ 'x' * 10 ** 9 }}"))
        .hasMessageContaining("hostile, line 1, column 8")
        .hasMessageContaining("1000000000 elements; at most 8388608");
  }

  // ---- the stack

  @ParameterizedTest
  @ValueSource(
      strings = {
        "(",
        "[",
        "{1: ",
        "not ",
        "- ",
        "+ ",
        "x[",
        "f(",
        "x if ",
        "1 if 1 else ",
        "x|f(",
        "x is f(",
        "x.y(z="
      })
  void deepExpressionsAreRefused(String opening) {
    TemplateException e = failure("{{ " + opening.repeat(40_000 / opening.length()));
    assertThat(e.kind()).isIn(Kind.LIMIT, Kind.SYNTAX);
    String closed =
        switch (opening) {
          case "(" -> "(".repeat(20_000) + "1" + ")".repeat(20_000);
          case "[" -> "[".repeat(20_000) + "]".repeat(20_000);
          default -> opening.repeat(10_000) + "1";
        };
    e = failure("{{ " + closed + " }}");
    assertThat(e.kind()).isIn(Kind.LIMIT, Kind.SYNTAX);
    assertThat(e.getMessage().length()).isLessThan(500);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        " + 1",
        " ~ 1 + 1",
        "|string",
        ".x",
        "[0]",
        "()",
        " and 1",
        " or 1",
        " ** 1",
        " is odd",
        " if 1"
      })
  void longChainsDoNoHarm(String link) {
    // those of operators are computed one by one, whatever their length
    try {
      assertThat(render("{{ 1" + link.repeat(20_000) + " }}")).isNotEmpty();
    } catch (TemplateException e) {
      assertThat(e.kind()).isIn(Kind.LIMIT, Kind.TYPE, Kind.UNDEFINED, Kind.SYNTAX);
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{% if 1 %}",
        "{% for x in y %}",
        "{% macro m() %}",
        "{% set x %}",
        "{% with %}",
        "{% filter upper %}",
        "{% call f() %}",
        "{% generation %}"
      })
  void deepStatementsAreRefused(String opening) {
    TemplateException e = failure(opening.repeat(10_000));
    assertThat(e.kind()).isEqualTo(Kind.LIMIT);
    assertThat(e).hasMessageContaining("nested more than");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro a(n) %}{{ b(n) }}{% endmacro %}{% macro b(n) %}{{ a(n) }}{% endmacro %}{{ a(1)"
            + " }}",
        "{% macro m() %}{% call m() %}{% endcall %}{{ caller() }}{% endmacro %}{% call m() %}{%"
            + " endcall %}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% macro m() %}{% for x in [1] if m() %}{% endfor %}{% endmacro %}{{ m() }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor"
            + " %}{{ ns.x }}",
        "{% set ns = namespace(x=[], y=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{%"
            + " set ns.y = [ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
        "{% set ns = namespace(x=()) %}{% for i in range(9999) %}{% set ns.x = (ns.x,) %}{% endfor"
            + " %}{{ {ns.x: 1} }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor"
            + " %}{{ ns.x|tojson }}",
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(9999) %}{% set ns.x = ns.x|map('string')"
            + " %}{% endfor %}{{ ns.x|list }}"
      })
  void endlessCallsEnd(String template) {
    TemplateException e = failure(template);
    assertThat(e.kind()).as(e.getMessage()).isEqualTo(Kind.LIMIT);
  }

  @Test
  void aSmallStackSuffices() throws InterruptedException {
    AtomicReference<Throwable> thrown = new AtomicReference<>();
    Runnable work =
        () -> {
          try {
            for (String t :
                List.of(
                    "{{ " + "(".repeat(90) + "1" + ")".repeat(90) + " }}",
                    "{{ 1" + " + 1".repeat(390) + " }}",
                    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}")) {
              try {
                render(t);
              } catch (TemplateException e) {
                assertThat(e.kind()).isEqualTo(Kind.LIMIT);
              }
            }
          } catch (Throwable e) {
            thrown.set(e);
          }
        };
    Thread thread = new Thread(null, work, "small", 256 << 10);
    thread.start();
    thread.join();
    assertThat(thrown.get()).isNull();
  }

  @Test
  void ordinaryTemplatesAreFarFromTheLimits() {
    StringBuilder conversation = new StringBuilder();
    String template =
        "{% set ns = namespace(t='') %}{% for m in range(2000) %}{% set ns.t = ns.t + s %}{{ s *"
            + " 400 }}{% endfor %}{{ ns.t|length }}";
    conversation.append(render(template));
    assertThat(conversation).hasSizeGreaterThan(2_000_000).endsWith("8000");
    assertThat(
            render(
                "{% macro m(n) %}{{ n }}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(50)"
                    + " }}"))
        .endsWith("3210");
  }
}
