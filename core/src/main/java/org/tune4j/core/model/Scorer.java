package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.primitives.Ints;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;

/**
 * Log-likelihoods of several continuations of each prompt. The prompt is run once, as the trunk of
 * a tree whose branches are the continuations without their last tokens; the first token of every
 * continuation is scored by the logits after the trunk. The first tokens of continuations may be
 * left unscored, where these still belong to the prompt. If a sliding window is shorter than a
 * sequence, each continuation is run separately with the prompt.
 */
final class Scorer {
  /** Most prompts whose logits are held at once. */
  private static final int LOGIT_ROWS = 64;

  private final LanguageModel model;
  private final List<Adapter> adapters;
  private final List<int[]> prompts;
  private final List<int[][]> continuations;
  private final List<int[]> unscored;
  private final double[][] scores;

  private Rows rows = new Rows();
  private boolean trees = true; // whether rows holds trees, or sequences longer than the window

  Scorer(
      LanguageModel model,
      List<? extends Adapter> adapters,
      List<int[]> prompts,
      List<int[][]> continuations,
      List<int[]> unscored) {
    checkArgument(
        prompts.size() == continuations.size() && prompts.size() == unscored.size(),
        "%s prompts, continuations of %s, unscored tokens of %s",
        prompts.size(),
        continuations.size(),
        unscored.size());
    this.model = model.on(adapters);
    this.adapters = ImmutableList.copyOf(adapters);
    this.prompts = prompts;
    this.continuations = continuations;
    this.unscored = unscored;
    this.scores = new double[prompts.size()][];
  }

  /** The rows of one step, and which prompts and continuations they belong to. */
  private static final class Rows {
    final List<Integer> ids = new ArrayList<>();
    final List<Integer> positions = new ArrayList<>();
    final List<Integer> targets = new ArrayList<>();
    final List<Integer> branch = new ArrayList<>();
    final List<Integer> starts = new ArrayList<>();
    final List<int[]> lossOwners =
        new ArrayList<>(); // {prompt, continuation} of each row with a target
    final List<Integer> trunkEnds = new ArrayList<>(); // row indices
    final List<Integer> trunkPrompts = new ArrayList<>();

    int size() {
      return ids.size();
    }

    void begin() {
      starts.add(size());
    }

    void add(int id, int position, int inBranch) {
      ids.add(id);
      positions.add(position);
      branch.add(inBranch);
      targets.add(-1);
    }

    void target(int token, int prompt, int continuation) {
      targets.set(size() - 1, token);
      lossOwners.add(new int[] {prompt, continuation});
    }

    Batch batch() {
      int[] segmentStart = Ints.toArray(starts);
      segmentStart = Arrays.copyOf(segmentStart, segmentStart.length + 1);
      segmentStart[segmentStart.length - 1] = size();
      boolean trees = branch.stream().anyMatch(b -> b > 0);
      return new Batch(
          Ints.toArray(ids),
          Ints.toArray(positions),
          segmentStart,
          Ints.toArray(targets),
          new int[starts.size()],
          trees ? Ints.toArray(branch) : null);
    }
  }

  List<float[]> run(int rowBudget) {
    int window = model.config().smallestWindow();
    for (int p = 0; p < prompts.size(); p++) {
      int[] prompt = prompts.get(p);
      int[][] choices = continuations.get(p);
      scores[p] = new double[choices.length];
      int longest = check(p, prompt, choices);
      boolean tree = window == 0 || longest <= window;
      if (tree != trees) { // branches cannot be combined with a window
        flush();
        trees = tree;
      }
      if (tree) {
        int needed = prompt.length + Arrays.stream(choices).mapToInt(c -> c.length - 1).sum();
        flushIfFull(needed, rowBudget);
        addTree(p, prompt, choices);
      } else {
        for (int c = 0; c < choices.length; c++) {
          flushIfFull(prompt.length + choices[c].length - 1, rowBudget);
          addSequence(p, c, prompt, choices[c]);
        }
      }
    }
    flush();
    List<float[]> results = new ArrayList<>();
    for (double[] logLikelihoods : scores) {
      float[] sums = new float[logLikelihoods.length];
      for (int c = 0; c < sums.length; c++) {
        sums[c] = (float) logLikelihoods[c];
      }
      results.add(sums);
    }
    return results;
  }

