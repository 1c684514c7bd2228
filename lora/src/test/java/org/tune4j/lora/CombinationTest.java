package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.testing.TinyModels;

/** Combinations against their definitions. */
class CombinationTest {
  private Engine engine;
  private LanguageModel model;

  @BeforeEach
  void start() {
    engine = Engines.create(Precision.F32);
    model = TinyModels.model("llama", engine);
  }

  @AfterEach
  void stop() {
    model.close();
    engine.close();
  }

  private LoraAdapter trained(LoraConfig config, String name, long seed) {
    LoraAdapter a = config.create(model, name, seed);
    TinyModels.disturb(a, seed);
    return a;
  }

  /** Returns {@code scale B A} of a module; zero if the adapter lacks it. */
  private double[] update(LoraAdapter adapter, String module) {
    Target m = adapter.targets().get(module);
    int size =
        model.projections().stream()
            .filter(p -> p.name().equals(module))
            .mapToInt(p -> p.in() * p.out())
            .findFirst()
            .orElseThrow();
    double[] update = new double[size];
    if (m == null) {
      return update;
    }
    int in = m.projection().in();
    float[] merged = new float[size];
    MatrixSource zeros = MatrixSource.of(m.projection().out(), in, new float[size]);
    new MergedSource(zeros, m.scale(), adapter.update(m).orElseThrow())
        .read(0, m.projection().out(), merged);
    for (int i = 0; i < size; i++) {
      update[i] = merged[i];
    }
    return update;
  }

  private static double distance(double[] a, double[] b) {
    double sum = 0;
    double norm = 0;
    for (int i = 0; i < a.length; i++) {
      sum += (a[i] - b[i]) * (a[i] - b[i]);
      norm += b[i] * b[i];
    }
    return sum == 0 ? 0 : Math.sqrt(sum / norm);
  }

  @Test
  void concatenationIsTheSumOfTheUpdates() {
    try (LoraAdapter first = trained(LoraConfig.rank(3), "first", 1);
        LoraAdapter second =
            trained(
                LoraConfig.builder()
                    .rank(2)
                    .alpha(7)
                    .rslora(true)
                    .targetModules(TargetModules.matching(".*(q_proj|up_proj)"))
                    .rankPattern(ImmutableMap.of("layers.1.self_attn.q_proj", 5))
                    .build(),
                "second",
                2);
        LoraAdapter sum =
            Combination.concatenation().apply("sum", List.of(first, second), 0.7, -1.3)) {
      assertThat(sum.trainable()).isFalse();
      for (String module : first.targets().keySet()) {
        double[] expected = update(first, module);
        double[] other = update(second, module);
        for (int i = 0; i < expected.length; i++) {
          expected[i] = 0.7 * expected[i] - 1.3 * other[i];
        }
        assertThat(distance(update(sum, module), expected)).as(module).isLessThan(1e-6);
      }
      assertThat(sum.targets().get("model.layers.1.self_attn.q_proj").rank()).isEqualTo(3 + 5);
      assertThat(sum.targets().get("model.layers.0.self_attn.q_proj").rank()).isEqualTo(3 + 2);
      assertThat(sum.targets().get("model.layers.0.self_attn.k_proj").rank()).isEqualTo(3);
    }
  }

  @Test
  void oneAdapterIsScaled() {
    try (LoraAdapter a = trained(LoraConfig.rank(3), "a", 1);
        LoraAdapter scaled = Combination.ties(0.1).apply("scaled", List.of(a), -0.4)) {
      for (String module : a.targets().keySet()) {
        double[] expected = update(a, module);
        for (int i = 0; i < expected.length; i++) {
          expected[i] *= -0.4;
        }
        assertThat(distance(update(scaled, module), expected)).as(module).isLessThan(1e-6);
      }
    }
  }

