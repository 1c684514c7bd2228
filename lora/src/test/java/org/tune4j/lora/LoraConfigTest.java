package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.function.UnaryOperator;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Projection;
import org.tune4j.testing.TinyModels;

/** PEFT's rules for which modules are adapted, how, and from which values. */
class LoraConfigTest {
  private static final String Q1 = "model.layers.1.self_attn.q_proj";

  private static LoraConfig with(UnaryOperator<LoraConfig.Builder> change) {
    return change.apply(LoraConfig.builder()).build();
  }

  @ParameterizedTest
  @CsvSource({
    "q_proj, model.layers.1.self_attn.q_proj, true",
    "self_attn.q_proj, model.layers.1.self_attn.q_proj, true",
    "model.layers.1.self_attn.q_proj, model.layers.1.self_attn.q_proj, true",
    "_proj, model.layers.1.self_attn.q_proj, false", // a suffix begins after a dot
    "proj, model.layers.1.self_attn.q_proj, false",
    "q_pro., model.layers.1.self_attn.q_proj, false", // names are no expressions
    "attn.c_proj, transformer.h.0.attn.c_proj, true",
    "attn.c_proj, transformer.h.0.mlp.c_proj, false",
  })
  void listedNamesMatchWholeOrAfterADot(String target, String module, boolean expected) {
    assertThat(with(b -> b.targetModules(target)).targets(module)).isEqualTo(expected);
    boolean excluded =
        with(b -> b.excludeModules(TargetModules.named(List.of(target)))).targets(module);
    assertThat(excluded).isEqualTo(!expected);
  }

  @ParameterizedTest
  @CsvSource({
    ".*\\.q_proj, true",
    "q_proj, false", // the whole name
    ".*self_attn.*, true",
    "model\\.layers\\.[02]\\..*, false",
    ".*\\.(?P<kind>q|v)_proj, true", // Python's named groups
  })
  void expressionsMatchTheWholeName(String regex, boolean expected) {
    assertThat(with(b -> b.targetModules(TargetModules.matching(regex))).targets(Q1))
        .isEqualTo(expected);
    assertThat(with(b -> b.excludeModules(TargetModules.matching(regex))).targets(Q1))
        .isEqualTo(!expected);
  }

  @Test
  void layersAreTheFirstNumberedSegment() {
    LoraConfig second = with(b -> b.targetModules("q_proj").layersToTransform(List.of(1)));
    assertThat(second.targets(Q1)).isTrue();
    assertThat(second.targets("model.layers.11.self_attn.q_proj")).isFalse();
    assertThat(second.targets("model.layers.0.experts.1.q_proj")).isFalse();
    assertThat(second.targets("model.layers.1.experts.0.q_proj")).isTrue();
    assertThat(second.targets("encoder.q_proj")).isFalse();

    assertThat(second.toBuilder().layersPattern(List.of("h", "layers")).build().targets(Q1))
        .isTrue();
    assertThat(second.toBuilder().layersPattern(List.of("h")).build().targets(Q1)).isFalse();
    assertThat(second.toBuilder().layersToTransform(List.of()).build().targets(Q1)).isTrue();
    // as in PEFT, a full name is targeted whatever its layer
    assertThat(with(b -> b.targetModules(Q1).layersToTransform(List.of(0))).targets(Q1)).isTrue();
  }

  @Test
  void patternsHitInTheirOrder() {
    LoraConfig c =
        with(
            b ->
                b.rank(8)
                    .alpha(16)
                    .rankPattern(
                        ImmutableMap.of("layers.1.self_attn.q_proj", 2, "q_proj", 4, ".*_proj", 6))
                    .alphaPattern(ImmutableMap.of("^model.layers.0.*", 5.0, "attn.q_proj", 3.0)));
    assertThat(c.rankOf(Q1)).isEqualTo(2);
    assertThat(c.rankOf("model.layers.0.self_attn.q_proj")).isEqualTo(4);
    assertThat(c.rankOf("model.layers.0.self_attn.k_proj")).isEqualTo(6);
    assertThat(c.rankOf("model.layers.0.mlp.gate")).isEqualTo(8);
    assertThat(c.scaleOf("model.layers.0.self_attn.q_proj")).isEqualTo(5.0 / 4);
    // "attn.q_proj" is no suffix after a dot, so alpha is the general one
    assertThat(c.scaleOf(Q1)).isEqualTo(16.0 / 2);
  }

