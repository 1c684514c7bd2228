package org.tune4j.eval.advice;

import java.util.Optional;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.MemoryEstimate;
import org.tune4j.core.model.NotEnoughMemoryException;
import org.tune4j.core.train.Hyperparameters;

/**
 * Makes training fit the memory that there is, by what does not change what is learned: smaller
 * passes and checkpointing.
 */
final class MemoryFit {
  /** Tokens that smaller passes are not cut below. */
  private static final int LEAST_PASS = 32;

  private final LanguageModel model;
  private final Hyperparameters asked;
  private final ComputeBudget budget;
  private final int longest;
  private final double meanTokens;
  private final long adapterParameters;

  /** Takes the parameters of one adapter, and what the tasks' examples are like. */
  MemoryFit(Request request, Profiles profiles, long adapterParameters) {
    this.model = request.model();
    this.asked = request.hyperparameters();
    this.budget = request.budget();
    this.longest = profiles.longest();
    this.meanTokens =
        profiles.all().stream().mapToDouble(TaskProfile::meanTokens).max().orElseThrow();
    this.adapterParameters = adapterParameters;
  }

  /**
   * Returns the hyperparameters with passes small enough, checkpointed if need be; nothing if even
   * that is too much.
   *
   * @param lanes adapters trained side by side
   * @param adapters of the plan in all
   */
  Optional<Hyperparameters> fit(int lanes, int adapters) {
    Hyperparameters h = asked;
    while (bytes(h, lanes, adapters) > limit()) {
      if (h.tokensPerPass() / 2 >= Math.max(LEAST_PASS, longest)) {
        h = h.toBuilder().tokensPerPass(h.tokensPerPass() / 2).build();
      } else if (!h.activationCheckpointing()) {
        h = asked.toBuilder().activationCheckpointing(true).build();
      } else {
        return Optional.empty();
      }
    }
    return Optional.of(h);
  }

  /** Returns the hyperparameters with the least memory: the smallest passes, checkpointed. */
  Hyperparameters least() {
    return asked.toBuilder()
        .tokensPerPass(Math.min(asked.tokensPerPass(), Math.max(LEAST_PASS, longest)))
        .activationCheckpointing(true)
        .build();
  }

  /**
   * Checks that some adapter can be trained.
   *
   * @throws NotEnoughMemoryException if this machine has not the memory
   */
  void require() {
    if (fit(1, 1).isEmpty()) {
      estimate(least(), 1)
          .require(
              "training any adapter, with the smallest passes and checkpointing,", machineMemory());
    }
  }

  private long machineMemory() {
    return model.engine().freeMemory() + model.engine().memory().total();
  }

  /** Returns the bytes outside the heap that there are. */
  long limit() {
    return Math.min(budget.memoryBytes(), machineMemory());
  }

  /** Returns the bytes outside the heap that a plan takes at most. */
  long bytes(Hyperparameters h, int lanes, int adapters) {
    // weights and gradients, no moments
    long frozen = 8L * (adapters - lanes) * adapterParameters;
    return estimate(h, lanes).total() + frozen;
  }

  /** Returns the bytes of adapters as saved. */
  long savedBytes(int adapters) {
    return 4L * adapters * adapterParameters;
  }

  private MemoryEstimate estimate(Hyperparameters h, int lanes) {
    // as the trainer reckons: batches are rarely longer than half as much again as the mean
    int rows = (int) Math.min(h.tokensPerPass(), lanes * h.examplesPerStep() * meanTokens * 1.5);
    return MemoryEstimate.of(
        model.config(),
        model.engine(),
        Math.max(longest, rows),
        longest,
        lanes * adapterParameters,
        h.activationCheckpointing() ? Tape.Mode.CHECKPOINTING : Tape.Mode.RECORDING);
  }
}
