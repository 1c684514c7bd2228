package org.tune4j.eval;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Task.Split;
import org.tune4j.core.model.Pass;

/**
 * An example's log-likelihood.
 *
 * @param example index in its split
 * @param sum log-likelihood of its learned tokens, in nats
 * @param tokens number of learned tokens
 */
record Likelihood(int example, double sum, int tokens) {
  double tokenProbability() {
    return Math.exp(sum / tokens);
  }

  static double perplexity(List<Likelihood> likelihoods) {
    return Metrics.perplexity(
        likelihoods.stream().mapToDouble(Likelihood::sum).sum(),
        likelihoods.stream().mapToLong(Likelihood::tokens).sum());
  }

  /** Scores the first {@code scored} examples of a split. */
  static List<Likelihood> of(EvaluationRun run, Split split, int scored) {
    List<EncodedExample> encoded =
        run
            .encoder()
            .encode(run.task(), split, run.progress(), run::isCancelled)
            .examples()
            .stream()
            .filter(e -> e.example() < scored && e.lossTokens() > 0)
            .toList();
    checkArgument(
        !encoded.isEmpty(),
        "task '%s': none of its %s examples fits %s tokens",
        run.task().name(),
        split.name().toLowerCase(Locale.ROOT),
        run.encoder().maxLength());
    List<Likelihood> all = new ArrayList<>();
    for (Pass pass : Pass.divide(encoded, run.adapters(), run.tokensPerPass())) {
      run.requireNotCancelled();
      double[] sums = run.model().losses(pass).sums(pass.items().size());
      for (int i = 0; i < sums.length; i++) {
        EncodedExample e = pass.items().get(i).example();
        if (Double.isNaN(sums[i])) {
          throw run.notANumber(e.example(), "its log-likelihood is NaN");
        }
        all.add(new Likelihood(e.example(), -sums[i], e.lossTokens()));
      }
      run.reportProgress(all.size(), encoded.size());
    }
    return all;
  }
}
