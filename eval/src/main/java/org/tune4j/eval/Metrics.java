package org.tune4j.eval;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.base.CharMatcher;
import com.google.common.base.Splitter;
import com.google.common.collect.HashMultiset;
import com.google.common.collect.ImmutableSortedSet;
import com.google.common.collect.Multiset;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.TreeSet;
import java.util.function.ToDoubleBiFunction;
import java.util.regex.Pattern;
import org.nd4j.evaluation.classification.ConfusionMatrix;
import org.nd4j.evaluation.classification.Evaluation;

/** The usual metrics. Accuracy, F1, exact match and ROUGE are in [0, 1], BLEU is in [0, 100]. */
public final class Metrics {
  /** Name of {@link #accuracy()}. */
  public static final String ACCURACY = "accuracy";

  /** Name of {@link #macroF1()}. */
  public static final String MACRO_F1 = "macro-f1";

  /** Name of {@link #exactMatch()}. */
  public static final String EXACT_MATCH = "exact-match";

  /** Name of {@link #rougeL()}. */
  public static final String ROUGE_L = "rouge-l";

  /** Name of {@link #bleu()}. */
  public static final String BLEU = "bleu";

  /** Name of {@link #perplexity}. Lower is better. */
  public static final String PERPLEXITY = "perplexity";

  /**
   * Name of the mean over examples of the token probability (the geometric mean within an example):
   * the score of text tasks in place of perplexity, in [0, 1], higher is better.
   */
  public static final String TOKEN_PROBABILITY = "token-probability";

  private static final int BLEU_ORDER = 4;
  private static final Splitter WORDS =
      Splitter.on(CharMatcher.whitespace()).trimResults().omitEmptyStrings();
  private static final Pattern NOT_WORD = Pattern.compile("[^\\p{L}\\p{M}\\p{N}]+");

  // mteval-v13a's rules for Western languages, in order
  private static final Pattern SYMBOL = Pattern.compile("([\\{-\\~\\[-\\` -\\&\\(-\\+\\:-\\@\\/])");
  private static final Pattern MARK_AFTER_NON_DIGIT = Pattern.compile("([^0-9])([\\.,])");
  private static final Pattern MARK_BEFORE_NON_DIGIT = Pattern.compile("([\\.,])([^0-9])");
  private static final Pattern DASH_AFTER_DIGIT = Pattern.compile("([0-9])(-)");

  private Metrics() {}

  private record Simple(String name, ToDoubleBiFunction<List<String>, List<String>> function)
      implements Metric {
    @Override
    public boolean higherIsBetter() {
      return true;
    }

    @Override
    public double score(List<String> predictions, List<String> references) {
      requirePairs(predictions.size(), references.size());
      return function.applyAsDouble(predictions, references);
    }
  }

  private static void requirePairs(int predictions, int references) {
    checkArgument(
        predictions == references && predictions > 0,
        "%s predictions for %s references; the numbers must be equal and at least 1",
        predictions,
        references);
  }

  /** Returns the share of predictions that equal their references, character for character. */
  public static Metric accuracy() {
    return new Simple(ACCURACY, (p, r) -> mean(p, r, (a, b) -> a.equals(b) ? 1 : 0));
  }

  /**
   * Returns the share of predictions that equal their references, apart from surrounding
   * whitespace.
   */
  public static Metric exactMatch() {
    return new Simple(EXACT_MATCH, (p, r) -> mean(p, r, Metrics::exactMatch));
  }

  static double exactMatch(String prediction, String reference) {
    return prediction.strip().equals(reference.strip()) ? 1 : 0;
  }

  /**
   * Returns the mean F1 of all labels that occur among predictions or references: {@code 2 TP / (2
   * TP + FP + FN)}.
   */
  public static Metric macroF1() {
    return new Simple(
        MACRO_F1,
        (p, r) -> {
          TreeSet<String> labels = new TreeSet<>(p);
          labels.addAll(r);
          return macroF1(labels, p, r);
        });
  }