  private static List<Combination> all() {
    return List.of(
        Combination.linear(),
        Combination.concatenation(),
        Combination.ties(0.5),
        Combination.dareLinear(0.5, 1),
        Combination.dareTies(0.5, 1),
        Combination.svd(),
        Combination.tiesSvd(0.5),
        Combination.dareLinearSvd(0.5, 1),
        Combination.dareTiesSvd(0.5, 1));
  }

  private void same(LoraAdapter made, LoraAdapter expected, double times) {
    for (String module : expected.targets().keySet()) {
      double[] update = update(expected, module);
      for (int i = 0; i < update.length; i++) {
        update[i] *= times;
      }
      assertThat(distance(update(made, module), update)).as(module).isLessThan(1e-5);
    }
  }

  @Test
  void oneAdapterOfWeightOneIsItselfAndSoIsTheMeanOfItsCopies() {
    try (LoraAdapter a = trained(LoraConfig.builder().rank(3).rslora(true).build(), "a", 1)) {
      for (Combination c : all()) {
        try (LoraAdapter made = c.apply("made", List.of(a), 1)) {
          same(made, a, 1);
        }
      }
      for (Combination c :
          List.of(
              Combination.concatenation(), Combination.svd(), Combination.dareLinearSvd(1, 1))) {
        try (LoraAdapter made = c.apply("made", List.of(a, a), 0.5, 0.5)) {
          same(made, a, 1);
        }
      }
      for (Combination c : List.of(Combination.tiesSvd(1), Combination.dareTiesSvd(1, 1))) {
        try (LoraAdapter made = c.apply("made", List.of(a, a), 1, 1)) {
          same(made, a, 1);
        }
      }
      // PEFT's number: the sum over all pairs of B and A
      try (LoraAdapter made = Combination.linear().apply("made", List.of(a, a), 0.5, 0.5)) {
        same(made, a, 2);
      }
    }
  }

  @Test
  void singularValuesOfTheSumAreTheSumIfTheRankSuffices() {
    LoraConfig other = LoraConfig.builder().rank(2).targetModules("q_proj", "down_proj").build();
    try (LoraAdapter first = trained(LoraConfig.rank(3), "first", 1);
        LoraAdapter second = trained(other, "second", 2);
        LoraAdapter sum =
            Combination.concatenation().apply("sum", List.of(first, second), 0.7, -1.3);
        LoraAdapter whole =
            Combination.svd().rank(5).apply("whole", List.of(first, second), 0.7, -1.3);
        LoraAdapter part = Combination.svd().apply("part", List.of(first, second), 0.7, -1.3)) {
      same(whole, sum, 1);
      String shared = "model.layers.0.self_attn.q_proj";
      assertThat(part.targets().get(shared).rank()).as("the largest of the two").isEqualTo(3);
      double lost = distance(update(part, shared), update(sum, shared));
      assertThat(lost).isBetween(1e-3, 0.7);
      assertThat(
              distance(
                  update(part, "model.layers.0.mlp.up_proj"),
                  update(sum, "model.layers.0.mlp.up_proj")))
          .as("of one alone nothing is lost")
          .isLessThan(1e-5);
    }
  }

  /** PEFT's formulas, written down again in double precision and sorting. */
  private static double[] ties(List<double[]> updates, double density, double[] weights) {
    int n = updates.get(0).length;
    List<double[]> pruned = new ArrayList<>();
    for (double[] u : updates) {
      double[] magnitudes = Arrays.stream(u).map(Math::abs).sorted().toArray();
      double least = magnitudes[n - (int) (density * n)];
      pruned.add(Arrays.stream(u).map(v -> Math.abs(v) >= least ? v : 0).toArray());
    }
    double[] merged = new double[n];
    for (int e = 0; e < n; e++) {
      double total = 0;
      for (double[] p : pruned) {
        total += p[e];
      }
      int count = 0;
      for (int i = 0; i < weights.length; i++) {
        if (pruned.get(i)[e] != 0 && pruned.get(i)[e] > 0 == total >= 0) {
          merged[e] += weights[i] * pruned.get(i)[e];
          count++;
        }
      }
      merged[e] /= Math.max(1, count);
    }
    return merged;
  }

