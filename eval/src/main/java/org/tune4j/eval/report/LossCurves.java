package org.tune4j.eval.report;

import com.google.common.collect.Iterators;
import com.google.common.collect.PeekingIterator;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.StepRecords;

/**
 * The loss of each task by tokens trained on: means over windows of steps, so that the page stays
 * small and readable however long the training.
 *
 * @param byTask points {@code {tokens, loss}}, by task
 * @param stageEnds tokens at the ends of stages, except the last
 * @param tokens total
 */
record LossCurves(Map<String, List<double[]>> byTask, List<Long> stageEnds, long tokens) {
  private static final int MAX_POINTS = 80;

  static LossCurves of(StepRecords steps) {
    long window = Math.max(1, (steps.count() + MAX_POINTS - 1) / MAX_POINTS);
    Map<String, List<double[]>> points = new LinkedHashMap<>();
    List<Long> ends = new ArrayList<>();
    long tokens = 0;
    long read = 0;
    Map<String, double[]> sums = new LinkedHashMap<>(); // {loss, steps}
    try (Stream<StepRecord> all = steps.stream()) {
      PeekingIterator<StepRecord> next = Iterators.peekingIterator(all.iterator());
      while (next.hasNext()) {
        StepRecord s = next.next();
        read++;
        tokens += s.tokens();
        s.lossByTask()
            .forEach(
                (task, loss) -> {
                  double[] sum = sums.computeIfAbsent(task, k -> new double[2]);
                  sum[0] += loss;
                  sum[1]++;
                });
        boolean last = !next.hasNext();
        boolean stageEnds = last || next.peek().stageIndex() != s.stageIndex();
        if (stageEnds || read % window == 0) {
          long at = tokens;
          sums.forEach(
              (task, sum) ->
                  points
                      .computeIfAbsent(task, k -> new ArrayList<>())
                      .add(new double[] {at, sum[0] / sum[1]}));
          sums.clear();
        }
        if (stageEnds && !last) {
          ends.add(tokens);
        }
      }
    }
    return new LossCurves(points, ends, tokens);
  }

  double maxLoss() {
    return byTask.values().stream().flatMap(List::stream).mapToDouble(p -> p[1]).max().orElse(1);
  }
}
