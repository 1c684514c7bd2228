package org.tune4j.eval.advice;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.base.CharMatcher;
import com.google.common.collect.ImmutableList;
import com.google.common.hash.HashFunction;
import com.google.common.hash.Hashing;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.text.Message;

/**
 * What of the training data contradicts itself: the same prompt with other answers, within a task
 * or between two. It is read off the examples, without a model, and sees what no short training
 * does: whatever is trained, one adapter gives one answer to one prompt.
 *
 * <p>Prompts are the same if they differ in nothing but case and white space. Of a conversation the
 * prompt is all before the assistant's last turn. Free texts have no prompts. Of more than {@value
 * #MOST_EXAMPLES} examples, those are looked at whose prompts' hashes fall into a range, so that a
 * prompt is looked at in every task or in none.
 *
 * <p>A score of 1 means that every example is answered as the data does. With {@code w(t)} = 1 /
 * (number of tasks × examples of t) as the weight of an example, the best that one adapter can
 * reach on the examples is the sum over prompts of the weight of the prompt's heaviest answer
 * ({@link #shared}); with an adapter each, the same within every task ({@link #apart}).
 *
 * @param apart highest mean score of the tasks, each with an adapter of its own, from 0 to 1: below
 *     1 only if tasks contradict themselves
 * @param shared highest mean score of the tasks with one adapter for all; at most {@code apart}
 * @param within tasks that contradict themselves, in the caller's order
 * @param between pairs of tasks that contradict one another, in the caller's order
 */
