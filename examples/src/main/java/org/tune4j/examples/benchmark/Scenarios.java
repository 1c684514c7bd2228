package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.tune4j.core.data.Task;
import org.tune4j.examples.benchmark.Scenario.Use;

/**
 * Generates the scenarios, which vary in number of tasks, sizes, noise, conventions and epochs.
 * They are always the same, as results are recorded under their {@linkplain Scenario#id ids}.
 */
final class Scenarios {
  /**
   * Maximum number of example passes for a scenario: about twenty seconds of training on two cores.
   */
  private static final int MOST_PASSES = 3000;

  private static final int LEAST_EXAMPLES = 30;
  private static final int MOST_EXAMPLES = 1000;

  private final Use use;
  private final Random random;
  private final ImmutableList.Builder<Scenario> made = ImmutableList.builder();
  private int count;

  private Scenarios(Use use) {
    this.use = use;
    this.random = new Random(use == Use.FIT ? 11 : 12);
  }

  /** Returns all scenarios, those for fitting first. */
  static ImmutableList<Scenario> all() throws IOException {
    return ImmutableList.<Scenario>builder()
        .addAll(new Scenarios(Use.FIT).draw())
        .addAll(new Scenarios(Use.REPORT).draw())
        .build();
  }

  private ImmutableList<Scenario> draw() throws IOException {
    for (int tasks : new int[] {2, 2, 3, 4, 5, 6, 8}) {
      balanced(tasks);
    }
    for (int tasks : new int[] {2, 2, 3, 4, 6}) {
      skewed(tasks);
    }
    for (double noise : new double[] {0.2, 0.4, 0.4, 0.6}) {
      noisy(noise);
    }
    for (double share : new double[] {1, 1, 0.5}) {
      contradicting(share, "");
    }
    contradicting(1, " (other)");
    contradicting(0.5, " (other)");
    for (int parts : new int[] {2, 3, 6}) {
      parts(parts);
    }
    if (use == Use.FIT) {
      more();
    }
    return made.build();
  }

  /** More of the kinds in which strategies differ most, as there are few of each to fit to. */
  private void more() throws IOException {
    for (double share : new double[] {1, 1, 1, 0.5, 0.5}) {
      contradicting(share, "");
    }
    contradicting(1, " (other)");
    contradicting(0.5, " (other)");
    for (int parts : new int[] {2, 2, 3, 4}) {
      parts(parts);
    }
    for (int tasks : new int[] {2, 2, 3}) {
      skewed(tasks);
    }
    for (int tasks : new int[] {2, 3, 4}) {
      balanced(tasks);
    }
  }

  /** Different tasks of one size. */
  private void balanced(int tasks) throws IOException {
    int size = size();
    List<Part> parts = new ArrayList<>();
    for (String source : sources(tasks)) {
      parts.add(Part.of(source, size));
    }
    add("balanced", parts);
  }

  /** Different tasks of different sizes, the largest many times the smallest. */
  private void skewed(int tasks) throws IOException {
    List<Part> parts = new ArrayList<>();
    for (String source : sources(tasks)) {
      parts.add(Part.of(source, parts.isEmpty() ? LEAST_EXAMPLES : size()));
    }
    parts.set(1, parts.get(1).train(random.nextInt(4) == 0 ? 4000 : MOST_EXAMPLES));
    add("skewed", parts);
  }

  /** One task with many wrong answers, among clean ones. */
  private void noisy(double noise) throws IOException {
    int size = size();
    List<Part> parts = new ArrayList<>();
    for (String source : sources(2 + random.nextInt(3))) {
      parts.add(Part.of(source, size).noise(parts.isEmpty() ? noise : 0));
    }
    add("noisy", parts);
  }

  /**
   * Two tasks with the same kind of prompts, the second with different answers; a cue, if not
   * empty, tells its prompts apart.
   */
  private void contradicting(double share, String cue) throws IOException {
    int size = Math.max(60, size());
    List<String> sources = new ArrayList<>(sources(Sources.of(use).size()));
    String source = null;
    for (String s : sources) {
      int labels = Sources.task(s).labels().size();
      if (share * labels >= 2 && Sources.task(s).train().size() >= 2 * size) {
        source = s;
        break;
      }
    }
    Part first = Part.of(source, size);
    List<Part> parts = new ArrayList<>();
    parts.add(first);
    // half of the pairs share their prompts, the others have different prompts of the same kind
    parts.add(
        first
            .named(source + "-otherwise")
            .from(random.nextBoolean() ? 0 : size)
            .relabelled(share)
            .cue(cue));
    sources.remove(source);
    for (String s : sources.subList(0, random.nextInt(3))) {
      parts.add(Part.of(s, size));
    }
    add(cue.isEmpty() ? "contradicting" : "conventions", parts);
  }

  /** One task split into several, sometimes with another task. */
  private void parts(int count) throws IOException {
    List<String> sources = sources(2);
    int size = Math.min(size(), Sources.task(sources.get(0)).train().size() / count);
    List<Part> parts = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      parts.add(Part.of(sources.get(0), size).named(sources.get(0) + "-" + (i + 1)).from(i * size));
    }
    if (random.nextBoolean()) {
      parts.add(Part.of(sources.get(1), size));
    }
    add("parts", parts);
  }

  private List<String> sources(int tasks) {
    List<String> sources = new ArrayList<>(Sources.of(use));
    Collections.shuffle(sources, random);
    return sources.subList(0, tasks);
  }

  /** Returns a log-uniformly distributed size. */
  private int size() {
    double log =
        Math.log(LEAST_EXAMPLES)
            + random.nextDouble() * (Math.log(MOST_EXAMPLES) - Math.log(LEAST_EXAMPLES));
    return (int) Math.round(Math.exp(log));
  }

  private void add(String kind, List<Part> parts) throws IOException {
    double epochs = List.of(1.0, 2.0, 2.0, 4.0).get(random.nextInt(4));
    List<Part> within = new ArrayList<>();
    double passes = epochs * parts.stream().mapToInt(Part::train).sum();
    if (passes > MOST_PASSES) {
      epochs = Math.max(1, epochs * MOST_PASSES / passes >= 2 ? 2 : 1);
    }
    double shrink =
        Math.min(1, MOST_PASSES / (epochs * parts.stream().mapToInt(Part::train).sum()));
    for (Part p : parts) {
      Task source = Sources.task(p.source());
      int train = Math.min(p.train(), source.train().size() - p.from());
      within.add(p.train(Math.max(LEAST_EXAMPLES, (int) (train * shrink))));
    }
    String id = "%s-%02d-%s".formatted(use == Use.FIT ? "fit" : "report", ++count, kind);
    made.add(new Scenario(id, use, kind, ImmutableList.copyOf(within), epochs));
  }
}
