package org.tune4j.core.model;

import java.util.List;

/**
 * Makes one adapter of several, without data: what a training stage does at its end that serves by
 * what others learned. {@code toString} says all that determines the result: it is shown in the
 * plan, and a run is only resumed with a combination that says the same.
 */
public interface AdapterCombination {
  /**
   * Checks, before anything is trained, that adapters of a kind can be combined so.
   *
   * @param factory what makes them
   * @throws IllegalArgumentException if they cannot; the message names why
   */
  void require(AdapterFactory factory);

  /**
   * Returns the combined adapter, frozen; the given ones stay as they are. The same adapters and
   * weights give the same bits. All that training would change of it is in its {@linkplain
   * Adapter#parameters() parameters}.
   *
   * @param adapters on one model, at least one
   * @param weights one for each
   * @throws IllegalArgumentException if they do not go together; the message names what differs
   */
  Adapter combine(String name, List<? extends Adapter> adapters, double... weights);
}
