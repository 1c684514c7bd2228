package org.tune4j.eval.advice;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.eval.advice.StrategyRecommender.Level;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.TrainingStrategy;

/**
 * A recommended strategy, ready to run, with all that it rests on.
 *
 * <p><b>Confidence</b> is the probability that the recommended plan scores best of those that can
 * be run, by the {@link Forecast} and its errors; 1 if no other can. It may be below one half: of
 * plans that are hardly different none is likely to be the best, and the cheapest is recommended.
 * {@code docs/advice-benchmark.md} tells how often recommendations of each confidence were right.
 *
 * @param recommended the strategy with its hyperparameters, score and price
 * @param confidence from 0 to 1
 * @param reasons sentences with their numbers, the weightiest first
 * @param alternatives the other plans, best first, each with why not
 * @param warnings what to look after
 * @param worthTrying strategies to compare with {@link org.tune4j.eval.Experiment}, the recommended
 *     one first; empty if the lead is clear or the budget does not pay for all of them
 * @param scorecard the evidence
 * @param profiles of the tasks
 * @param similarity between the tasks
 * @param pilot if there was one
 * @param budget that it was made for
 * @param level how it was found
 * @param trials of candidates that were trained to the end, in their order; empty unless the level
 *     is {@link Level#EXPERIMENT}
 * @param continuation makes what {@link #fineTuner} returns
 */