public record AnswerConflicts(
    double apart, double shared, ImmutableList<Within> within, ImmutableList<Between> between) {
  /** Examples of a task above which not all are looked at. */
  public static final int MOST_EXAMPLES = 200_000;

  private static final double ROUNDING = 1e-9;
  private static final HashFunction HASH = Hashing.murmur3_128();

  /** Checks the ranges. */
  public AnswerConflicts {
    checkArgument(
        shared <= apart + ROUNDING && shared >= 0 && apart <= 1 + ROUNDING,
        "a score of %s with one adapter, %s with one each",
        shared,
        apart);
  }

  /**
   * A task that contradicts itself.
   *
   * @param task name
   * @param share of its examples that have another answer than their prompt's most frequent one
   * @param prompt of such an example, as it stands in the data
   */
  public record Within(String task, double share, String prompt) {}

  /**
   * Two tasks that contradict one another.
   *
   * @param first name
   * @param second name
   * @param lost what the mean score of the two loses at least if they share an adapter, from 0 to
   *     0.5
   * @param prompt that both have
   * @param firstAnswer most frequent answer of the first task
   * @param secondAnswer most frequent answer of the second
   */
  public record Between(
      String first,
      String second,
      double lost,
      String prompt,
      String firstAnswer,
      String secondAnswer) {}

  /** Answers of one task to one prompt, by number. */
  private record Answers(String prompt, Map<String, Integer> counts) {
    int total() {
      return counts.values().stream().mapToInt(Integer::intValue).sum();
    }

    List<String> mostFrequent() {
      int most = Collections.max(counts.values());
      return counts.keySet().stream().filter(a -> counts.get(a) == most).toList();
    }
  }

  /** Returns what the mean score of all tasks loses at least if they share one adapter. */
  public double lost() {
    return apart - shared > ROUNDING ? apart - shared : 0;
  }

  /** Looks at the training examples of tasks. */
  public static AnswerConflicts of(List<Task> tasks) {
    long range = range(tasks);
    List<Map<String, Answers>> all = new ArrayList<>();
    List<Double> own = new ArrayList<>(); // highest score of each
    List<Within> within = new ArrayList<>();
    double apart = 0;
    for (Task t : tasks) {
      Map<String, Answers> answers = answers(t, range);
      all.add(answers);
      own.add(best(List.of(answers)));
      double other = 1 - own.get(own.size() - 1);
      if (other > ROUNDING) {
        Answers some =
            answers.values().stream().filter(a -> a.counts.size() > 1).findFirst().orElseThrow();
        within.add(new Within(t.name(), other, some.prompt));
      }
      apart += (1 - other) / tasks.size();
    }
    List<Between> between = new ArrayList<>();
    for (int i = 0; i < tasks.size(); i++) {
      for (int j = i + 1; j < tasks.size(); j++) {
        double each = (own.get(i) + own.get(j)) / 2;
        between(tasks.get(i), tasks.get(j), all.get(i), all.get(j), each).ifPresent(between::add);
      }
    }
    double shared = Math.min(apart, best(all)); // three may disagree of whom each two agree
    return new AnswerConflicts(
        apart, shared, ImmutableList.copyOf(within), ImmutableList.copyOf(between));
  }

  private static Optional<Between> between(
      Task first, Task second, Map<String, Answers> a, Map<String, Answers> b, double each) {
    double lost = each - best(List.of(a, b));
    if (lost <= ROUNDING) {
      return Optional.empty();
    }
    for (Map.Entry<String, Answers> e : a.entrySet()) {
      Answers its = e.getValue();
      Answers other = b.get(e.getKey());
      if (other != null && Collections.disjoint(its.mostFrequent(), other.mostFrequent())) {
        return Optional.of(
            new Between(
                first.name(),
                second.name(),
                lost,
                its.prompt,
                its.mostFrequent().get(0),
                other.mostFrequent().get(0)));
      }
    }
    throw new AssertionError("a loss of " + lost + " without a prompt answered in two ways");
  }

  /** Returns the highest mean score of tasks that one adapter answers. */
  private static double best(List<Map<String, Answers>> tasks) {
    Map<String, Map<String, Double>> weights = new HashMap<>();
    double empty = 0;
    for (Map<String, Answers> task : tasks) {
      double examples = task.values().stream().mapToInt(Answers::total).sum();
      empty += examples == 0 ? 1 : 0;
      task.forEach(
          (key, answers) ->
              answers.counts.forEach(
                  (answer, n) ->
                      weights
                          .computeIfAbsent(key, k -> new HashMap<>())
                          .merge(answer, n / examples, Double::sum)));
    }
    double sum = empty; // a task without prompts contradicts nothing
    for (Map<String, Double> answers : weights.values()) {
      sum += Collections.max(answers.values());
    }
    return Math.min(1, sum / tasks.size());
  }

  /** Returns the range of hashes, from 1 to 2^31, that leaves enough of the largest task. */
  private static long range(List<Task> tasks) {
    int largest = tasks.stream().mapToInt(t -> t.train().size()).max().orElse(1);
    return largest <= MOST_EXAMPLES
        ? 1L << 31
        : Math.max(1, (long) ((double) MOST_EXAMPLES / largest * (1L << 31)));
  }

  private static Map<String, Answers> answers(Task task, long range) {
    Map<String, Answers> all = new TreeMap<>();
    if (task.type() == Task.Type.TEXT) {
      return all;
    }
    for (Example e : task.train()) {
      int last = e.lastAnswer();
      if (e.isConversation() && last < 0) {
        continue;
      }
      String prompt = prompt(e, last);
      String key = same(prompt);
      if ((HASH.hashString(key, StandardCharsets.UTF_8).asInt() & 0x7fffffffL) >= range) {
        continue;
      }
      String answer = e.isConversation() ? e.messages().get(last).content() : e.completion();
      all.computeIfAbsent(key, k -> new Answers(prompt, new TreeMap<>()))
          .counts
          .merge(CharMatcher.whitespace().trimAndCollapseFrom(answer, ' '), 1, Integer::sum);
    }
    return all;
  }

  private static String prompt(Example e, int last) {
    if (!e.isConversation()) {
      return e.prompt();
    }
    StringBuilder turns = new StringBuilder();
    for (Message m : e.messages().subList(0, last)) {
      turns.append(m.role()).append(": ").append(m.content()).append('\n');
    }
    return turns.toString();
  }

  private static String same(String prompt) {
    return CharMatcher.whitespace().trimAndCollapseFrom(prompt, ' ').toLowerCase(Locale.ROOT);
  }
}
