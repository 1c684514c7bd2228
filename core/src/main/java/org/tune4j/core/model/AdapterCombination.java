package org.tune4j.core.model;

import java.util.List;

/**
 * Combines several adapters into one, without data; done at the end of a training stage whose
 * result is made from other stages' adapters. {@code toString} describes everything that determines
 * the result: it is shown in the plan, and a run is only resumed with a combination of the same
 * description.
 */
public interface AdapterCombination {
  /**
   * Checks, before anything is trained, that adapters of a kind can be combined in this way.
   *
   * @param factory creates the adapters
   * @throws IllegalArgumentException if they cannot; the message says why
   */
  void require(AdapterFactory factory);

  /**
   * Returns the combined adapter, frozen; the given ones are unchanged. The same adapters and
   * weights give the same bits. Its whole trainable state is in its {@linkplain
   * Adapter#parameters() parameters}.
   *
   * @param adapters on one model, at least one
   * @param weights one for each
   * @throws IllegalArgumentException if they are incompatible; the message names what differs
   */
  Adapter combine(String name, List<? extends Adapter> adapters, double... weights);
}
