package org.tune4j.examples.wordnet;

import com.google.common.base.CharMatcher;
import com.google.common.base.Splitter;
import com.google.common.collect.ImmutableList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.tune4j.examples.wordnet.Splits.Candidate;

/**
 * How far a classification can be solved without understanding: test accuracies of classifiers that
 * do not see words.
 *
 * @param majority of the most common label of the test split
 * @param shape of a softmax regression on lengths, order, capitals and punctuation
 * @param trigrams of naive Bayes on the letters' trigrams
 */
record Shortcuts(double majority, double shape, double trigrams) {
  private static final Splitter PARTS = Splitter.on(CharMatcher.anyOf("/:"));
  private static final int EPOCHS = 10;
  private static final double RATE = 0.05;

  static Shortcuts of(List<Candidate> train, List<Candidate> test) {
    Map<String, Integer> labels = new LinkedHashMap<>();
    train.forEach(c -> labels.putIfAbsent(c.completion(), labels.size()));
    int[] counts = new int[labels.size()];
    for (Candidate c : test) {
      counts[labels.get(c.completion())]++;
    }
    return new Shortcuts(
        Arrays.stream(counts).max().orElse(0) / (double) test.size(),
        shape(train, test, labels),
        trigrams(train, test, labels));
  }

  private static String question(Candidate candidate) {
    return candidate.prompt().substring(0, candidate.prompt().lastIndexOf('\n'));
  }

  // [features]
  private static double[] features(Candidate candidate) {
    String text = question(candidate);
    ImmutableList<String> parts = ImmutableList.copyOf(PARTS.split(text));
    String first = parts.get(0).strip();
    String last = parts.get(parts.size() - 1).strip();
    return new double[] {
      1,
      text.length(),
      first.length(),
      last.length(),
      Integer.signum(first.length() - last.length()),
      Integer.signum(first.compareToIgnoreCase(last)),
      CharMatcher.is(' ').countIn(first),
      CharMatcher.is(' ').countIn(last),
      CharMatcher.inRange('A', 'Z').countIn(first),
      CharMatcher.inRange('A', 'Z').countIn(last),
      CharMatcher.inRange('0', '9').countIn(text),
      CharMatcher.anyOf(",;").countIn(text),
      CharMatcher.anyOf("()-").countIn(text)
    };
  }

  private static double shape(
      List<Candidate> train, List<Candidate> test, Map<String, Integer> labels) {
    double[][] x = train.stream().map(Shortcuts::features).toArray(double[][]::new);
    double[][] other = test.stream().map(Shortcuts::features).toArray(double[][]::new);
    standardise(x, other);
    int n = x[0].length;
    double[][] w = new double[labels.size()][n]; // [labels, features]
    Random random = new Random(1);
    for (int step = 0; step < EPOCHS * x.length; step++) {
      int i = random.nextInt(x.length);
      double[] p = softmax(scores(w, x[i]));
      p[labels.get(train.get(i).completion())] -= 1;
      double rate = RATE * (1 - step / (double) (EPOCHS * x.length));
      for (int l = 0; l < w.length; l++) {
        for (int f = 0; f < n; f++) {
          w[l][f] -= rate * p[l] * x[i][f];
        }
      }
    }
    int right = 0;
    for (int i = 0; i < other.length; i++) {
      right += best(scores(w, other[i])) == labels.get(test.get(i).completion()) ? 1 : 0;
    }
    return right / (double) other.length;
  }

  /**
   * Standardises each feature except the constant first one, by mean and deviation of {@code x}.
   */
  private static void standardise(double[][] x, double[][] other) {
    for (int f = 1; f < x[0].length; f++) {
      int feature = f;
      double mean = Arrays.stream(x).mapToDouble(row -> row[feature]).average().orElse(0);
      double variance =
          Arrays.stream(x).mapToDouble(r -> (r[feature] - mean) * (r[feature] - mean)).sum()
              / x.length;
      double scale = variance > 0 ? 1 / Math.sqrt(variance) : 0;
      for (double[][] rows : new double[][][] {x, other}) {
        for (double[] row : rows) {
          row[f] = (row[f] - mean) * scale;
        }
      }
    }
  }

  private static double[] scores(double[][] w, double[] x) {
    double[] scores = new double[w.length];
    for (int l = 0; l < w.length; l++) {
      for (int f = 0; f < x.length; f++) {
        scores[l] += w[l][f] * x[f];
      }
    }
    return scores;
  }

  private static double[] softmax(double[] scores) {
    double most = scores[best(scores)];
    double[] p = Arrays.stream(scores).map(s -> Math.exp(s - most)).toArray();
    double sum = Arrays.stream(p).sum();
    return Arrays.stream(p).map(v -> v / sum).toArray();
  }

  private static int best(double[] scores) {
    int best = 0;
    for (int l = 1; l < scores.length; l++) {
      best = scores[l] > scores[best] ? l : best;
    }
    return best;
  }

  private static double trigrams(
      List<Candidate> train, List<Candidate> test, Map<String, Integer> labels) {
    Map<String, double[]> counts = new HashMap<>(); // [labels] of each trigram
    double[] totals = new double[labels.size()];
    double[] examples = new double[labels.size()];
    for (Candidate c : train) {
      int label = labels.get(c.completion());
      examples[label]++;
      for (String gram : grams(c)) {
        counts.computeIfAbsent(gram, g -> new double[labels.size()])[label]++;
        totals[label]++;
      }
    }
    int right = 0;
    for (Candidate c : test) {
      double[] scores = Arrays.stream(examples).map(Math::log).toArray();
      for (String gram : grams(c)) {
        double[] of = counts.get(gram);
        if (of != null) {
          for (int l = 0; l < scores.length; l++) {
            scores[l] += Math.log((of[l] + 1) / (totals[l] + counts.size())); // Laplace smoothing
          }
        }
      }
      right += best(scores) == labels.get(c.completion()) ? 1 : 0;
    }
    return right / (double) test.size();
  }

  private static List<String> grams(Candidate candidate) {
    String text = "^" + question(candidate) + "$";
    String[] grams = new String[Math.max(0, text.length() - 2)];
    for (int i = 0; i < grams.length; i++) {
      grams[i] = text.substring(i, i + 3);
    }
    return List.of(grams);
  }
}
