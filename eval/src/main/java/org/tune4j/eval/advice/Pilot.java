package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import java.util.function.ToDoubleFunction;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.PassLosses;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.TrainingException;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.Independent;
import org.tune4j.strategies.MultiTask;
import org.tune4j.strategies.PlanContext;
import org.tune4j.strategies.Sequential;

/**
 * Short trainings by which tasks show what they do to one another: the same few examples are
 * learned by one adapter together, by an adapter each, and by one adapter task after task, and
 * validation losses are compared. This is the idea of task affinity by lookahead (Fifty et al.
 * 2021, section 3), over some dozens of steps instead of one.
 *
 * <p>It measures the beginning of training. First of all an adapter learns the form of answers,
 * which tasks often share whatever they contain, so that joint training, with more steps for its
 * one adapter, is ahead. {@link #maturity} tells how far that phase is behind: what speaks for
 * joint training counts only as far as it is; what speaks against it, against that advantage,
 * counts fully.
 *
 * @param tasks names
 * @param examples trained on, by task
 * @param untuned validation loss without adapters, nats per learned token, by task
 * @param form loss of who knows how answers look and does not read the prompt: for a classification
 *     by the entropy of its labels, else by that of the tokens at each place
 * @param alone validation loss with an adapter of the task's own
 * @param joint validation loss with one adapter that learned all tasks together
 * @param sequential validation loss with one adapter that learned one task after another, in the
 *     end
 * @param transfer {@code [i][j]}: share of task {@code j}'s untuned loss that the adapter of task
 *     {@code i} takes away; below 0 where it adds to it
 * @param agreement corrected cosines of the tasks' gradients at the joint adapter: what the tasks
 *     still want from it, once what all of them want is learned. Contradicting tasks pull apart
 *     there: below 0 (Yu et al. 2020, section 2.2)
 */
