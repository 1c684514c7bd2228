package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.DoubleSupplier;
import org.tune4j.core.model.Projection;

/**
 * Initial values of A {@code [r, in]} and B {@code [out, r]}; B is zero unless stated otherwise.
 * Each constant implements a method completely: its values, its requirements, and PEFT's name.
 */
public enum Initialisation {
  /** Kaiming uniform with a = sqrt(5), which is uniform within ±1/sqrt(in). PEFT's default. */
  KAIMING("true"),

  /** Normal with standard deviation 1/r. */
  GAUSSIAN("gaussian") {
    @Override
    Factors draw(int rank, int in, int out, SplittableRandom random) {
      return new Factors(
          rank, drawn(rank * in, () -> random.nextGaussian() / rank), new float[out * rank]);
    }
  },

  /**
   * Like {@link #KAIMING} for both A and B, so that the adapter changes outputs from the start; for
   * tests.
   */
  RANDOM("false") {
    @Override
    Factors draw(int rank, int in, int out, SplittableRandom random) {
      return new Factors(rank, uniform(rank * in, in, random), uniform(out * rank, rank, random));
    }

    @Override
    Factors drawForEmbedding(int rank, int entries, int hidden, SplittableRandom random) {
      return new Factors(
          rank,
          drawn(rank * entries, random::nextGaussian),
          drawn(hidden * rank, random::nextGaussian));
    }
  },

  /**
   * A and B random in orthogonal subspaces, so that {@code B A = 0} although neither is zero; the
   * rank must be even.
   */
  ORTHOGONAL("orthogonal") {
    @Override
    Factors draw(int rank, int in, int out, SplittableRandom random) {
      return orthogonal(rank, in, out, random);
    }

    @Override
    void check(LoraConfig config) {
      checkArgument(
          config.rank() % 2 == 0
              && config.rankPattern().asMap().values().stream().allMatch(r -> r % 2 == 0),
          "r is %s, rank_pattern %s; orthogonal initialisation needs even ranks",
          config.rank(),
          config.rankPattern());
    }
  },

  /**
   * A from the principal directions of a layer's inputs (EVA, Paischer et al. 2024). Such adapters
   * can be loaded and trained further; new ones cannot be created, as that requires a pass over
   * data.
   */
  EVA("eva") {
    @Override
    boolean canCreate() {
      return false;
    }
  },

  /**
   * B frozen at the base weight's left singular vectors of the smallest singular values, A zero
   * (MiCA, arXiv 2604.01694): only A is trained, in the directions that the model uses least. The
   * decomposition takes seconds for a layer with thousands of features.
   */
  MICA("mica") {
    @Override
    Optional<Factors> fromBase(Target t) {
      int most = Math.min(t.projection().in(), t.projection().out());
      checkArgument(
          t.rank() <= most,
          "r is %s for '%s', but MiCA needs as many singular values, and it has only %s",
          t.rank(),
          t.name(),
          most);
      return Optional.of(BasePart.mica(t.source(), t.embedding(), t.rank()));
    }

    @Override
    boolean freezesB() {
      return true;
    }

    @Override
    void check(LoraConfig config) {
      checkArgument(
          config.variant() == LoraVariant.plain(),
          "initialisation %s cannot be combined with %s",
          this,
          config.variant());
    }
  },

  /**
   * The base weight's largest singular values with their vectors, moved out of the weight (PiSSA,
   * Meng et al. 2024), so that its most important part is trained. The decomposition takes a third
   * of a second for a layer with a thousand features, seconds for several thousand. Saved as plain
   * LoRA of twice the rank.
   */
  PISSA("pissa") {
    @Override
    boolean movesBase() {
      return true;
    }

    @Override
    Optional<Factors> fromBase(Target t) {
      return t.embedding()
          ? Optional.empty()
          : Optional.of(BasePart.pissa(t.source(), t.rank(), t.scale()));
    }

    @Override
    void check(Projection p, double scale) {
      checkArgument(
          scale > 0,
          "lora_alpha makes the scale of '%s' %s; PiSSA needs a positive one",
          p.name(),
          scale);
    }
  },

  /**
   * B orthonormal and A triangular, from the base weight's QR decomposition, moved out of the
   * weight (OLoRA, Büyükakyüz 2024). Saved as plain LoRA of twice the rank.
   */
  OLORA("olora") {
    @Override
    boolean movesBase() {
      return true;
    }

    @Override
    Optional<Factors> fromBase(Target t) {
      return t.embedding() ? Optional.empty() : Optional.of(BasePart.olora(t.source(), t.rank()));
    }

    @Override
    void check(Projection p, double scale) {
      checkArgument(
          !p.fanInFanOut(),
          "OLoRA of '%s', which is stored as [in, out]: PEFT decomposes that in the wrong orientation",
          p.name());
    }
  };

