package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.junit.jupiter.api.Test;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.testing.TinyModels;

/** Several adapters merged in order are the same model as all of them applied in that order. */
class MergedEqualsAppliedTest {
  private static final Path CASE = Path.of("src/test/resources/cases/two-doras");

  /** An adapter to be drawn: how its product is scaled, whether rows are rescaled, and where. */
  record Drawn(boolean rslora, boolean dora, int rank, double alpha, String targets, long seed) {
    LoraAdapter on(LanguageModel model) {
      LoraAdapter adapter =
          LoraConfig.builder()
              .rank(rank)
              .alpha(alpha)
              .rslora(rslora)
              .dora(dora)
              .targetModules(TargetModules.matching(targets))
              .build()
              .create(model, "a" + seed, seed);
      TinyModels.disturb(adapter, seed);
      return adapter;
    }
  }

  @Provide
  Arbitrary<List<Drawn>> adapters() {
    return Combinators.combine(
            Arbitraries.of(true, false),
            Arbitraries.of(true, false),
            Arbitraries.integers().between(1, 5),
            Arbitraries.doubles().between(0.5, 6).ofScale(1),
            Arbitraries.of(
                ".*(c_attn|c_fc|[a-z]_proj|(gate|up|down)_proj)",
                ".*(lm_head|v_proj|c_attn)",
                ".*(lm_head|embed_tokens|wte|wpe|q_proj)",
                ".*(c_attn|q_proj|v_proj)",
                ".*(c_proj|o_proj|down_proj)",
                ".*\\.1\\..*(c_fc|c_attn|up_proj|k_proj)"),
            Arbitraries.longs().between(1, 1000))
        .as(Drawn::new)
        .list()
        .ofMinSize(1)
        .ofMaxSize(3);
  }

  @Property(tries = 60)
  void inEveryMixAndOrder(
      @ForAll("adapters") List<Drawn> drawn, @ForAll("families") String family) {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model = TinyModels.model(family, engine)) {
      List<LoraAdapter> adapters = new ArrayList<>();
      drawn.forEach(d -> adapters.add(d.on(model)));
      for (int order = 0; order < 2; order++) {
        float[] base = TinyModels.logits(model);
        float[] applied = TinyModels.logits(model, adapters.toArray(new LoraAdapter[0]));
        try (LanguageModel copy = model.withMerged(adapters)) {
          assertThat(TinyModels.relativeError(TinyModels.logits(copy), applied)).isLessThan(1e-5);
        }
        assertThat(TinyModels.logits(model)).isEqualTo(base);
        for (int merged = 1; merged <= adapters.size(); merged++) {
          Merging.merge(List.of(adapters.get(merged - 1)));
          List<LoraAdapter> rest = adapters.subList(merged, adapters.size());
          float[] mixed = TinyModels.logits(model, rest.toArray(new LoraAdapter[0]));
          assertThat(TinyModels.relativeError(mixed, applied))
              .as("%s merged, %s applied on top", merged, rest.size())
              .isLessThan(1e-5);
        }
        Merging.unmerge(model);
        Collections.reverse(adapters);
      }
      adapters.forEach(LoraAdapter::close);
    }
  }

  @Provide
  Arbitrary<String> families() {
    return Arbitraries.of("gpt2", "llama", "qwen2");
  }

  @Test
  void asPeftWritesThem() throws IOException {
    try (LanguageModel model = LanguageModel.load(CASE.resolve("model"));
        LoraAdapter plain = PeftFormat.load(model, "plain", CASE.resolve("a-r4"));
        LoraAdapter first = PeftFormat.load(model, "first", CASE.resolve("d1-dora"));
        LoraAdapter second = PeftFormat.load(model, "second", CASE.resolve("d2-dora"))) {
      for (List<LoraAdapter> stack :
          List.of(
              List.of(first, second),
              List.of(second, first),
              List.of(plain, first),
              List.of(first, plain),
              List.of(second, plain, first))) {
        float[] applied = TinyModels.logits(model, stack.toArray(new LoraAdapter[0]));
        Merging.merge(stack);
        assertThat(TinyModels.relativeError(TinyModels.logits(model), applied))
            .as("%s", stack)
            .isLessThan(1e-5);
        Merging.unmerge(model);
      }
    }
  }
}
