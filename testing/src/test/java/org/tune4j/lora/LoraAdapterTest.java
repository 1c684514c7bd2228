package org.tune4j.lora;

import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Nested;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Parameters.Slot;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Projection;
import org.tune4j.testing.AdapterContract;

/** Every variant of LoRA against the contract. */
class LoraAdapterTest {
  abstract static class Variant extends AdapterContract {
    abstract LoraConfig config();

    @Override
    protected Adapter create(LanguageModel model, String name, long seed) {
      return config().create(model, name, seed);
    }

    @Override
    protected Adapter load(LanguageModel model, String name, Path directory) throws IOException {
      return PeftFormat.load(model, name, directory);
    }

    @Override
    protected boolean dropsOut() {
      return config().dropout() > 0;
    }

    /** DoRA's gradient takes {@code ||W + s B A||} as constant: moves m so that m / norm stays. */
    @Override
    protected void hold(Adapter adapter, float[] before, float[] moved) {
      if (config().variant() == LoraVariant.dora()) {
        LoraAdapter dora = (LoraAdapter) adapter;
        for (Target t : dora.targets().values()) {
          double[] old = norms(dora, t, before);
          double[] now = norms(dora, t, moved);
          long magnitude = dora.weight(t.name() + ".lora_magnitude_vector").slot().offset();
          for (int o = 0; o < old.length; o++) {
            // a move of m itself remains
            moved[(int) magnitude + o] *= (float) (now[o] / old[o]);
          }
        }
      }
    }

    private static double[] norms(LoraAdapter adapter, Target m, float[] at) {
      Slot a = adapter.weight(PlainLora.aName(m)).slot();
      Slot b = adapter.weight(PlainLora.bName(m)).slot();
      Projection p = m.projection();
      MatrixSource source = p.source();
      Residual residual = adapter.residual(m.group());
      if (residual != null) {
        source = new MergedSource(source, -m.scale(), residual.moved(m));
      }
      float[] w = new float[p.out() * p.in()];
      source.read(0, source.rows(), w);
      double[] norms = new double[p.out()];
      for (int o = 0; o < p.out(); o++) {
        for (int c = 0; c < p.in(); c++) {
          double v = m.embedding() ? w[c * p.out() + o] : w[o * p.in() + c];
          for (int k = 0; k < m.rank(); k++) {
            double ofA = m.embedding() ? value(a, at, c, k) : value(a, at, k, c);
            v += m.scale() * value(b, at, o, k) * ofA;
          }
          norms[o] += v * v;
        }
        norms[o] = Math.sqrt(norms[o]);
      }
      return norms;
    }

    private static double value(Slot slot, float[] at, int row, int col) {
      return at[(int) slot.offset() + row * slot.cols() + col];
    }
  }