  private static final double ORTHOGONAL_SIZE = 0.1; // PEFT's

  private final String peft;

  Initialisation(String peft) {
    this.peft = peft;
  }

  /** Returns PEFT's value of {@code init_lora_weights}; true and false are JSON booleans. */
  String peft() {
    return peft;
  }

  /**
   * Returns whether new adapters can be created with it; if not, existing ones can only be loaded.
   */
  boolean canCreate() {
    return true;
  }

  /** Returns whether B is not trained. */
  boolean freezesB() {
    return false;
  }

  /** Returns whether {@link #fromBase} is moved out of the base weights. */
  boolean movesBase() {
    return false;
  }

  /**
   * Checks its requirements on a configuration.
   *
   * @throws IllegalArgumentException if they are not met
   */
  void check(LoraConfig config) {}

  /**
   * Checks its requirements on a linear layer.
   *
   * @param scale of the layer's update
   * @throws IllegalArgumentException if they are not met
   */
  void check(Projection p, double scale) {}

  /** Draws the values for a linear layer; {@code B A} is zero except for {@link #RANDOM}. */
  Factors draw(int rank, int in, int out, SplittableRandom random) {
    return new Factors(rank, uniform(rank * in, in, random), new float[out * rank]);
  }

  /**
   * Draws the values for an embedding: as in PEFT, A is zero and B standard normal for all methods,
   * except for {@link #RANDOM}, where both are normal.
   *
   * @param entries number of entries of the table, which are columns of A
   */
  Factors drawForEmbedding(int rank, int entries, int hidden, SplittableRandom random) {
    return new Factors(rank, new float[rank * entries], drawn(hidden * rank, random::nextGaussian));
  }

  /** Returns the values computed from the base's weights; empty if they are drawn. */
  Optional<Factors> fromBase(Target t) {
    return Optional.empty();
  }

  /** Draws the values for a target. */
  final Factors draw(Target t, SplittableRandom random) {
    int in = t.projection().in();
    int out = t.projection().out();
    return t.embedding()
        ? drawForEmbedding(t.rank(), in, out, random)
        : draw(t.rank(), in, out, random);
  }

  private static float[] drawn(int count, DoubleSupplier next) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) next.getAsDouble();
    }
    return values;
  }

  /** Uniform within {@code 1 / sqrt(inputs)}. */
  private static float[] uniform(int count, int inputs, SplittableRandom random) {
    double bound = 1 / Math.sqrt(inputs);
    return drawn(count, () -> (2 * random.nextDouble() - 1) * bound);
  }

  /**
   * A from alternate rows and B from the other rows of a random orthogonal basis, so that {@code B
   * A = 0}.
   */
  private static Factors orthogonal(int rank, int in, int out, SplittableRandom random) {
    double[][] basis = new double[rank][rank];
    for (int i = 0; i < rank; i++) {
      for (int j = 0; j < rank; j++) {
        basis[i][j] = random.nextGaussian();
      }
      for (int pass = 0; pass < 2; pass++) { // Gram-Schmidt, twice for accuracy
        for (int k = 0; k < i; k++) {
          double dot = 0;
          for (int j = 0; j < rank; j++) {
            dot += basis[i][j] * basis[k][j];
          }
          for (int j = 0; j < rank; j++) {
            basis[i][j] -= dot * basis[k][j];
          }
        }
      }
      double norm = 0;
      for (double v : basis[i]) {
        norm += v * v;
      }
      for (int j = 0; j < rank; j++) {
        basis[i][j] /= Math.sqrt(norm);
      }
    }
    double[] ofA = new double[rank * in];
    double[] ofB = new double[out * rank];
    for (int h = 0; h < rank; h += 2) {
      for (int c = 0; c < in; c++) {
        double z = ORTHOGONAL_SIZE * random.nextGaussian();
        for (int k = 0; k < rank; k++) {
          ofA[k * in + c] += z * basis[h][k];
        }
      }
      for (int o = 0; o < out; o++) {
        double z = ORTHOGONAL_SIZE * random.nextGaussian();
        for (int k = 0; k < rank; k++) {
          ofB[o * rank + k] += z * basis[h + 1][k];
        }
      }
    }
    return new Factors(rank, floats(ofA), floats(ofB));
  }

  private static float[] floats(double[] values) {
    float[] f = new float[values.length];
    for (int i = 0; i < f.length; i++) {
      f[i] = (float) values[i];
    }
    return f;
  }
}
