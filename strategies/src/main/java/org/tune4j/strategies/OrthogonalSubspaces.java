package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.List;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.train.GradientHook;

/**
 * Keeps the input subspace of an adapter apart from those of the frozen adapters below it (O-LoRA:
 * Wang et al. 2023, section 3.2) by adding {@code strength * |A_earlier A'|^2} to the loss: the sum
 * of the squared dot products of all rows of an earlier adapter's {@code A [r, in]} and all rows of
 * this adapter's, over all modules and all adapters below. It has no state.
 *
 * <p>The paper's formula has the square; its authors' published code sums absolute values.
 */
record OrthogonalSubspaces(double strength) implements GradientHook {
  @Override
  public String name() {
    return "orthogonal subspaces";
  }

  @Override
  public State start(Parameters parameters) {
    checkArgument(
        !subspaces(parameters).isEmpty(),
        "orthogonal subspaces: the adapter has no lora_A, only %s",
        parameters.names());
    return g -> addTo(g.parameters(), g.below());
  }

  /** Returns the names of the matrices whose rows span an adapter's input subspaces. */
  static List<String> subspaces(Parameters parameters) {
    return parameters.names().stream()
        .filter(n -> n.endsWith(".lora_A.weight") || n.endsWith(".lora_embedding_A"))
        .toList();
  }

  /** Adds the gradient, {@code 2 strength (A_earlier A')' A_earlier}. */
  private void addTo(Parameters own, List<Parameters> below) {
    Engine engine = own.engine();
    for (String name : subspaces(own)) {
      Parameters.Slot slot = own.slot(name);
      for (Parameters earlier : below) {
        if (!earlier.names().contains(name)) {
          continue; // it does not adapt this module
        }
        Tensor a = earlier.weight(earlier.slot(name)); // [earlier rank, in]
        Tensor products = engine.allocate(a.rows(), slot.rows(), DType.F32);
        engine.gemm(1, a, false, own.weight(slot), true, 0, products);
        engine.gemm((float) (2 * strength), products, true, a, false, 1, own.gradient(slot));
        engine.release(products);
      }
    }
  }

  @Override
  public String toString() {
    return "orthogonal subspaces (O-LoRA, strength %s)".formatted(strength);
  }
}
