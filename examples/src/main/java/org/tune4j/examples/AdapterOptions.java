package org.tune4j.examples;

import java.util.List;
import org.tune4j.lora.Initialisation;
import org.tune4j.lora.LoraConfig;
import org.tune4j.lora.TargetModules;
import picocli.CommandLine.Option;

final class AdapterOptions {
  @Option(names = "--rank", paramLabel = "N", defaultValue = "8", description = "LoRA rank.")
  private int rank;

  @Option(
      names = "--alpha",
      paramLabel = "X",
      description = "LoRA alpha: updates are scaled by alpha / rank. Default: twice the rank.")
  private Double alpha;

  @Option(
      names = "--dropout",
      paramLabel = "P",
      defaultValue = "0",
      description = "Dropout on the adapters' input.")
  private double dropout;

  @Option(
      names = "--target-modules",
      paramLabel = "NAME",
      split = ",",
      defaultValue = TargetModules.ALL_LINEAR,
      description = "Modules to adapt, such as q_proj,v_proj; also lm_head and embed_tokens.")
  private List<String> targetModules;

  @Option(
      names = "--modules-to-save",
      paramLabel = "NAME",
      split = ",",
      description = "Output head or embeddings to train in full: lm_head, embed_tokens.")
  private List<String> modulesToSave = List.of();

  @Option(
      names = "--init",
      paramLabel = "METHOD",
      defaultValue = "KAIMING",
      description =
          "Initial values: KAIMING, GAUSSIAN, ORTHOGONAL, or computed from the base weights: PISSA, OLORA. Default: KAIMING.")
  private Initialisation initialisation;

  @Option(names = "--rslora", description = "Scale by alpha / sqrt(rank) (rank-stabilised LoRA).")
  private boolean rslora;

  @Option(names = "--dora", description = "Also learn the magnitude of each output (DoRA).")
  private boolean dora;

  LoraConfig config() {
    LoraConfig.Builder config = LoraConfig.builder().rank(rank);
    if (alpha != null) {
      config.alpha(alpha);
    }
    return config
        .dropout(dropout)
        .targetModules(targetModules)
        .modulesToSave(modulesToSave)
        .initialisation(initialisation)
        .rslora(rslora)
        .dora(dora)
        .build();
  }
}