  /**
   * Returns the mean F1 of those of {@code labels} that occur among predictions or references. Any
   * other prediction counts as wrong, but not as a label.
   */
  public static Metric macroF1(Collection<String> labels) {
    ImmutableSortedSet<String> own = ImmutableSortedSet.copyOf(labels);
    return new Simple(MACRO_F1, (p, r) -> macroF1(own, p, r));
  }

  private static double macroF1(
      Collection<String> labels, List<String> predictions, List<String> references) {
    List<String> names = List.copyOf(labels);
    ConfusionMatrix<Integer> confusion =
        classification(names, predictions, references).getConfusion();
    double sum = 0;
    int occurring = 0;
    for (int c = 0; c < names.size(); c++) {
      int sizes = confusion.getActualTotal(c) + confusion.getPredictedTotal(c);
      if (sizes > 0) {
        sum += 2.0 * confusion.getCount(c, c) / sizes; // TP + FN and TP + FP
        occurring++;
      }
    }
    return occurring == 0 ? 0 : sum / occurring;
  }

  /**
   * Returns ND4J's counts of a classification, with its confusion matrix.
   *
   * @param labels the classes, in this order; all other values form an additional last class,
   *     {@code (other)}
   */
  public static Evaluation classification(
      List<String> labels, List<String> predictions, List<String> references) {
    requirePairs(predictions.size(), references.size());
    List<String> classes = new ArrayList<>(labels);
    if (!labels.containsAll(predictions) || !labels.containsAll(references)) {
      classes.add("(other)");
    }
    Evaluation counts = new Evaluation(classes);
    for (int i = 0; i < predictions.size(); i++) {
      counts.eval(index(labels, predictions.get(i)), index(labels, references.get(i)));
    }
    return counts;
  }

  private static int index(List<String> labels, String label) {
    int at = labels.indexOf(label);
    return at < 0 ? labels.size() : at;
  }

  /**
   * Returns the mean ROUGE-L (Lin 2004, section 3.1, with beta = 1): F1 of the longest common
   * subsequence of words. Text is lower-cased and split at characters that are neither letters nor
   * digits, as in the {@code rouge_score} package without stemming, but keeping letters of any
   * script rather than only ASCII.
   */
  public static Metric rougeL() {
    return new Simple(ROUGE_L, (p, r) -> mean(p, r, Metrics::rougeL));
  }

  private static double rougeL(String prediction, String reference) {
    List<String> p = words(prediction);
    List<String> r = words(reference);
    int common = longestCommonSubsequence(p, r);
    return common == 0 ? 0 : 2.0 * common / (p.size() + r.size()); // F1 of c/|p| and c/|r|
  }

  private static List<String> words(String text) {
    return WORDS.splitToList(NOT_WORD.matcher(text.toLowerCase(Locale.ROOT)).replaceAll(" "));
  }

  private static int longestCommonSubsequence(List<String> a, List<String> b) {
    int[] previous = new int[b.size() + 1];
    for (String word : a) {
      int[] row = new int[b.size() + 1];
      for (int j = 0; j < b.size(); j++) {
        row[j + 1] = word.equals(b.get(j)) ? previous[j] + 1 : Math.max(previous[j + 1], row[j]);
      }
      previous = row;
    }
    return previous[b.size()];
  }

  /**
   * Returns corpus BLEU in [0, 100] as sacrebleu defines it by default (Papineni et al. 2002; Post
   * 2018, signature {@code nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp}): up to 4-grams, tokenized
   * as in mteval-v13a, each order without a match smoothed by halving, brevity penalty. A corpus
   * without a prediction of at least four tokens scores 0.
   */
  public static Metric bleu() {
    return new Simple(BLEU, (p, r) -> bleu(p, r.stream().map(List::of).toList()));
  }