  @Nested
  class Plain extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.rank(3);
    }
  }

  @Nested
  class RankStabilisedWithPatterns extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(2)
          .alpha(3)
          .rslora(true)
          .targetModules(
              TargetModules.matching(".*(c_attn|c_fc|c_proj|[qvo]_proj|up_proj|down_proj)"))
          .rankPattern(
              ImmutableMap.of("v_proj", 5, ".*\\.1\\..*(up_proj|c_fc)", 4, "h.0.attn.c_attn", 1))
          .alphaPattern(ImmutableMap.of("(down|c)_proj", 1.5))
          .initialisation(Initialisation.GAUSSIAN)
          .build();
    }
  }

  @Nested
  class WithDropout extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder().rank(3).dropout(0.3).build();
    }
  }

  @Nested
  class Dora extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder().rank(3).dora(true).build();
    }
  }

  @Nested
  class DoraWithDropoutOnOneLayer extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(2)
          .dora(true)
          .dropout(0.3)
          .targetModules(TargetModules.matching(".*\\.1\\..*(c_attn|c_fc|q_proj|k_proj|down_proj)"))
          .build();
    }
  }

  @Nested
  class OnHeadAndEmbeddings extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(3)
          .targetModules(TargetModules.matching(".*(lm_head|embed_tokens|wte|wpe|[qv]_proj|c_fc)"))
          .rankPattern(ImmutableMap.of("lm_head", 2, "embed_tokens|wte", 4))
          .build();
    }
  }

  @Nested
  class OnHeadAndEmbeddingWithDropout extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(3)
          .dropout(0.3)
          .targetModules(TargetModules.matching("lm_head|.*(embed_tokens|wte)"))
          .build();
    }
  }

  @Nested
  class DoraOnTheHead extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(3)
          .dora(true)
          .targetModules(TargetModules.matching(".*(lm_head|q_proj|c_attn)"))
          .build();
    }
  }

  @Nested
  class DoraOnTheHeadWithDropout extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(2)
          .dora(true)
          .dropout(0.3)
          .targetModules(TargetModules.matching(".*(lm_head|down_proj|c_fc)"))
          .build();
    }
  }

  @Nested
  class DoraOnEmbeddings extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(3)
          .dora(true)
          .dropout(0.3) // which an embedding has none of
          .targetModules(TargetModules.matching(".*(embed_tokens|wte|wpe|v_proj|c_fc)"))
          .build();
    }
  }

  @Nested
  class WithHeadSaved extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder().rank(2).modulesToSave("lm_head").build();
    }

    @Override
    protected boolean stacks() {
      return false; // each has a head of its own
    }
  }

  @Nested
  class WithHeadAndEmbeddingsSaved extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder().rank(2).modulesToSave("lm_head").build();
    }

    @Override
    protected Adapter create(LanguageModel model, String name, long seed) {
      LoraConfig.Builder b = config().toBuilder();
      if (model.moduleNames().contains("transformer.wte")) {
        b.modulesToSave("lm_head", "wte", "wpe");
      } else {
        b.modulesToSave("head", "embed_tokens");
      }
      return b.build().create(model, name, seed);
    }

    @Override
    protected boolean stacks() {
      return false;
    }
  }

  /** A is trained, B is saved and held. */
  @Nested
  class Mica extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(3)
          .initialisation(Initialisation.MICA)
          .targetModules(
              TargetModules.matching(
                  ".*(q_proj|v_proj|c_attn|c_fc|down_proj|lm_head|embed_tokens|wpe)"))
          .build();
    }

    @Override
    protected boolean drawsAtRandom() {
      return false;
    }
  }

  /** A variant that is no part of this library: one file and a line that registers it. */
  @Nested
  class Rescaled extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .variant(RescaledOutputs.registered())
          .targetModules(TargetModules.matching(".*(c_attn|c_fc|[a-z]_proj|down_proj|lm_head)"))
          .build();
    }

    @Override
    protected boolean drawsAtRandom() {
      return false;
    }
  }

  @Nested
  class Orthogonal extends Variant {
    @Override
    LoraConfig config() {
      return LoraConfig.builder().rank(4).initialisation(Initialisation.ORTHOGONAL).build();
    }
  }

  abstract static class OnResidual extends Variant {
    @Override
    protected boolean savesParameters() {
      return false; // but as plain LoRA of twice the rank
    }

    @Override
    protected boolean drawsAtRandom() {
      return false;
    }
  }

  @Nested
  class Pissa extends OnResidual {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(3)
          .initialisation(Initialisation.PISSA)
          .targetModules(TargetModules.matching(".*(c_attn|c_proj|[qkv]_proj|down_proj|lm_head)"))
          .rankPattern(ImmutableMap.of("v_proj|c_proj", 50)) // more than there are
          .build();
    }
  }

  @Nested
  class PissaWithDropoutAndAnEmbedding extends OnResidual {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(3)
          .alpha(3)
          .dropout(0.3)
          .initialisation(Initialisation.PISSA)
          .targetModules(TargetModules.matching(".*(c_attn|[qv]_proj|embed_tokens|wte)"))
          .build();
    }

    @Override
    protected boolean drawsAtRandom() {
      return true; // the embedding's
    }
  }

  @Nested
  class PissaWithDora extends OnResidual {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(3)
          .dora(true)
          .initialisation(Initialisation.PISSA)
          .targetModules(TargetModules.matching(".*(c_attn|c_proj|[qv]_proj|down_proj|lm_head)"))
          .rankPattern(ImmutableMap.of("v_proj|c_proj", 50))
          .build();
    }
  }

  @Nested
  class OloraWithDoraAndDropout extends OnResidual {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(3)
          .alpha(4)
          .dora(true)
          .dropout(0.3)
          .initialisation(Initialisation.OLORA)
          .targetModules(TargetModules.matching(".*(q_proj|k_proj|up_proj|lm_head)"))
          .build();
    }
  }

  @Nested
  class Olora extends OnResidual {
    @Override
    LoraConfig config() {
      return LoraConfig.builder()
          .rank(3)
          .alpha(2)
          .rslora(true)
          .initialisation(Initialisation.OLORA)
          .targetModules(TargetModules.matching(".*(q_proj|v_proj|up_proj|down_proj|lm_head)"))
          .build();
    }
  }
}
