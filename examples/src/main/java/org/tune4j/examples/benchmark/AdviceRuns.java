package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.eval.advice.Assessment;
import org.tune4j.eval.advice.Recommendation;
import org.tune4j.eval.advice.StrategyRecommender;
import org.tune4j.eval.advice.StrategyRecommender.Level;
import org.tune4j.eval.advice.Trial;

/** Requests advice in scenarios and records it in a file; continues after an interruption. */
final class AdviceRuns {
  /** One request for advice. */
  record Run(Scenario scenario, Level level, long seed) {}

  private final LanguageModel model;
  private final Path kept;
  private final BooleanSupplier cancelled;

  AdviceRuns(LanguageModel model, Path kept, BooleanSupplier cancelled) {
    this.model = model;
    this.kept = kept;
    this.cancelled = cancelled;
  }

  /**
   * Returns all requests: one by rules, which do not depend on the seed, and one by experiment for
   * each seed.
   */
  static List<Run> all(List<Scenario> scenarios, int seeds) {
    List<Run> runs = new ArrayList<>();
    for (long seed = 0; seed < seeds; seed++) {
      for (Scenario s : scenarios) {
        if (seed == 0) {
          runs.add(new Run(s, Level.RULES, seed));
        }
        runs.add(new Run(s, Level.EXPERIMENT, seed));
      }
    }
    return runs;
  }

  /**
   * Makes the requests that are not recorded yet.
   *
   * @param done called after each
   */
  void run(List<Run> runs, Consumer<Advised> done) throws IOException {
    Set<String> recorded = new HashSet<>();
    for (Advised a : Lines.read(kept, Advised.class)) {
      recorded.add(a.key());
    }
    for (Run r : runs) {
      String settings = TruthRuns.settings(r.scenario);
      if (!recorded.contains(Advised.key(r.scenario.id(), settings, r.level, r.seed))) {
        Advised advised = ask(r, settings);
        Lines.append(kept, advised);
        done.accept(advised);
      }
    }
  }

  private Advised ask(Run r, String settings) throws IOException {
    Path directory = Files.createTempDirectory("tune4j-benchmark");
    try {
      long start = System.nanoTime();
      Recommendation advice =
          StrategyRecommender.of(model)
              .tasks(r.scenario.tasks())
              .lora(Scenario.lora())
              .hyperparameters(r.scenario.hyperparameters(r.seed))
              .level(r.level)
              .seed(r.seed)
              .output(directory)
              .cancelled(cancelled)
              .recommend();
      return advised(r, settings, advice, (System.nanoTime() - start) / 1e9);
    } finally {
      AtomicFiles.deleteRecursively(directory);
    }
  }

  private static Advised advised(Run r, String settings, Recommendation advice, double seconds) {
    ImmutableMap.Builder<String, Double> probabilities = ImmutableMap.builder();
    ImmutableMap.Builder<String, Double> gains = ImmutableMap.builder();
    long all = 0;
    List<Assessment> candidates = new ArrayList<>(advice.alternatives());
    candidates.add(0, advice.recommended());
    for (Assessment a : candidates) {
      probabilities.put(Contender.named(a.name()), rounded(a.probability()));
      gains.put(Contender.named(a.name()), rounded(a.gain().mean()));
      all += a.price().tokens();
    }
    ImmutableMap.Builder<String, Double> trials = ImmutableMap.builder();
    long spent = 0;
    long beside = 0;
    for (Trial t : advice.trials()) {
      trials.put(Contender.named(t.name()), rounded(t.score()));
      spent += t.tokens();
      beside += t.name().equals(advice.recommended().name()) ? 0 : t.tokens();
    }
    return new Advised(
        r.scenario.id(),
        settings,
        r.level,
        r.seed,
        Contender.named(advice.recommended().name()),
        probabilities.buildOrThrow(),
        gains.buildOrThrow(),
        rounded(advice.similarity().combined().mean()),
        trials.buildOrThrow(),
        spent,
        beside,
        all,
        rounded(seconds),
        rounded(seconds / advice.price().seconds()));
  }

  private static double rounded(double value) {
    return Math.round(1e4 * value) / 1e4;
  }
}
