package org.tune4j.eval.advice;

import com.google.common.base.Splitter;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;

/**
 * Whether tasks with the same labels mean the same by them, read off the data without the model: a
 * naive Bayes classifier on the words of one task's prompts labels the other's. Where it is worse
 * than one made of the other's own examples, the two use their labels differently, or of other
 * words; where it is as good, they are one task in two parts. {@link AnswerConflicts} sees only
 * prompts that both have; this sees conventions.
 *
 * <p>Multinomial naive Bayes with add-one smoothing (Manning, Raghavan and Schütze 2008, section
 * 13.2), on at most {@value #MOST_EXAMPLES} training examples of each task.
 *
 * @param disagreement accuracy that a classifier of another task's lacks, in the least favourable
 *     other task with the same labels, beyond its standard error, as far as words do not tell which
 *     of the two tasks a prompt is of: a model that sees it can keep two conventions apart. Mean
 *     over all tasks, where those that share their labels with none count 0. From 0 to 1
 * @param kinship share of the tasks whose labels another task's classifier finds as well as their
 *     own, and better than the most frequent label does
 */
public record LabelTransfer(double disagreement, double kinship) {
  /** Examples of a task above which the first ones are looked at. */
  public static final int MOST_EXAMPLES = 2000;

  private static final Splitter WORDS =
      Splitter.on(Pattern.compile("[^\\p{L}\\p{N}]+")).omitEmptyStrings();

  /** A document and its label. */
  private record Labelled(List<String> words, String label) {}

  /** Looks at the training examples of tasks. */
  public static LabelTransfer of(List<Task> tasks) {
    List<List<Labelled>> all = new ArrayList<>();
    for (Task t : tasks) {
      all.add(t.type() == Task.Type.CLASSIFICATION ? labelled(t) : List.of());
    }
    double disagreement = 0;
    double kin = 0;
    for (int j = 0; j < tasks.size(); j++) {
      List<Labelled> mine = all.get(j);
      double worst = 0;
      boolean related = false;
      double own = Double.NaN;
      for (int i = 0; i < tasks.size(); i++) {
        if (i == j
            || mine.size() < 2
            || tasks.get(i).labels().size() < 2
            || !tasks.get(i).labels().equals(tasks.get(j).labels())) {
          continue;
        }
        own = Double.isNaN(own) ? crossValidated(mine) : own;
        double error = Math.sqrt(2 * Math.max(own * (1 - own), 0.01) / mine.size());
        double majority = majority(mine);
        if (own < majority + error) {
          continue; // words tell nothing of these labels
        }
        double others = new NaiveBayes(all.get(i)).accuracy(mine);
        double lost = own - others - error;
        if (lost > worst) {
          worst = Math.max(worst, lost * (1 - toldApart(all.get(i), mine)));
        }
        related |= others > majority && own - others <= error;
      }
      disagreement += worst / tasks.size();
      kin += related ? 1.0 / tasks.size() : 0;
    }
    return new LabelTransfer(disagreement, kin);
  }

  private static List<Labelled> labelled(Task task) {
    List<Labelled> all = new ArrayList<>();
    List<Example> train = task.train();
    for (Example e : train.subList(0, Math.min(MOST_EXAMPLES, train.size()))) {
      all.add(new Labelled(WORDS.splitToList(e.prompt().toLowerCase(Locale.ROOT)), e.completion()));
    }
    return all;
  }

  /** Returns how well words tell of which task a prompt is: from 0, not at all, to 1, always. */
  private static double toldApart(List<Labelled> first, List<Labelled> second) {
    List<Labelled> both = new ArrayList<>();
    int each = Math.min(first.size(), second.size());
    for (int i = 0; i < each; i++) {
      // in pairs, so that each half of the cross-validation has both tasks
      Labelled a = new Labelled(first.get(i).words, "first");
      Labelled b = new Labelled(second.get(i).words, "second");
      both.addAll(i % 4 < 2 ? List.of(a, b) : List.of(b, a));
    }
    return Math.max(0, 2 * crossValidated(both) - 1);
  }

  private static double crossValidated(List<Labelled> all) {
    List<Labelled> even = new ArrayList<>();
    List<Labelled> odd = new ArrayList<>();
    for (int i = 0; i < all.size(); i++) {
      (i % 2 == 0 ? even : odd).add(all.get(i));
    }
    double right =
        new NaiveBayes(even).accuracy(odd) * odd.size()
            + new NaiveBayes(odd).accuracy(even) * even.size();
    return right / all.size();
  }

  private static double majority(List<Labelled> all) {
    Map<String, Integer> counts = new HashMap<>();
    all.forEach(e -> counts.merge(e.label, 1, Integer::sum));
    return counts.values().stream().mapToInt(Integer::intValue).max().orElse(0)
        / (double) all.size();
  }

  private static final class NaiveBayes {
    private final Map<String, Map<String, Integer>> words = new HashMap<>();
    private final Map<String, Integer> totals = new HashMap<>();
    private final Map<String, Integer> documents = new HashMap<>();
    private final Map<String, Integer> vocabulary = new HashMap<>();

    NaiveBayes(List<Labelled> examples) {
      for (Labelled e : examples) {
        documents.merge(e.label, 1, Integer::sum);
        Map<String, Integer> counts = words.computeIfAbsent(e.label, l -> new HashMap<>());
        for (String w : e.words) {
          counts.merge(w, 1, Integer::sum);
          vocabulary.merge(w, 1, Integer::sum);
        }
        totals.merge(e.label, e.words.size(), Integer::sum);
      }
    }

    double accuracy(List<Labelled> examples) {
      return examples.stream().filter(e -> e.label.equals(label(e.words))).count()
          / (double) examples.size();
    }

    private String label(List<String> document) {
      String best = "";
      double most = Double.NEGATIVE_INFINITY;
      for (Map.Entry<String, Integer> d : documents.entrySet()) {
        double log = Math.log(d.getValue());
        Map<String, Integer> counts = words.get(d.getKey());
        double total = totals.get(d.getKey()) + vocabulary.size();
        for (String w : document) {
          if (vocabulary.containsKey(w)) {
            log += Math.log((counts.getOrDefault(w, 0) + 1) / total);
          }
        }
        if (log > most) {
          most = log;
          best = d.getKey();
        }
      }
      return best;
    }
  }
}