  @Property(tries = 50)
  void scaleIsAlphaOverRankOrItsRoot(
      @ForAll @IntRange(min = 1, max = 256) int rank,
      @ForAll @DoubleRange(min = -64, max = 64) double alpha) {
    assertThat(with(b -> b.rank(rank).alpha(alpha)).scaleOf(Q1)).isEqualTo(alpha / rank);
    assertThat(with(b -> b.rank(rank).alpha(alpha).rslora(true)).scaleOf(Q1))
        .isCloseTo(alpha / Math.sqrt(rank), within(1e-12));
  }

  @Test
  void allLinearIsEveryLayerButTheHead() {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        LanguageModel gpt2 = TinyModels.model("gpt2", engine)) {
      assertThat(LoraConfig.defaults().targetsOf(model))
          .hasSize(14)
          .isEqualTo(model.projections())
          .extracting(Projection::name)
          .noneMatch(n -> n.contains("lm_head") || n.contains("embed"));
      assertThat(LoraConfig.defaults().targetsOf(gpt2)).hasSize(8);
    }
  }

  @Test
  void namesThatNothingHasAreRefused() {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine)) {
      for (String name : List.of("head", "norm", "c_attn", "qproj")) {
        assertThatThrownBy(() -> with(b -> b.targetModules("q_proj", name)).create(model, "a", 1))
            .isInstanceOf(IllegalArgumentException.class)
            .hasMessageContaining(
                "target_modules: '" + name + "' is not a linear layer or embedding")
            .hasMessageContaining("q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj");
      }
      assertThatThrownBy(
              () ->
                  with(b -> b.targetModules(TargetModules.matching("q_proj")))
                      .create(model, "a", 1))
          .hasMessageContaining("'q_proj' matches no linear layer or embedding");
    }
  }

  @Test
  void initialValuesAreThoseOfPeft() {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine)) {
      LoraConfig kaiming = with(b -> b.rank(16));
      try (LoraAdapter a = kaiming.create(model, "a", 1)) {
        float[] down = a.values("model.layers.0.mlp.down_proj.lora_A.weight");
        double bound = 1 / Math.sqrt(24); // kaiming_uniform_(a=sqrt(5)) over in = 24
        assertThat(down).hasSize(16 * 24);
        assertThat(spread(down)).isCloseTo(bound / Math.sqrt(3), within(0.1 * bound));
        for (float v : down) {
          assertThat(Math.abs(v)).isLessThanOrEqualTo((float) bound);
        }
        assertThat(a.values("model.layers.0.mlp.down_proj.lora_B.weight")).containsOnly(0f);
      }
      LoraConfig gaussian = with(b -> b.rank(16).initialisation(Initialisation.GAUSSIAN));
      try (LoraAdapter a = gaussian.create(model, "a", 1)) {
        float[] down = a.values("model.layers.0.mlp.down_proj.lora_A.weight");
        assertThat(spread(down)).isCloseTo(1.0 / 16, within(0.01));
        assertThat(a.values("model.layers.0.mlp.down_proj.lora_B.weight")).containsOnly(0f);
      }
      LoraConfig random = with(b -> b.initialisation(Initialisation.RANDOM));
      try (LoraAdapter a = random.create(model, "a", 1)) {
        assertThat(spread(a.values("model.layers.0.mlp.down_proj.lora_B.weight")))
            .isGreaterThan(0.05);
      }
    }
  }

  private static double spread(float[] values) {
    double sum = 0;
    for (float v : values) {
      sum += (double) v * v;
    }
    return Math.sqrt(sum / values.length);
  }

  @Test
  void equalityIsByValue() {
    LoraConfig c = with(b -> b.rankPattern(ImmutableMap.of("a", 1, "b", 2)));
    assertThat(c.toBuilder().build()).isEqualTo(c).hasSameHashCodeAs(c);
    assertThat(c.toBuilder().dora(true).build()).isNotEqualTo(c);
    assertThat(with(b -> b.rankPattern(ImmutableMap.of("b", 2, "a", 1)))).isNotEqualTo(c);
  }

  /** Ways to set one option each. */
  private static final List<UnaryOperator<LoraConfig.Builder>> OPTIONS =
      List.of(
          b -> b.rank(5),
          b -> b.alpha(3),
          b -> b.dropout(0.25),
          b -> b.targetModules("q_proj", "v_proj"),
          b -> b.excludeModules(TargetModules.matching(".*\\.1\\..*")),
          b -> b.layersToTransform(List.of(1)),
          b -> b.layersPattern(List.of("layers")),
          b -> b.rankPattern(ImmutableMap.of("q_proj", 2)),
          b -> b.alphaPattern(ImmutableMap.of("q_proj", 2.5)),
          b -> b.rslora(true),
          b -> b.dora(true),
          b -> b.initialisation(Initialisation.GAUSSIAN),
          b -> b.bias(LoraConfig.Bias.LORA_ONLY),
          b -> b.modulesToSave("lm_head"),
          b -> b.ensureWeightTying(true));

  private static LoraConfig with(List<UnaryOperator<LoraConfig.Builder>> options) {
    LoraConfig.Builder b = LoraConfig.builder();
    for (UnaryOperator<LoraConfig.Builder> option : options) {
      b = option.apply(b);
    }
    return b.build();
  }

  @Property(tries = 100)
  void theOrderInWhichOptionsAreSetDoesNotMatter(@ForAll long seed) {
    List<UnaryOperator<LoraConfig.Builder>> shuffled = new ArrayList<>(OPTIONS);
    Collections.shuffle(shuffled, new Random(seed));
    LoraConfig one = with(OPTIONS);
    LoraConfig other = with(shuffled);
    assertThat(other).isEqualTo(one).hasSameHashCodeAs(one);
  }

  @Test
  void everyOptionCountsInEqualityAndIsCopied() {
    for (UnaryOperator<LoraConfig.Builder> option : OPTIONS) {
      LoraConfig.Builder b =
          LoraConfig.builder().targetModules("k_proj").layersToTransform(List.of(7));
      LoraConfig without = b.build();
      LoraConfig changed = option.apply(b).build();
      assertThat(changed).isNotEqualTo(without);
      assertThat(changed.toBuilder().build()).isEqualTo(changed).hasToString(changed.toString());
    }
  }

  @Property(tries = 20)
  void alphaIsTwiceTheRankHoweverThatIsSet(@ForAll @IntRange(min = 1, max = 512) int rank) {
    assertThat(LoraConfig.rank(rank)).isEqualTo(LoraConfig.builder().rank(rank).build());
    assertThat(LoraConfig.rank(rank).alpha()).isEqualTo(2.0 * rank);
    assertThat(LoraConfig.rank(rank).toBuilder().rank(rank + 1).build().alpha())
        .as("a copy keeps the alpha")
        .isEqualTo(2.0 * rank);
    assertThat(LoraConfig.defaults()).isEqualTo(LoraConfig.rank(8));
  }

  @Test
  void wrongValuesAreNamed() {
    refused("r is 0", b -> b.rank(0));
    refused("lora_alpha is NaN", b -> b.alpha(Double.NaN));
    refused("lora_dropout is 1.0", b -> b.dropout(1));
    refused("rank_pattern 'q_proj' is 0", b -> b.rankPattern(ImmutableMap.of("q_proj", 0)));
    refused(
        "alpha_pattern 'q_proj' is NaN",
        b -> b.alphaPattern(ImmutableMap.of("q_proj", Double.NaN)));
    refused(
        "target_modules: '(' is not a regular expression",
        b -> b.targetModules(TargetModules.matching("(")));
    refused("rank_pattern: '[' is not a regular", b -> b.rankPattern(ImmutableMap.of("[", 1)));
    refused("target_modules is empty", b -> b.targetModules());
    refused("'all-linear' must stand alone", b -> b.targetModules("all-linear", "q_proj"));
    refused(
        "layers_to_transform requires a list",
        b -> b.targetModules(TargetModules.matching(".*")).layersToTransform(List.of(0)));
    refused("layers_pattern needs layers_to_transform", b -> b.layersPattern(List.of("layers")));
  }

  private static void refused(String message, UnaryOperator<LoraConfig.Builder> change) {
    assertThatThrownBy(() -> with(change))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining(message);
  }

  @Test
  void aSmallerAdapterScalesItsUpdatesAlike() {
    LoraConfig whole =
        LoraConfig.builder()
            .rank(8)
            .alpha(12)
            .rankPattern(ImmutableMap.of("q_proj", 4))
            .alphaPattern(ImmutableMap.of("v_proj", 20.0))
            .build();
    LoraConfig quarter = whole.sized(0.25);
    assertThat(quarter.rank()).isEqualTo(2);
    for (String module : List.of("l.q_proj", "l.v_proj", "l.k_proj")) {
      assertThat(quarter.scaleOf(module)).as(module).isEqualTo(whole.scaleOf(module));
    }
    assertThat(quarter.rankOf("l.q_proj")).isEqualTo(1);
    assertThat(whole.sized(0.01).rank()).isEqualTo(1);
    assertThat(whole.sized(1)).isEqualTo(whole);
    LoraConfig rs = LoraConfig.builder().rank(8).alpha(12).rslora(true).build();
    assertThat(rs.sized(0.5).alpha()).isEqualTo(12);
    assertThat(rs.sized(0.5).rank()).isEqualTo(4);
  }
}
