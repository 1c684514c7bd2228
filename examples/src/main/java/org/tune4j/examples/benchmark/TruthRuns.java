package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableMap;
import com.google.common.hash.Hasher;
import com.google.common.hash.Hashing;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.Task.Split;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.eval.Evaluator;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;

/**
 * Trains every strategy in every scenario and records the scores in a file; continues after an
 * interruption.
 */
final class TruthRuns {
  record Run(Scenario scenario, String strategy, long seed) {}

  private final LanguageModel model;
  private final Path kept;
  private final BooleanSupplier cancelled;

  TruthRuns(LanguageModel model, Path kept, BooleanSupplier cancelled) {
    this.model = model;
    this.kept = kept;
    this.cancelled = cancelled;
  }

  /** Returns all runs: each seed for all scenarios before the next, small scenarios first. */
  static List<Run> all(List<Scenario> scenarios, Iterable<String> strategies, int seeds) {
    List<Scenario> ordered =
        scenarios.stream().sorted(Comparator.comparingDouble(Scenario::passes)).toList();
    List<Run> runs = new ArrayList<>();
    for (long seed = 0; seed < seeds; seed++) {
      for (Scenario s : ordered) {
        for (String strategy : strategies) {
          runs.add(new Run(s, strategy, seed));
        }
      }
    }
    return runs;
  }

  /**
   * Returns a hash of a scenario's data and training settings. It does not depend on any {@code
   * toString}, so that results stay valid when one changes.
   */
  static String settings(Scenario s) throws IOException {
    Hasher hash = Hashing.sha256().newHasher();
    hash.putString(Scenario.TRAINING + ", epochs " + s.epochs(), StandardCharsets.UTF_8);
    for (Task t : s.tasks()) {
      for (Split split : Split.values()) {
        for (Example e : t.split(split)) {
          hash.putString(e.prompt() + '\0' + e.completion() + '\0', StandardCharsets.UTF_8);
        }
      }
    }
    return hash.hash().toString().substring(0, 12);
  }

  /**
   * Executes the runs that are not recorded yet.
   *
   * @param done called after each
   * @return whether all are done
   */
  boolean run(List<Run> runs, Consumer<Truth> done) throws IOException {
    Set<String> recorded = new HashSet<>();
    for (Truth t : Lines.read(kept, Truth.class)) {
      recorded.add(t.key() + ' ' + t.settings());
    }
    Map<String, String> settings = new HashMap<>();
    for (Run r : runs) {
      String id = r.scenario.id();
      if (!settings.containsKey(id)) {
        settings.put(id, settings(r.scenario));
      }
      String key = id + ' ' + r.strategy + ' ' + r.seed + ' ' + settings.get(id);
      if (recorded.contains(key)) {
        continue;
      }
      if (cancelled.getAsBoolean()) {
        return false;
      }
      Truth truth = measure(r, settings.get(id));
      if (truth == null) {
        return false;
      }
      Lines.append(kept, truth);
      done.accept(truth);
    }
    return true;
  }

  private Truth measure(Run r, String settings) throws IOException {
    List<Task> tasks = r.scenario.tasks();
    Path directory = Files.createTempDirectory("tune4j-benchmark");
    try (FineTuningResult result =
        FineTuner.of(model)
            .tasks(tasks)
            .lora(Scenario.lora())
            .strategy(Contender.of(r.strategy, tasks))
            .hyperparameters(r.scenario.hyperparameters(r.seed, Contender.epochs(r.strategy)))
            .output(directory.resolve("run"))
            .cancelled(cancelled)
            .run()) {
      return result.completed() ? scored(r, settings, tasks, result) : null;
    } finally {
      AtomicFiles.deleteRecursively(directory);
    }
  }

  private Truth scored(Run r, String settings, List<Task> tasks, FineTuningResult result)
      throws IOException {
    Map<Split, ImmutableMap<String, Double>> scores = new LinkedHashMap<>();
    Evaluator evaluator = Evaluator.of(result.model());
    for (Split split : List.of(Split.TEST, Split.VALIDATION)) {
      ImmutableMap.Builder<String, Double> byTask = ImmutableMap.builder();
      evaluator
          .evaluateAll(tasks, split, result::adaptersFor)
          .forEach((task, e) -> byTask.put(task, Math.round(1e4 * e.score()) / 1e4));
      scores.put(split, byTask.buildOrThrow());
    }
    return new Truth(
        r.scenario.id(),
        settings,
        r.strategy,
        r.seed,
        scores.get(Split.TEST),
        scores.get(Split.VALIDATION),
        result.training().tokens(),
        Math.round(100 * result.training().seconds()) / 100.0,
        model.engine().precision().name());
  }
}
