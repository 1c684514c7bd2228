package org.tune4j.testing;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Path;
import org.tune4j.core.io.JsonFields;

/**
 * The {@code case.json} of a recorded run; see {@link ParityCheck}.
 *
 * @param losses mean losses before training, {@code base} and {@code adapter}, as far as recorded
 * @param steps the loss of each step
 * @param norms the norm of each step's gradients, before clipping
 */
record RecordedRun(
    ImmutableMap<String, Double> losses,
    ImmutableList<Double> steps,
    ImmutableList<Double> norms,
    AdamW optimizer) {

  /**
   * AdamW's settings, as named in PyTorch.
   *
   * @param maxGradNorm norm to which gradients were clipped; infinite if they were not
   */
  record AdamW(
      double lr, double beta1, double beta2, double eps, double weightDecay, double maxGradNorm) {}

  /**
   * Reads a {@code case.json}.
   *
   * @throws java.nio.file.NoSuchFileException if there is none
   * @throws org.tune4j.core.io.MalformedFileException if a required field is missing
   */
  static RecordedRun read(Path file) throws IOException {
    JsonFields root = JsonFields.read(file);
    JsonFields loss = root.object("loss");
    ImmutableMap.Builder<String, Double> losses = ImmutableMap.builder();
    for (String which : ImmutableList.of("base", "adapter")) {
      if (loss.has(which)) {
        losses.put(which, loss.number(which));
      }
    }
    ImmutableList<Double> steps = loss.numbers("steps");
    if (steps.isEmpty()) {
      throw loss.bad("steps", "a loss for each step");
    }
    ImmutableList<Double> norms = root.numbers("grad_norm");
    if (norms.size() != steps.size()) {
      throw root.bad(
          "grad_norm", norms.size() + " values", steps.size() + ", as many as loss.steps");
    }
    return new RecordedRun(losses.buildOrThrow(), steps, norms, adamW(root.object("optimizer")));
  }

  private static AdamW adamW(JsonFields o) throws IOException {
    String name = o.text("name", "AdamW");
    if (!name.equals("AdamW")) {
      throw o.bad("name", "AdamW");
    }
    ImmutableList<Double> betas = o.numbers("betas");
    if (betas.size() != 2) {
      throw o.bad("betas", "two numbers");
    }
    return new AdamW(
        o.number("lr"),
        betas.get(0),
        betas.get(1),
        o.number("eps"),
        o.number("weight_decay"),
        o.number("max_grad_norm", Double.POSITIVE_INFINITY));
  }
}