public record Pilot(
    ImmutableList<String> tasks,
    ImmutableMap<String, Integer> examples,
    ImmutableMap<String, Double> untuned,
    ImmutableMap<String, Double> form,
    ImmutableMap<String, Double> alone,
    ImmutableMap<String, Double> joint,
    ImmutableMap<String, Double> sequential,
    double[][] transfer,
    SimilarityMatrix agreement) {
  /** Copies the matrix. */
  public Pilot {
    transfer = copy(transfer);
  }

  private static double[][] copy(double[][] matrix) {
    return Arrays.stream(matrix).map(double[]::clone).toArray(double[][]::new);
  }

  /** Returns the matrix, a copy. */
  @Override
  public double[][] transfer() {
    return copy(transfer);
  }

  /**
   * Losses below this, in nats a token, are as good as 0: a token's probability is over 0.99.
   * Shares of them would compare nothing with nothing.
   */
  public static final double LEAST_LOSS = 0.01;

  /** Returns how many times as high a loss is as another, both at least {@link #LEAST_LOSS}. */
  private static double ratio(double loss, double other) {
    return Math.max(loss, LEAST_LOSS) / Math.max(other, LEAST_LOSS);
  }

  /**
   * Returns how far the adapters of a task's own have got beyond the form of answers, mean over
   * tasks: 0 where the loss is no lower than the form's, 1 where it is at most half of that, or
   * where there is nothing but form, as with a single label.
   */
  public double maturity() {
    return mean(
        t ->
            form.get(t) <= LEAST_LOSS
                ? 1
                : Math.max(0, Math.min(1, 2 * (1 - ratio(alone.get(t), form.get(t))))));
  }

  /**
   * Returns the share of a task's loss with an adapter of its own that joint training takes away;
   * below 0 where joint training is worse.
   */
  public double jointGain(String task) {
    return 1 - ratio(joint.get(task), alone.get(task));
  }

  /** Returns {@link #jointGain(String)}, mean over tasks. */
  public double jointGain() {
    return mean(this::jointGain);
  }

  /**
   * Returns by how much of itself the loss with an adapter each is exceeded after plain sequential
   * training, mean over tasks; 0 if it is not.
   */
  public double forgetting() {
    return Math.max(0, mean(t -> ratio(sequential.get(t), alone.get(t)) - 1));
  }

  private double mean(ToDoubleFunction<String> value) {
    return tasks.stream().mapToDouble(value).average().orElseThrow();
  }

  /**
   * Runs the trainings.
   *
   * @param samples what to learn and to validate on, each with examples for both
   * @param stop asked before each step
   * @return nothing if stopped
   * @throws TrainingException if a loss is no finite number
   */
  static Optional<Pilot> run(
      LanguageModel model,
      List<Task> samples,
      LoraConfig lora,
      Hyperparameters h,
      StepRates runner,
      BooleanSupplier stop,
      AdviceProgress progress)
      throws IOException {
    ImmutableList<String> names =
        samples.stream().map(Task::name).collect(ImmutableList.toImmutableList());
    Map<String, List<EncodedExample>> held = new LinkedHashMap<>();
    List<List<EncodedExample>> learned = new ArrayList<>();
    ImmutableMap.Builder<String, Integer> examples = ImmutableMap.builder();
    ImmutableMap.Builder<String, Double> form = ImmutableMap.builder();
    for (Task t : samples) {
      held.put(t.name(), Sample.encoder(model, h).encode(t, Task.Split.VALIDATION).examples());
      learned.add(Sample.encoder(model, h).encode(t, Task.Split.TRAIN).examples());
      form.put(t.name(), formLoss(t.type(), learned.get(learned.size() - 1)));
      examples.put(t.name(), learned.get(learned.size() - 1).size());
    }
    PlanContext context = PlanContext.of(samples, h);
    ImmutableMap<String, Double> untuned = losses(model, h, held, t -> List.of());

    progress.begin("pilot: all tasks together", COST);
    record Joint(ImmutableMap<String, Double> losses, SimilarityMatrix agreement) {}
    Joint joint =
        runner.run(
            samples,
            MultiTask.proportional().plan(context),
            h,
            stop,
            result -> {
              Adapter adapter = result.adapters().get(MultiTask.ADAPTER);
              ImmutableMap<String, Double> losses = losses(model, h, held, t -> List.of(adapter));
              adapter.setTrainable(true);
              return new Joint(
                  losses,
                  TaskSimilarity.gradients(
                          model,
                          h,
                          names,
                          List.copyOf(held.values()),
                          adapter,
                          parameter -> true,
                          h.seed(),
                          progress)
                      .corrected());
            });
    if (joint == null) {
      return Optional.empty();
    }

    progress.begin("pilot: an adapter each", COST);
    record Alone(ImmutableMap<String, Double> losses, double[][] transfer) {}
    Alone alone =
        runner.run(
            samples,
            Independent.perTask().plan(context),
            h,
            stop,
            result -> {
              double[][] transfer = new double[names.size()][names.size()];
              ImmutableMap.Builder<String, Double> own = ImmutableMap.builder();
              for (int i = 0; i < transfer.length; i++) {
                progress.check();
                Adapter adapter = result.adapters().get(names.get(i));
                Map<String, Double> after = losses(model, h, held, t -> List.of(adapter));
                transfer[i] = taken(untuned, after);
                own.put(names.get(i), after.get(names.get(i)));
              }
              return new Alone(own.buildOrThrow(), transfer);
            });
    if (alone == null) {
      return Optional.empty();
    }

    progress.begin("pilot: one task after another", COST);
    ImmutableMap<String, Double> sequential =
        runner.run(
            samples,
            Sequential.inOrder().plan(context),
            h,
            stop,
            result ->
                losses(model, h, held, t -> List.of(result.adapters().get(Sequential.ADAPTER))));
    return sequential == null
        ? Optional.empty()
        : Optional.of(
            new Pilot(
                names,
                examples.buildOrThrow(),
                untuned,
                form.buildOrThrow(),
                alone.losses,
                joint.losses,
                sequential,
                alone.transfer,
                joint.agreement));
  }

  /** Returns the share of each loss that is gone. */
  private static double[] taken(Map<String, Double> before, Map<String, Double> after) {
    return before.entrySet().stream()
        .mapToDouble(e -> 1 - ratio(after.get(e.getKey()), e.getValue()))
        .toArray();
  }

  /**
   * Returns the loss per learned token of who knows how answers look and does not read the prompt:
   * for a classification the entropy of its labels; else the entropy of the tokens at each place of
   * a completion.
   */
  static double formLoss(Task.Type type, List<EncodedExample> examples) {
    Map<String, Map<String, Integer>> counts = new TreeMap<>();
    long tokens = 0;
    for (EncodedExample e : examples) {
      StringBuilder label = new StringBuilder();
      int place = 0;
      for (int i = 0; i < e.ids().length; i++) {
        if (e.learned()[i]) {
          String token = Integer.toString(e.ids()[i]);
          label.append(token).append(' ');
          if (type != Task.Type.CLASSIFICATION) {
            count(counts, "place " + place, token);
          }
          place++;
        }
      }
      tokens += place;
      if (type == Task.Type.CLASSIFICATION) {
        count(counts, "label", label.toString());
      }
    }
    double nats = 0;
    for (Map<String, Integer> at : counts.values()) {
      double total = at.values().stream().mapToInt(Integer::intValue).sum();
      for (int n : at.values()) {
        nats -= n * Math.log(n / total);
      }
    }
    return tokens == 0 ? 0 : nats / tokens;
  }

  private static void count(Map<String, Map<String, Integer>> counts, String of, String value) {
    counts.computeIfAbsent(of, o -> new TreeMap<>()).merge(value, 1, Integer::sum);
  }

  /** What one of the trainings costs, in the unit of {@link TaskSimilarity#GRADIENT_COST}. */
  static final double COST = 30;

  private interface Stack {
    List<Adapter> of(String task);
  }

  private static ImmutableMap<String, Double> losses(
      LanguageModel model, Hyperparameters h, Map<String, List<EncodedExample>> held, Stack stack) {
    ImmutableMap.Builder<String, Double> losses = ImmutableMap.builder();
    held.forEach(
        (task, examples) ->
            losses.put(
                task,
                finite(
                    task,
                    PassLosses.mean(
                        Pass.divide(examples, stack.of(task), h.tokensPerPass()), model::losses))));
    return losses.buildOrThrow();
  }

  private static double finite(String task, double loss) {
    if (!Double.isFinite(loss)) {
      throw new TrainingException("the validation loss of task '%s' is %s".formatted(task, loss));
    }
    return loss;
  }

  /** Returns a table of losses. */
  @Override
  public String toString() {
    int width = Math.max(4, tasks.stream().mapToInt(String::length).max().orElse(1));
    String row = "%-" + width + "s %8s %8s %8s %8s %8s %8s%n";
    StringBuilder out =
        new StringBuilder(
            String.format(
                Locale.ROOT,
                row,
                "loss",
                "examples",
                "untuned",
                "form",
                "alone",
                "joint",
                "in turn"));
    for (String t : tasks) {
      out.append(
          String.format(
              Locale.ROOT,
              row,
              t,
              examples.get(t),
              number(untuned.get(t)),
              number(form.get(t)),
              number(alone.get(t)),
              number(joint.get(t)),
              number(sequential.get(t))));
    }
    return out.toString();
  }

  private static String number(double value) {
    return String.format(Locale.ROOT, "%.3f", value);
  }
}
