package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import java.util.function.ToDoubleFunction;
import java.util.function.ToIntFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.Floats;
import org.tune4j.testing.ParityCheck;

/**
 * Cases of other kinds than the recorded ones, from a reference in double precision: every engine
 * must agree with it in everything that a case holds.
 */
class ReferenceParityTest {
  @TempDir Path folder;

  /** A PEFT configuration, and by module what it must come to: rank 0 for a module left alone. */
  private record Kind(
      String config, boolean dora, ToIntFunction<String> rank, ToDoubleFunction<String> scale) {}

  private void check(
      Kind kind, ElementType type, boolean tied, boolean scaledRope, int shards, boolean padded)
      throws IOException {
    DoubleUnaryOperator rounding =
        switch (type) {
          case BF16 -> v -> Floats.fromBf16(Floats.toBf16((float) v));
          case F16 -> v -> Floats.fromF16(Floats.toF16((float) v));
          default -> v -> (float) v;
        };
    ReferenceLlama llama = new ReferenceLlama(tied, scaledRope, 11, rounding);
    Random random = new Random(12);
    for (String module : llama.modules()) {
      int rank = kind.rank.applyAsInt(module);
      if (rank > 0) {
        llama.adapt(module, rank, kind.scale.applyAsDouble(module), kind.dora, random);
      }
    }
    new RecordedCase(llama, folder, padded).write(kind.config, type, tied, scaledRope, shards);
    for (String engine : GoldenTest.engines()) {
      ParityCheck.Report report = ParityCheck.run(folder, engine);
      assertThat(report.problems()).as(engine).isEmpty();
      assertThat(report.errors())
          .as(engine)
          .hasSize(9)
          .containsKeys("gradients", "trained tensors");
    }
  }

  @Test
  void rankStabilisedWithPatternsOnShardsWithScaledRope() throws IOException {
    String config =
        """
        {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 3, "lora_alpha": 5,
         "use_rslora": true, "target_modules": ["q_proj", "v_proj", "o_proj", "down_proj"],
         "rank_pattern": {"layers.1.self_attn.q_proj": 5, "down_proj": 2},
         "alpha_pattern": {"v_proj": 2, ".*proj": 4}}
        """;
    ToIntFunction<String> rank =
        m ->
            m.equals("model.layers.1.self_attn.q_proj")
                ? 5
                : m.endsWith("down_proj") ? 2 : m.matches(".*\\.[qvo]_proj") ? 3 : 0;
    ToDoubleFunction<String> scale =
        m -> (m.endsWith("v_proj") ? 2 : 4) / Math.sqrt(rank.applyAsInt(m));
    check(new Kind(config, false, rank, scale), ElementType.F32, false, true, 5, true);
  }

  @Test
  void doraOnHalfPrecisionWeights() throws IOException {
    String config =
        """
        {"peft_type": "LORA", "r": 4, "lora_alpha": 6, "use_dora": true,
         "target_modules": ".*(attn\\\\.[qko]|gate|down)_proj"}
        """;
    check(
        new Kind(config, true, m -> m.matches(".*(attn\\.[qko]|gate|down)_proj") ? 4 : 0, m -> 1.5),
        ElementType.BF16,
        false,
        true,
        1,
        true);
  }

  @Test
  void oneLayerWithExclusionsOnATiedModelWithoutMask() throws IOException {
    String config =
        """
        {"peft_type": "LORA", "r": 2, "lora_alpha": 3,
         "target_modules": ["self_attn.k_proj", "up_proj", "gate_proj", "model.layers.0.mlp.down_proj"],
         "layers_to_transform": [1], "layers_pattern": "layers", "exclude_modules": ["gate_proj"],
         "rank_pattern": {}, "alpha_pattern": {}}
        """;
    check(
        new Kind(
            config,
            false,
            m ->
                m.equals("model.layers.0.mlp.down_proj") // by its full name, whatever its layer
                        || m.matches("model\\.layers\\.1\\.(self_attn\\.k|mlp\\.up)_proj")
                    ? 2
                    : 0,
            m -> 1.5),
        ElementType.F16,
        true,
        false,
        1,
        false);
  }
}
