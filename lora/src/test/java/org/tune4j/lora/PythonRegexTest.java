package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import com.google.common.base.Strings;
import com.google.common.collect.ImmutableMap;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Expressions mean what they mean to Python, and cannot hold up whoever loads an adapter. */
class PythonRegexTest {
  private static final Duration SOON = Duration.ofSeconds(60);
  private static final String Q0 = "model.layers.0.self_attn.q_proj";

  private static boolean matches(String regex, String name) {
    return PythonRegex.compile("target_modules", regex).fullMatch(name, new PythonRegex.Steps());
  }

  /** What {@code re.fullmatch} of Python 3.11 says. */
  @ParameterizedTest
  @CsvSource(
      delimiter = ' ',
      value = {
        ".*\\.(q|v)_proj model.layers.0.self_attn.q_proj true",
        "(?P<which_one>q|v)_proj v_proj true",
        "(?P<a_b>q)(?P=a_b) qq true",
        "(?P<a_b>q)(?P=a_b) qv false",
        "(?#comment)q_proj q_proj true",
        "q_proj{ q_proj{ true",
        "q{,2} qq true",
        "q{,2} qqq false",
        "q{2,} qqqq true",
        "q{} q{} true",
        "[[]q] [q] true",
        "[]q]+ q]q true",
        "[^]q] v true",
        "[a&&b]+ a&b true",
        "[\\w.]+ model.layers.1 true",
        "(?i:Q)_proj q_proj true",
        "(?i)Q_PROJ q_proj true",
        "(?a)q_proj q_proj true",
        "q_proj\\Z q_proj true",
        "\\x71_proj q_proj true",
        "\\u0071_proj q_proj true",
        "(?:q|k)(?!_proj).* q_norm true",
        "(?:q|k)(?!_proj).* q_proj false",
        ".*(?<=self_attn\\.)q_proj model.layers.0.self_attn.q_proj true",
        "(q)\\1 qq true",
        "q++_proj q_proj true",
        "(?>q|qk)k qk true",
      })
  void matchesAsInPython(String regex, String name, boolean expected) {
    assertThat(matches(regex, name)).isEqualTo(expected);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "(",
        ")",
        "[a",
        "a**",
        "\\",
        "\\p{Lu}", // Java's
        "\\Qa\\E",
        "\\hq",
        "[a\\Z]",
        "(?<name>a)",
        "(?P<n>a)(?P<n>b)",
        "(?P=none)",
        "(?(1)a|b)",
        "(?L)a",
        "(?#open",
        "\\x7",
        "\\u00",
        "*",
        "q{2,1}"
      })
  void whatPythonRefusesIsRefused(String regex) {
    assertThatThrownBy(() -> matches(regex, "a"))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("target_modules: '")
        .hasMessageContaining("is not a regular expression");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "(([a-z_.0-9])+)+X",
        "(.*)*X",
        "(.|.)*X",
        "(a|a|[a-z._0-9])*(b|[a-z._0-9])*X",
        ".*.*.*.*.*.*.*.*.*X",
        "(?:.?){50}(?:.?){50}(?:.?){50}(?:.?){50}X",
        "(?=(.*)*X)a",
        "(.*)\\1*(.*)\\2*(.*)(.*)(.*)X",
        "((.)(\\2|.))*((.)(\\5|.))*(.*)*X",
      })
  void noExpressionTakesForEver(String regex) {
    LoraConfig config = LoraConfig.builder().targetModules(TargetModules.matching(regex)).build();
    LoraConfig ranks = LoraConfig.builder().rankPattern(ImmutableMap.of(regex, 4)).build();
    assertTimeoutPreemptively(
        SOON,
        () -> {
          tolerated(() -> assertThat(config.targets(Q0)).isFalse());
          tolerated(() -> assertThat(ranks.rankOf(Q0)).isEqualTo(8));
        });
  }

  /** One name may take a tenth of what all may: few seconds even where a step takes long. */
  @Test
  void oneNameIsEnoughToSeeIt() {
    LoraConfig slow =
        LoraConfig.builder().targetModules(TargetModules.matching(".*.*.*.*X")).build();
    assertThat(slow.targets(Q0)).isFalse(); // some ten thousand
    LoraConfig tooSlow =
        LoraConfig.builder().targetModules(TargetModules.matching(".*.*.*.*.*.*X")).build();
    assertThatThrownBy(() -> tooSlow.targets(Q0)) // some millions
        .hasMessageContaining("too many steps");
  }

  @Test
  void whatIsGivenUpIsNamed() {
    String regex = ".*.*.*.*.*.*.*.*.*.*X";
    assertThatThrownBy(
            () ->
                LoraConfig.builder()
                    .targetModules(TargetModules.matching(regex))
                    .build()
                    .targets(Q0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("target_modules: '" + regex + "' takes too many steps")
        .hasMessageContaining(Q0);
    LoraConfig.Builder others = LoraConfig.builder().targetModules("q_proj");
    assertThatThrownBy(
            () -> others.excludeModules(TargetModules.matching(regex)).build().targets(Q0))
        .hasMessageContaining("exclude_modules: '" + regex + "' takes too many steps");
    assertThatThrownBy(() -> others.rankPattern(ImmutableMap.of(regex, 4)).build().rankOf(Q0))
        .hasMessageContaining("rank_pattern: '" + regex + "' takes too many steps");
    assertThatThrownBy(
            () -> others.alphaPattern(ImmutableMap.of(regex, 4.0)).build().scaleOf(Q0 + "."))
        .hasMessageContaining("_pattern: '" + regex + "' takes too many steps");
    assertThatThrownBy(
            () ->
                LoraConfig.builder()
                    .targetModules("q_proj")
                    .layersToTransform(List.of(0))
                    .layersPattern(List.of(regex))
                    .build()
                    .targets(Q0))
        .hasMessageContaining("layers_pattern: '" + regex + "' takes too many steps");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "(?:){2000000000}a",
        "((((?:){999}){999}){999}){999}a",
        "a{99999999999999999999}",
      })
  void repetitionsOfNothingAreBounded(String regex) {
    assertTimeoutPreemptively(
        SOON,
        () ->
            assertThatThrownBy(
                    () -> LoraConfig.builder().targetModules(TargetModules.matching(regex)).build())
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(
                    "it has more repetitions than names of modules have characters"));
  }

  @Test
  void depthAndLengthAreBounded() {
    String deep = Strings.repeat("(", 20_000) + "a" + Strings.repeat(")", 20_000);
    assertThatThrownBy(() -> matches(deep, "a")).hasMessageContaining("40001 characters");
    String nested = Strings.repeat("(", 400) + "a" + Strings.repeat(")", 400);
    assertThatThrownBy(() -> matches(nested, "a")).hasMessageContaining("100 deep");
    String optional = Strings.repeat("a?", 5000);
    assertTimeoutPreemptively(SOON, () -> tolerated(() -> matches(optional, "aaa")));
    String groups = Strings.repeat("(?:a|b)?", 1200);
    assertTimeoutPreemptively(SOON, () -> tolerated(() -> matches(groups, "aaa")));
  }

  /** It may match or be refused, but not end in an error of the machine's. */
  private static void tolerated(Runnable work) {
    try {
      work.run();
    } catch (IllegalArgumentException e) {
      assertThat(e).hasMessageContaining("simplify it");
    }
  }

  @Test
  void manyPatternsAreNoWorkAndTooManyAreGivenUp() {
    Map<String, Integer> ranks = new LinkedHashMap<>();
    for (int l = 0; l < 80; l++) {
      for (String m : List.of("q", "k", "v", "o", "gate", "up", "down")) {
        ranks.put("model.layers." + l + ".x." + m + "_proj", l + 1);
      }
    }
    LoraConfig config = LoraConfig.builder().rankPattern(ranks).build();
    assertTimeoutPreemptively(
        SOON, () -> ranks.forEach((name, rank) -> assertThat(config.rankOf(name)).isEqualTo(rank)));
    Map<String, Integer> expressions = new LinkedHashMap<>();
    for (int i = 0; i < 20_000; i++) {
      expressions.put(".*(.*)(.*)x(y|" + i + ")", 1);
    }
    LoraConfig hostile = LoraConfig.builder().rankPattern(expressions).build();
    assertTimeoutPreemptively(
        SOON,
        () -> assertThatThrownBy(() -> hostile.rankOf(Q0)).hasMessageContaining("too many steps"));
  }

  @Test
  void aDotInAPlainKeyIsAnyCharacter() {
    LoraConfig c =
        LoraConfig.builder()
            .rank(8)
            .rankPattern(ImmutableMap.of("self.attn.q.proj", 2, "attn.q_proj", 3))
            .build();
    assertThat(c.rankOf(Q0)).isEqualTo(2);
    assertThat(c.rankOf("x.attn.q_proj")).isEqualTo(3);
    assertThat(c.rankOf("xattn.q_proj")).isEqualTo(8);
    assertThat(c.rankOf("attn.q_proj")).isEqualTo(3);
  }
}