  private int check(int p, int[] prompt, int[][] choices) {
    checkArgument(prompt.length > 0, "prompt %s is empty: at least one token is needed", p);
    int longest = prompt.length;
    for (int c = 0; c < choices.length; c++) {
      checkArgument(choices[c].length > 0, "continuation %s of prompt %s is empty", c, p);
      int skipped = unscored.get(p)[c];
      checkArgument(
          skipped >= 0 && skipped < choices[c].length,
          "%s of the %s tokens of continuation %s of prompt %s unscored",
          skipped,
          choices[c].length,
          c,
          p);
      longest = Math.max(longest, prompt.length + choices[c].length);
    }
    checkArgument(
        longest <= model.config().maxPositions(),
        "prompt %s with its longest continuation has %s tokens, the model's context is %s",
        p,
        longest,
        model.config().maxPositions());
    return longest;
  }

  private void addTree(int p, int[] prompt, int[][] choices) {
    rows.begin();
    for (int i = 0; i < prompt.length; i++) {
      rows.add(prompt[i], i, 0);
    }
    rows.trunkEnds.add(rows.size() - 1);
    rows.trunkPrompts.add(p);
    for (int c = 0; c < choices.length; c++) {
      for (int i = 0; i + 1 < choices[c].length; i++) {
        rows.add(choices[c][i], prompt.length + i, c + 1);
        if (i + 1 >= unscored.get(p)[c]) {
          rows.target(choices[c][i + 1], p, c);
        }
      }
    }
  }

  private void addSequence(int p, int c, int[] prompt, int[] continuation) {
    rows.begin();
    for (int i = 0; i < prompt.length; i++) {
      rows.add(prompt[i], i, 0);
    }
    for (int i = 0; i < continuation.length; i++) {
      if (i >= unscored.get(p)[c]) {
        rows.target(continuation[i], p, c);
      }
      if (i + 1 < continuation.length) {
        rows.add(continuation[i], prompt.length + i, 0);
      }
    }
  }

  private void flushIfFull(int needed, int rowBudget) {
    if (rows.size() > 0 && rows.size() + needed > rowBudget) {
      flush();
    }
  }

  private void flush() {
    if (rows.size() == 0) {
      return;
    }
    Rows r = rows;
    rows = new Rows();
    Batch batch = r.batch();
    model.step(
        () -> {
          Tape tape = Tape.inference(model.engine());
          Routing routing = Routing.all(batch.rows(), adapters);
          Tensor x = model.forward(tape, batch, routing); // F32 [n, hidden]
          float[] losses =
              Forward.headLoss(model.decoder(), tape, x, batch, routing, null).losses();
          for (int i = 0; i < losses.length; i++) {
            int[] owner = r.lossOwners.get(i);
            scores[owner[0]][owner[1]] -= losses[i];
          }
          for (int from = 0; from < r.trunkEnds.size(); from += LOGIT_ROWS) {
            int to = Math.min(from + LOGIT_ROWS, r.trunkEnds.size());
            int[] ends = Ints.toArray(r.trunkEnds.subList(from, to));
            Tensor logits = Forward.logits(model.decoder(), tape, x, ends, routing);
            addFirstTokens(r.trunkPrompts.subList(from, to), model.engine().read(logits));
            model.engine().release(logits);
          }
          return null;
        });
  }

  /**
   * Adds {@code log softmax} of each continuation's first token; {@code logits} is {@code
   * [owners.size(), vocabulary]}.
   */
  private void addFirstTokens(List<Integer> owners, float[] logits) {
    int vocabulary = model.config().vocabularySize();
    for (int i = 0; i < owners.size(); i++) {
      int at = i * vocabulary;
      double max = Double.NEGATIVE_INFINITY;
      for (int v = 0; v < vocabulary; v++) {
        max = Math.max(max, logits[at + v]);
      }
      double sum = 0;
      for (int v = 0; v < vocabulary; v++) {
        sum += Math.exp(logits[at + v] - max);
      }
      double logSum = max + Math.log(sum);
      int[][] choices = continuations.get(owners.get(i));
      for (int c = 0; c < choices.length; c++) {
        if (unscored.get(owners.get(i))[c] == 0) {
          scores[owners.get(i)][c] += logits[at + choices[c][0]] - logSum;
        }
      }
    }
  }
}
