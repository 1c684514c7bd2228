package org.tune4j.lora;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.ProjectionGroup;

/**
 * Merges adapters into the base model's weights, for deployment without adapters or as a new base
 * to train on. A merged model is as fast as the base, but only one set of adapters can be merged at
 * a time, while {@link AdapterSet} switches per call.
 *
 * <p>Merging changes the model for all its users: no other thread may use it at the same time,
 * unless all of them use the same {@link AdapterSet}. {@link LanguageModel#withMerged} instead
 * returns another model that shares all other weights.
 */
public final class Merging {
  private Merging() {}

  /**
   * Merges adapters into the model in order, on top of earlier merges; run the model without them
   * from then on. Each weight becomes {@code W + scale B A}, computed in F32. A DoRA adapter's
   * norms are those of the base's own weights with that adapter alone, as when it is applied and as
   * in PEFT since 0.21, so that merging several is equivalent to applying them in the same order,
   * whatever their kinds.
   *
   * @throws UnsupportedOperationException if an adapter is of a kind that cannot be merged
   */
  public static void merge(List<? extends Adapter> adapters) {
    adapters.forEach(Adapter::mergeIntoModel);
  }

  /** Undoes all merges into the model exactly, by reading the original weights again. */
  public static void unmerge(LanguageModel model) {
    model.engine().lock().lock();
    try {
      model.groups().stream().filter(ProjectionGroup::merged).forEach(ProjectionGroup::restore);
    } finally {
      model.engine().lock().unlock();
    }
  }

  /**
   * Saves the model with adapters merged into it as a Hugging Face directory, which can be used
   * without them; the model itself is not changed.
   *
   * @param adapters of this model, merged in order, on top of earlier merges
   * @param type of the stored weights: F32, F16 or BF16
   * @throws java.nio.file.FileAlreadyExistsException if the directory holds files that are not a
   *     model's
   * @throws IOException if it cannot be written; the message names the directory
   */
  public static void saveMerged(
      LanguageModel model, List<? extends Adapter> adapters, Path directory, ElementType type)
      throws IOException {
    try (LanguageModel merged = model.withMerged(adapters)) {
      merged.save(directory, type);
    }
  }
}
