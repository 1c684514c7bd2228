package org.tune4j.core.model.family;

import com.google.common.collect.ImmutableList;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/**
 * Granite 3: Llama with multipliers of embeddings, scores, residuals and logits, from the transfer
 * of hyperparameters between model sizes (Yang et al. 2022, "Tensor Programs V").
 */
public final class Granite extends LlamaLike {
  /** For {@link java.util.ServiceLoader}. */
  public Granite() {
    super(
        "granite", "GraniteForCausalLM", new Defaults(32000, 11008, 0, 2048, ImmutableList.of(2)));
  }

  @Override
  boolean readsBiases() {
    return true;
  }

  @Override
  String unwindowed() {
    return "full_attention";
  }

  @Override
  Multipliers multipliers(JsonFields f, int headDim) throws MalformedFileException {
    double residual = f.positive("residual_multiplier", 1);
    for (String biased : ImmutableList.of("attention_bias", "mlp_bias")) {
      if (residual != 1 && f.flag(biased, false)) {
        throw f.bad(biased, "true", "false, as residual_multiplier is " + residual);
      }
    }
    return new Multipliers(
        (float) f.positive("embedding_multiplier", 1),
        (float) f.positive("attention_multiplier", 1),
        (float) residual,
        (float) (1 / f.positive("logits_scaling", 1)));
  }
}
