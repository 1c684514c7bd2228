package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.DoubleSupplier;
import org.tune4j.core.model.Projection;

/**
 * Initial values of A {@code [r, in]} and B {@code [out, r]}; B is zero unless said otherwise. A
 * constant is all that there is to a method: its values, what it needs, and PEFT's name.
 */
public enum Initialisation {
  /** Kaiming uniform with a = sqrt(5): uniform within 1/sqrt(in). PEFT's default. */
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
   * Like {@link #KAIMING} for A and for B: an adapter that changes outputs from the start; for
   * tests.
   */
  RANDOM("false") {
    @Override
    Factors draw(int rank, int in, int out, SplittableRandom random) {
      return new Factors(rank, uniform(rank * in, in, random), uniform(out * rank, rank, random));
    }

    @Override
    Factors drawOfEmbedding(int rank, int entries, int hidden, SplittableRandom random) {
      return new Factors(
          rank,
          drawn(rank * entries, random::nextGaussian),
          drawn(hidden * rank, random::nextGaussian));
    }
  },

  /**
   * A and B random in orthogonal subspaces, so that {@code B A = 0} with neither being zero; the
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
   * A from the principal directions of a layer's inputs (EVA, Paischer et al. 2024). Adapters that
   * began so are loaded and trained on; new ones are not made, as that takes a pass over data.
   */
  EVA("eva") {
    @Override
    boolean begins() {
      return false;
    }
  },

  /**
   * B from the base weight's left singular vectors of smallest singular values and frozen, A zero
   * (MiCA, arXiv 2604.01694): what the model uses least is learned on, and only A is trained.
   * Finding them takes seconds for a layer of some thousand features.
   */
  MICA("mica") {
    @Override
    Optional<Factors> fromBase(Target t) {
      int most = Math.min(t.projection().in(), t.projection().out());
      checkArgument(
          t.rank() <= most,
          "r is %s for '%s', which has only %s singular values, of which MiCA needs as many",
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
          "initialisation %s makes a kind of LoRA of its own, which is not %s, too",
          this,
          config.variant());
    }
  },

  /**
   * The base weight's largest singular values and their vectors, which are taken from the weight
   * (PiSSA, Meng et al. 2024): what matters most is learned on. Finding them takes a third of a
   * second for a layer of a thousand features, seconds for one of some thousands. Saved as plain
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
   * B orthonormal and A a triangle, of the base weight's QR decomposition, which are taken from the
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
          "OLoRA of '%s', which is stored [in, out]: PEFT decomposes that the wrong way round",
          p.name());
    }
  };

  private static final double ORTHOGONAL_SIZE = 0.1; // PEFT's

  private final String peft;

  Initialisation(String peft) {
    this.peft = peft;
  }

  /** Returns PEFT's value of {@code init_lora_weights}; true and false stand without quotes. */
  String peft() {
    return peft;
  }

  /** Returns whether new adapters can begin so; else only those that did are loaded. */
  boolean begins() {
    return true;
  }

  /** Returns whether B stays as it begins. */
  boolean freezesB() {
    return false;
  }

  /** Returns whether {@link #fromBase} is taken from the base weights, to be learned on. */
  boolean movesBase() {
    return false;
  }

  /**
   * Checks what it needs of a configuration.
   *
   * @throws IllegalArgumentException if that is not so
   */
  void check(LoraConfig config) {}

  /**
   * Checks what it needs of a linear layer.
   *
   * @param scale of the update there
   * @throws IllegalArgumentException if that is not so
   */
  void check(Projection p, double scale) {}

  /** Draws the values in a linear layer; {@code B A} is zero except for {@link #RANDOM}. */
  Factors draw(int rank, int in, int out, SplittableRandom random) {
    return new Factors(rank, uniform(rank * in, in, random), new float[out * rank]);
  }

  /**
   * Draws those of an embedding: as PEFT, A is zero and B standard normal, whatever the method;
   * both are normal for {@link #RANDOM}.
   *
   * @param entries of the table, the columns of A
   */
  Factors drawOfEmbedding(int rank, int entries, int hidden, SplittableRandom random) {
    return new Factors(rank, new float[rank * entries], drawn(hidden * rank, random::nextGaussian));
  }

  /** Returns the values that are found in the base's weights; nothing if they are drawn. */
  Optional<Factors> fromBase(Target t) {
    return Optional.empty();
  }

  /** Draws the values of a target. */
  final Factors draw(Target t, SplittableRandom random) {
    int in = t.projection().in();
    int out = t.projection().out();
    return t.embedding()
        ? drawOfEmbedding(t.rank(), in, out, random)
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

  /** A of odd and B of even rows of one random orthogonal basis: {@code B A = 0}. */
  private static Factors orthogonal(int rank, int in, int out, SplittableRandom random) {
    double[][] basis = new double[rank][rank];
    for (int i = 0; i < rank; i++) {
      for (int j = 0; j < rank; j++) {
        basis[i][j] = random.nextGaussian();
      }
      for (int pass = 0; pass < 2; pass++) { // Gram and Schmidt, twice to be exact
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
