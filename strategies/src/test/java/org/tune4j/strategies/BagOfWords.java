package org.tune4j.strategies;

import com.google.common.collect.ImmutableList;
import com.google.common.primitives.Floats;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.LearnedTurns;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.PassLosses;
import org.tune4j.core.model.Projection;
import org.tune4j.core.model.ProjectionGroup;
import org.tune4j.core.progress.ProgressListener;
import org.tune4j.testing.TinyRuns;

/**
 * A network that is no language model, as a user brings one along: a linear classifier of bags of
 * words, which forms its gradients itself. Features are words, classes what examples are completed
 * with; an adapter is a change of the whole weight.
 */
final class BagOfWords implements AdaptableModel {
  private static final int FEATURES = 60;
  private static final int CLASSES = 20;

  private final Engine engine;
  private final float[] weight; // [CLASSES, FEATURES]
  private final ProjectionGroup classifier;
  private final BagOfWords root;
  private boolean closed;

  private BagOfWords(Engine engine, float[] weight, BagOfWords root) {
    this.engine = engine;
    this.weight = weight;
    this.root = root == null ? this : root;
    classifier =
        new ProjectionGroup(
            engine,
            List.of(
                new Projection(
                    "classifier",
                    0,
                    FEATURES,
                    CLASSES,
                    MatrixSource.of(CLASSES, FEATURES, weight),
                    null,
                    false)));
  }

  static BagOfWords random(Engine engine, long seed) {
    Random random = new Random(seed);
    float[] weight = new float[CLASSES * FEATURES];
    for (int i = 0; i < weight.length; i++) {
      weight[i] = (float) (0.3 * random.nextGaussian());
    }
    return new BagOfWords(engine, weight, null);
  }

  @Override
  public String name() {
    return "a bag of words";
  }

  @Override
  public String fingerprint() {
    return "bag of words " + Arrays.hashCode(weight);
  }

  @Override
  public Engine engine() {
    return engine;
  }

  @Override
  public ImmutableList<ProjectionGroup> groups() {
    return ImmutableList.of(classifier);
  }

  @Override
  public void requireOpen() {
    if (closed || root.closed) {
      throw new IllegalStateException("the model is closed");
    }
  }

  // ---- data

  @Override
  public TaskEncoder encoder(int maxLength, LengthPolicy policy, LearnedTurns turns) {
    return new TaskEncoder() {
      @Override
      public int maxLength() {
        return maxLength;
      }

      @Override
      public EncodingReport encode(
          Task task,
          Task.Split split,
          Consumer<EncodedExample> to,
          ProgressListener progress,
          BooleanSupplier cancelled) {
        int count = 0;
        long tokens = 0;
        int longest = 0;
        for (Example e : task.split(split)) {
          String[] words = e.prompt().split(" ");
          int[] ids = new int[words.length + 1]; // features, then the class
          for (int i = 0; i < words.length; i++) {
            ids[i] = number(words[i]) % FEATURES;
          }
          ids[words.length] = number(e.completion().strip().split(" ")[0]) % CLASSES;
          boolean[] learned = new boolean[ids.length];
          learned[words.length] = true;
          tokens += ids.length;
          longest = Math.max(longest, ids.length);
          to.accept(new EncodedExample(ids, learned, words.length, count++));
        }
        return new EncodingReport(count, 0, 0, tokens, count, longest);
      }
    };
  }

  private static int number(String word) {
    return Integer.parseInt(word.substring(1));
  }

  // ---- steps

  @Override
  public PassLosses addGradients(
      Pass pass, float[] weights, Tape.Mode mode, long seed, Runnable pause) {
    return run(pass, weights, pause);
  }

  @Override
  public PassLosses losses(Pass pass, Runnable pause) {
    return run(pass, null, pause);
  }

  private PassLosses run(Pass pass, float[] weights, Runnable pause) {
    int[] items = new int[pass.items().size()];
    float[] losses = new float[items.length];
    for (int i = 0; i < items.length; i++) {
      Pass.Item item = pass.items().get(i);
      List<Adapter> stack = pass.stacks().get(item.lane());
      int[] ids = item.example().ids();
      int words = ids.length - 1;
      double[] p = probabilities(ids, effective(stack));
      items[i] = i;
      losses[i] = (float) -Math.log(p[ids[words]]);
      if (weights != null) {
        p[ids[words]] -= 1; // the gradient by the logits
        for (Adapter a : stack) {
          if (a.trainable()) {
            add(a.parameters(), ids, p, weights[item.lane()]);
          }
        }
      }
      pause.run();
    }
    return new PassLosses(items, losses);
  }

  private float[] effective(List<Adapter> stack) {
    float[] sum = weight.clone();
    for (Adapter a : stack) {
      float[] delta = engine.read(a.parameters().flat());
      for (int i = 0; i < sum.length; i++) {
        sum[i] += delta[i];
      }
    }
    return sum;
  }

  private static double[] probabilities(int[] ids, float[] w) {
    double[] p = new double[CLASSES];
    double sum = 0;
    for (int c = 0; c < CLASSES; c++) {
      for (int i = 0; i < ids.length - 1; i++) {
        p[c] += w[c * FEATURES + ids[i]];
      }
      p[c] = Math.exp(p[c]);
      sum += p[c];
    }
    for (int c = 0; c < CLASSES; c++) {
      p[c] /= sum;
    }
    return p;
  }

  private void add(Parameters to, int[] ids, double[] dLogits, float factor) {
    float[] g = engine.read(to.flatGradients());
    for (int c = 0; c < CLASSES; c++) {
      for (int i = 0; i < ids.length - 1; i++) {
        g[c * FEATURES + ids[i]] += (float) (factor * dLogits[c]);
      }
    }
    engine.write(to.flatGradients(), g);
  }

  // ---- merging

  @Override
  public AdaptableModel withMerged(List<? extends Adapter> adapters, Path directory) {
    return new BagOfWords(engine, effective(List.copyOf(adapters)), root);
  }

  @Override
  public void save(Path directory, ElementType type) throws IOException {
    AtomicFiles.writeDirectory(
        directory,
        d -> AtomicFiles.writeString(d.resolve("weight.txt"), Floats.asList(weight).toString()));
  }

  @Override
  public void close() {
    closed = true;
    classifier.close();
  }

  /** A change of the weight, attached to the group that the model names. */
  static Adapter adapter(AdaptableModel model, String name) {
    Projection target = model.groups().get(0).members().get(0);
    Parameters.Builder builder = Parameters.builder(model.engine());
    builder.add(target.name(), target.out(), target.in());
    Parameters parameters = builder.build(true);
    return new Adapter() {
      private boolean trainable = true;

      @Override
      public String name() {
        return name;
      }

      @Override
      public AdaptableModel model() {
        return model;
      }

      @Override
      public Parameters parameters() {
        return parameters;
      }

      @Override
      public Optional<ProjectionAdapter> on(ProjectionGroup group) {
        return Optional.empty(); // the network applies it by itself
      }

      @Override
      public boolean trainable() {
        return trainable;
      }

      @Override
      public void setTrainable(boolean value) {
        trainable = value;
      }

      @Override
      public void save(Path directory) throws IOException {
        String values = Floats.asList(TinyRuns.weights(this)).toString();
        AtomicFiles.writeDirectory(
            directory, d -> AtomicFiles.writeString(d.resolve("change.txt"), values));
      }

      @Override
      public void close() {
        parameters.close();
      }
    };
  }
}