  @Test
  void tiesIsThatOfTheUpdates() {
    LoraConfig larger = LoraConfig.builder().rank(2).alpha(9).build();
    double[] weights = {1, 0.8, 1.5};
    try (LoraAdapter first = trained(LoraConfig.rank(3), "first", 1);
        LoraAdapter second = trained(larger, "second", 2);
        LoraAdapter third = trained(LoraConfig.rank(1), "third", 3);
        LoraAdapter merged =
            Combination.tiesSvd(0.3)
                .rank(1000) // of every matrix all
                .apply("merged", List.of(first, second, third), weights)) {
      for (String module : first.targets().keySet()) {
        List<double[]> updates =
            List.of(update(first, module), update(second, module), update(third, module));
        assertThat(distance(update(merged, module), ties(updates, 0.3, weights)))
            .as(module)
            .isLessThan(1e-4);
      }
      Target q = merged.targets().get("model.layers.0.self_attn.q_proj");
      assertThat(q.rank()).isEqualTo(Math.min(q.projection().in(), q.projection().out()));
    }
  }

  @Test
  void whatCannotBeCombinedIsRefusedBeforeItIsMade() {
    Combination c = Combination.tiesSvd(0.5);
    c.require(LoraConfig.defaults());
    assertThatThrownBy(() -> c.require(LoraConfig.builder().dora(true).build()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("DoRA adapters cannot be combined: their updates do not add up");
    assertThatThrownBy(() -> c.require(LoraConfig.builder().modulesToSave("lm_head").build()))
        .hasMessageContaining("modules_to_save is [lm_head]");
    assertThatThrownBy(() -> c.require((model, name, seed) -> null))
        .hasMessageContaining("ties_svd of density 0.5 combines LoRA adapters, not");
    assertThatThrownBy(() -> Combination.concatenation().rank(3)).hasMessageContaining("rank is 3");
    assertThat(Combination.dareTiesSvd(0.5, 7).electing(Combination.Majority.FREQUENCY).rank(4))
        .hasToString("dare_ties_svd of density 0.5, signs by frequency, seed 7, rank 4");
  }

  @Test
  void linearAddsTheFactorsWithRootsOfTheWeights() {
    LoraConfig config = LoraConfig.builder().rank(2).alpha(3).build();
    try (LoraAdapter first = trained(config, "first", 1);
        LoraAdapter second = trained(config, "second", 2);
        LoraAdapter sum = Combination.linear().apply("sum", List.of(first, second), 0.5, -2)) {
      String a = "model.layers.0.mlp.up_proj.lora_A.weight";
      String b = "model.layers.0.mlp.up_proj.lora_B.weight";
      double root1 = Math.sqrt(0.5 * 1.5);
      double root2 = Math.sqrt(2 * 1.5);
      for (int i = 0; i < 32; i++) {
        assertThat((double) sum.values(a)[i])
            .isCloseTo(root1 * first.values(a)[i] - root2 * second.values(a)[i], within(1e-6));
        assertThat((double) sum.values(b)[i])
            .isCloseTo(root1 * first.values(b)[i] + root2 * second.values(b)[i], within(1e-6));
      }
      assertThat(sum.targets().get("model.layers.0.mlp.up_proj").scale()).isEqualTo(1);
    }
  }

  @Test
  void aConcatenationIsSavedAndLoadedAsAnyAdapter(@TempDir Path folder) throws IOException {
    LoraConfig other = LoraConfig.builder().rank(2).targetModules("q_proj", "down_proj").build();
    try (LoraAdapter first = trained(LoraConfig.rank(3), "first", 1);
        LoraAdapter second = trained(other, "second", 2);
        LoraAdapter sum = Combination.concatenation().apply("sum", List.of(first, second), 1, 1)) {
      sum.save(folder.resolve("sum"));
      try (LoraAdapter loaded = PeftFormat.load(model, "loaded", folder.resolve("sum"))) {
        assertThat(TinyModels.logits(model, loaded)).isEqualTo(TinyModels.logits(model, sum));
      }
      // the updates of a stack add up too
      assertThat(
              TinyModels.relativeError(
                  TinyModels.logits(model, sum), TinyModels.logits(model, first, second)))
          .isLessThan(1e-5);
    }
  }

  @Test
  void dareIsRepeatable() {
    try (LoraAdapter first = trained(LoraConfig.rank(3), "first", 1);
        LoraAdapter second = trained(LoraConfig.rank(3), "second", 2);
        LoraAdapter once =
            Combination.dareTies(0.5, 9).apply("once", List.of(first, second), 1, 1);
        LoraAdapter again =
            Combination.dareTies(0.5, 9).apply("again", List.of(first, second), 1, 1);
        LoraAdapter updates =
            Combination.dareTiesSvd(0.5, 9).apply("updates", List.of(first, second), 1, 1);
        LoraAdapter updatesAgain =
            Combination.dareTiesSvd(0.5, 9).apply("updates", List.of(first, second), 1, 1);
        LoraAdapter other =
            Combination.dareTies(0.5, 10).apply("other", List.of(first, second), 1, 1)) {
      assertThat(TinyModels.get(again)).isEqualTo(TinyModels.get(once));
      assertThat(TinyModels.get(updatesAgain)).isEqualTo(TinyModels.get(updates));
      assertThat(TinyModels.get(other)).isNotEqualTo(TinyModels.get(once));
    }
  }

  @Test
  void whatDoesNotFitIsNamed() {
    LoraConfig ranks =
        LoraConfig.builder().rank(3).rankPattern(ImmutableMap.of("v_proj", 4)).build();
    try (LanguageModel otherModel = TinyModels.model("llama", engine);
        LoraAdapter first = trained(LoraConfig.rank(3), "first", 1);
        LoraAdapter second = trained(ranks, "second", 2);
        LoraAdapter dora =
            LoraConfig.builder().rank(3).dora(true).build().create(model, "dora", 3);
        LoraAdapter elsewhere = LoraConfig.rank(3).create(otherModel, "elsewhere", 4)) {
      for (Combination c :
          List.of(
              Combination.linear(),
              Combination.ties(0.5),
              Combination.dareLinear(0.5, 1),
              Combination.dareTies(0.5, 1))) {
        assertThatThrownBy(() -> c.apply("sum", List.of(first, second), 1, 1))
            .isInstanceOf(IllegalArgumentException.class)
            .hasMessageContaining(
                "model.layers.0.self_attn.v_proj has rank 3 in 'first' and 4 in 'second'");
      }
      Combination cat = Combination.concatenation();
      assertThatThrownBy(() -> cat.apply("sum", List.of(first, dora), 1, 1))
          .hasMessageContaining("'dora' is a DoRA adapter");
      assertThatThrownBy(() -> cat.apply("sum", List.of(first, elsewhere), 1, 1))
          .hasMessageContaining("'first' and 'elsewhere' are on different models");
      assertThatThrownBy(() -> cat.apply("sum", List.of(first, second), 1))
          .hasMessageContaining("1 weights for 2 adapters");
      assertThatThrownBy(() -> cat.apply("sum", List.of(first, second), 1, Double.NaN))
          .hasMessageContaining("the weight of 'second' is NaN");
      assertThatThrownBy(() -> cat.apply("sum", List.of()))
          .hasMessageContaining("no adapters to combine");
    }
    assertThatThrownBy(() -> Combination.ties(1.5)).hasMessageContaining("density is 1.5");
    assertThatThrownBy(() -> Combination.dareLinear(0, 1)).hasMessageContaining("density is 0.0");
  }
}