public record Recommendation(
    Assessment recommended,
    double confidence,
    ImmutableList<String> reasons,
    ImmutableList<Assessment> alternatives,
    ImmutableList<String> warnings,
    ImmutableList<TrainingStrategy> worthTrying,
    Scorecard scorecard,
    ImmutableList<TaskProfile> profiles,
    TaskSimilarity similarity,
    Optional<Pilot> pilot,
    ComputeBudget budget,
    Level level,
    ImmutableList<Trial> trials,
    Supplier<FineTuner> continuation) {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** Returns the strategy of {@link #recommended}, to be given to {@code FineTuner}. */
  public TrainingStrategy strategy() {
    return recommended.strategy();
  }

  /**
   * Returns the hyperparameters to run it with: those given, with fewer epochs or smaller passes
   * where the budget wants it.
   */
  public Hyperparameters hyperparameters() {
    return recommended.hyperparameters();
  }

  /**
   * Returns a fine-tuner that does what is recommended, with the model, the tasks and the adapter
   * that advice was asked for; a listener or an output directory may still be set. Where the
   * recommended plan was trained already ({@link #trained}), it takes that run over rather than
   * train again, unless another output directory is set.
   */
  public FineTuner fineTuner() {
    return continuation.get();
  }

  /** Returns the run of the recommended plan, if it was trained to find out; it is complete. */
  public Optional<Path> trained() {
    return trials.stream()
        .filter(t -> t.name().equals(recommended.name()))
        .findFirst()
        .map(Trial::output);
  }

  /** Returns what it costs. */
  public PlanPrice price() {
    return recommended.price();
  }

  /** Returns everything as JSON. */
  public ObjectNode toJson() {
    ObjectNode root = JSON.createObjectNode();
    root.set("recommended", json(recommended));
    root.put("confidence", confidence);
    root.put("level", level.name());
    ArrayNode tried = root.putArray("trials");
    for (Trial t : trials) {
      ObjectNode node = tried.addObject().put("kind", t.name()).put("score", t.score());
      ObjectNode byTask = node.putObject("scores");
      t.evaluations().forEach((task, e) -> byTask.put(task, e.score()));
      node.put("tokens", t.tokens())
          .put("seconds", t.seconds())
          .put("output", t.output().toString());
    }
    root.set("reasons", strings(reasons));
    ArrayNode others = root.putArray("alternatives");
    alternatives.forEach(a -> others.add(json(a)));
    root.set("warnings", strings(warnings));
    root.set("worthTrying", strings(worthTrying.stream().map(TrainingStrategy::name).toList()));
    ObjectNode card = root.putObject("scorecard");
    card.put("lean", scorecard.lean());
    ArrayNode factors = card.putArray("factors");
    for (Scorecard.Factor f : scorecard.factors()) {
      factors
          .addObject()
          .put("name", f.name())
          .put("value", f.value())
          .put("points", f.points())
          .put("favours", f.favours().name())
          .put("sentence", f.sentence());
    }
    ArrayNode tasks = root.putArray("tasks");
    profiles.forEach(p -> tasks.add(json(p)));
    ObjectNode alike = root.putObject("similarity");
    alike.set("tasks", strings(similarity.combined().tasks()));
    alike.set("combined", matrix(similarity.combined().values()));
    alike.set("gradient", matrix(similarity.gradient().values()));
    alike.set("uncorrectedGradient", matrix(similarity.uncorrectedGradient().values()));
    alike.set("gradientReliability", numbers(similarity.gradientReliability()));
    alike.set("hiddenStates", matrix(similarity.hiddenStates().values()));
    alike.set("vocabulary", matrix(similarity.vocabulary().values()));
    pilot.ifPresent(
        p -> {
          ObjectNode node = root.putObject("pilot");
          node.set("tasks", strings(p.tasks()));
          node.set("examples", numbers(p.examples()));
          node.set("untuned", numbers(p.untuned()));
          node.set("form", numbers(p.form()));
          node.set("alone", numbers(p.alone()));
          node.set("joint", numbers(p.joint()));
          node.set("sequential", numbers(p.sequential()));
          node.put("maturity", p.maturity());
          node.put("jointGain", p.jointGain());
          node.put("forgetting", p.forgetting());
          node.set("transfer", matrix(p.transfer()));
          node.set("agreement", matrix(p.agreement().values()));
        });
    ObjectNode limits = root.putObject("budget");
    if (budget.limitsTokens()) {
      limits.put("tokens", budget.tokens());
    }
    if (budget.limitsSeconds()) {
      limits.put("seconds", budget.seconds());
    }
    if (budget.limitsMemory()) {
      limits.put("memoryBytes", budget.memoryBytes());
    }
    return root;
  }

  /**
   * Writes {@link #toJson()}, replacing what was there only once all is written.
   *
   * @throws IOException if it cannot be written
   */
  public void writeJson(Path file) throws IOException {
    try {
      AtomicFiles.writeString(
          file, JSON.writerWithDefaultPrettyPrinter().writeValueAsString(toJson()) + "\n");
    } catch (JsonProcessingException e) {
      throw new IllegalStateException(e);
    }
  }

  private static ObjectNode json(Assessment a) {
    ObjectNode node = JSON.createObjectNode();
    node.put("kind", a.name())
        .put("strategy", a.strategy().toString())
        .put("feasible", a.feasible())
        .put("share", a.share())
        .put("epochs", a.hyperparameters().epochs())
        .put("tokensPerPass", a.hyperparameters().tokensPerPass())
        .put("activationCheckpointing", a.hyperparameters().activationCheckpointing())
        .put("verdict", a.verdict());
    if (a.feasible()) {
      node.put("probability", a.probability());
      node.set("gain", json(a.gain()));
      node.set("expected", json(a.expected()));
    }
    PlanPrice p = a.price();
    node.putObject("price")
        .put("examples", p.examples())
        .put("tokens", p.tokens())
        .put("steps", p.steps())
        .put("seconds", p.seconds())
        .put("memoryBytes", p.memoryBytes())
        .put("adapterBytes", p.adapterBytes());
    return node;
  }

  private static ObjectNode json(Estimate e) {
    return JSON.createObjectNode()
        .put("mean", e.mean())
        .put("deviation", e.deviation())
        .put("low", e.low())
        .put("high", e.high());
  }

  private static ObjectNode json(TaskProfile p) {
    ObjectNode node = JSON.createObjectNode();
    node.put("name", p.name())
        .put("type", p.type().name())
        .put("examples", p.examples())
        .put("validationExamples", p.validationExamples())
        .put("skipped", p.skipped())
        .put("truncated", p.truncated())
        .put("meanTokens", p.meanTokens())
        .put("p95Tokens", p.p95Tokens())
        .put("longestTokens", p.longestTokens())
        .put("lossTokens", p.lossTokens())
        .put("labelBalance", p.labelBalance())
        .put("probedExamples", p.probedExamples());
    if (Double.isFinite(p.untunedLoss())) {
      node.put("untunedLoss", p.untunedLoss());
    }
    node.set("labels", numbers(p.labels()));
    return node;
  }

  private static ArrayNode strings(Iterable<String> values) {
    ArrayNode node = JSON.createArrayNode();
    values.forEach(node::add);
    return node;
  }

  private static ObjectNode numbers(Map<String, ? extends Number> values) {
    ObjectNode node = JSON.createObjectNode();
    values.forEach((name, v) -> node.put(name, v.doubleValue()));
    return node;
  }

  private static ArrayNode matrix(double[][] values) {
    ArrayNode rows = JSON.createArrayNode();
    for (double[] row : values) {
      ArrayNode node = rows.addArray();
      for (double v : row) {
        if (Double.isNaN(v)) {
          node.addNull(); // JSON has no NaN
        } else {
          node.add(v);
        }
      }
    }
    return rows;
  }

  /** Returns the whole advice, to be read in a terminal. */
  @Override
  public String toString() {
    StringBuilder out = new StringBuilder();
    line(
        out, "Recommended: %s, confidence %.2f: %s", strategy(), confidence, recommended.verdict());
    line(out, "  %s; %s", outlook(recommended), price());
    section(out, "Why");
    reasons.forEach(r -> line(out, "  - %s", r));
    if (!worthTrying.isEmpty()) {
      line(
          out,
          "  Worth trying: %s",
          String.join(", ", worthTrying.stream().map(TrainingStrategy::toString).toList()));
    }
    if (!trials.isEmpty()) {
      section(out, "Trained to find out (scores on the validation examples)");
      for (Trial t : trials) {
        line(
            out,
            "  %s: %s of 100 points, %,d tokens, %.1f s, %s",
            t.name(),
            t.estimate().points(),
            t.tokens(),
            t.seconds(),
            t.output());
      }
    }
    if (!scorecard.factors().isEmpty()) {
      section(
          out, "Evidence (points of 100 that one adapter on all tasks gains over an adapter each)");
      out.append(indented(scorecard.toString()));
    }
    if (!alternatives.isEmpty()) {
      section(out, "Alternatives");
      for (Assessment a : alternatives) {
        line(
            out,
            "  %s (%s): %s",
            a.strategy(),
            a.feasible() ? outlook(a) : "not possible",
            a.verdict());
        line(out, "    %s", a.price());
      }
    }
    if (!warnings.isEmpty()) {
      section(out, "Warnings");
      warnings.forEach(w -> line(out, "  - %s", w));
    }
    section(out, "Tasks");
    profiles.forEach(p -> line(out, "  %s", p));
    if (profiles.size() > 1) {
      section(out, "Similarity (gradients, hidden states and vocabulary combined)");
      out.append(indented(similarity.combined().toString()));
    }
    pilot.ifPresent(
        p -> {
          section(out, "Pilot (validation loss, nats per learned token)");
          out.append(indented(p.toString()));
        });
    return out.toString();
  }

  /** Returns what a plan is thought to come to. */
  private static String outlook(Assessment a) {
    return String.format(
        Locale.ROOT,
        "expected score %.2f; to multi-task training %s points; best with probability %.2f",
        Math.max(0, Math.min(1, a.expected().mean())),
        a.gain(),
        a.probability());
  }

  private static void section(StringBuilder out, String title) {
    out.append(System.lineSeparator());
    line(out, "%s", title);
  }

  private static void line(StringBuilder out, String format, Object... values) {
    out.append(String.format(Locale.ROOT, format, values)).append(System.lineSeparator());
  }

  private static String indented(String text) {
    StringBuilder out = new StringBuilder();
    text.lines().forEach(l -> line(out, "  %s", l));
    return out.toString();
  }
}