  /**
   * Returns {@link #bleu()} with several references for each prediction: matches are clipped by the
   * largest count of an n-gram in any reference, and the length of the closest reference is used,
   * the shorter one of ties.
   */
  public static double bleu(List<String> predictions, List<List<String>> references) {
    requirePairs(predictions.size(), references.size());
    long[] correct = new long[BLEU_ORDER];
    long[] total = new long[BLEU_ORDER];
    long length = 0;
    long referenceLength = 0;
    for (int i = 0; i < predictions.size(); i++) {
      checkArgument(!references.get(i).isEmpty(), "prediction %s has no reference", i);
      List<String> prediction = tokenize13a(predictions.get(i));
      List<List<String>> to = references.get(i).stream().map(Metrics::tokenize13a).toList();
      length += prediction.size();
      referenceLength += closest(prediction.size(), to);
      for (int n = 1; n <= BLEU_ORDER; n++) {
        Multiset<List<String>> mine = ngrams(prediction, n);
        int order = n;
        List<Multiset<List<String>>> theirs = to.stream().map(r -> ngrams(r, order)).toList();
        total[n - 1] += mine.size();
        for (Multiset.Entry<List<String>> e : mine.entrySet()) {
          int most = theirs.stream().mapToInt(t -> t.count(e.getElement())).max().orElse(0);
          correct[n - 1] += Math.min(e.getCount(), most);
        }
      }
    }
    if (correct[0] == 0) { // then no longer n-gram can match
      return 0;
    }
    double logPrecisions = 0;
    double smoothing = 1;
    for (int n = 0; n < BLEU_ORDER; n++) {
      if (total[n] == 0) {
        return 0;
      }
      if (correct[n] == 0) {
        smoothing *= 2;
      }
      double matches = correct[n] == 0 ? 1 / smoothing : correct[n];
      logPrecisions += Math.log(100 * matches / total[n]);
    }
    double brevityPenalty =
        length < referenceLength ? Math.exp(1 - (double) referenceLength / length) : 1;
    return brevityPenalty * Math.exp(logPrecisions / BLEU_ORDER);
  }

  private static int closest(int length, List<List<String>> references) {
    int best = references.get(0).size();
    for (List<String> r : references) {
      int difference = Math.abs(r.size() - length) - Math.abs(best - length);
      if (difference < 0 || (difference == 0 && r.size() < best)) {
        best = r.size();
      }
    }
    return best;
  }

  private static Multiset<List<String>> ngrams(List<String> tokens, int n) {
    Multiset<List<String>> all = HashMultiset.create();
    for (int i = 0; i + n <= tokens.size(); i++) {
      all.add(tokens.subList(i, i + n));
    }
    return all;
  }

  static List<String> tokenize13a(String text) {
    String line =
        CharMatcher.whitespace()
            .trimTrailingFrom(text)
            .replace("<skipped>", "")
            .replace("-\n", "")
            .replace("\n", " ")
            .replace("&quot;", "\"")
            .replace("&amp;", "&")
            .replace("&lt;", "<")
            .replace("&gt;", ">");
    line = SYMBOL.matcher(" " + line + " ").replaceAll(" $1 ");
    line = MARK_AFTER_NON_DIGIT.matcher(line).replaceAll("$1 $2 ");
    line = MARK_BEFORE_NON_DIGIT.matcher(line).replaceAll(" $1 $2");
    line = DASH_AFTER_DIGIT.matcher(line).replaceAll("$1 $2 ");
    return WORDS.splitToList(line);
  }

  /**
   * Returns the perplexity: the exponential of the mean negative log-likelihood of a token.
   *
   * @param logLikelihood sum over all tokens, in nats
   * @param tokens number of tokens, at least 1
   */
  public static double perplexity(double logLikelihood, long tokens) {
    checkArgument(tokens > 0, "the perplexity of %s tokens is not defined", tokens);
    return Math.exp(-logLikelihood / tokens);
  }

  private static double mean(
      List<String> predictions,
      List<String> references,
      ToDoubleBiFunction<String, String> function) {
    double sum = 0;
    for (int i = 0; i < predictions.size(); i++) {
      sum += function.applyAsDouble(predictions.get(i), references.get(i));
    }
    return sum / predictions.size();
  }
}
