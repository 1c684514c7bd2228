package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.UnaryOperator;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.testing.TinyModels;

/** Initialisations that take a part from the base weights. */
class BasePartTest {
  @TempDir Path folder;

  private static float[] random(int size, int seed) {
    Random random = new Random(seed);
    float[] values = new float[size];
    for (int i = 0; i < size; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  private static double[][] product(Factors p, int out, int in, double scale) {
    double[][] w = new double[out][in];
    for (int o = 0; o < out; o++) {
      for (int k = 0; k < p.rank(); k++) {
        for (int c = 0; c < in; c++) {
          w[o][c] += scale * p.b()[o * p.rank() + k] * p.a()[k * in + c];
        }
      }
    }
    return w;
  }

  /**
   * The best approximation of its rank leaves a residual that is orthogonal to it on both sides,
   * and has no larger singular value: what is left, applied again and again, shrinks.
   */
  @Property(tries = 40)
  void pissaTakesTheLargestSingularValues(
      @ForAll @IntRange(min = 1, max = 12) int out,
      @ForAll @IntRange(min = 1, max = 12) int in,
      @ForAll @IntRange(min = 1, max = 12) int wanted,
      @ForAll @IntRange(min = 0, max = 1000) int seed) {
    int rank = Math.min(wanted, Math.min(out, in));
    float[] w = random(out * in, seed);
    Factors p = BasePart.pissa(MatrixSource.of(out, in, w), rank, 0.5);
    double[][] part = product(p, out, in, 0.5);
    double[][] rest = new double[out][in];
    double partSquare = 0;
    double restSquare = 0;
    for (int o = 0; o < out; o++) {
      for (int c = 0; c < in; c++) {
        rest[o][c] = w[o * in + c] - part[o][c];
        partSquare += part[o][c] * part[o][c];
        restSquare += rest[o][c] * rest[o][c];
      }
    }
    for (int a = 0; a < out; a++) {
      for (int b = 0; b < out; b++) {
        double dot = 0;
        for (int c = 0; c < in; c++) {
          dot += part[a][c] * rest[b][c];
        }
        assertThat(dot).isCloseTo(0, within(1e-4));
      }
    }
    if (rank == Math.min(out, in)) {
      assertThat(restSquare).isLessThan(1e-8 * partSquare);
    }
    // A and B have equal shares: ||a_k|| = ||b_k||, descending
    double before = Double.POSITIVE_INFINITY;
    double smallest = 0;
    for (int k = 0; k < rank; k++) {
      double a = 0;
      double b = 0;
      for (int c = 0; c < in; c++) {
        a += p.a()[k * in + c] * p.a()[k * in + c];
      }
      for (int o = 0; o < out; o++) {
        b += p.b()[o * rank + k] * p.b()[o * rank + k];
      }
      assertThat(a).isCloseTo(b, within(1e-4 * b + 1e-9));
      assertThat(a).isLessThanOrEqualTo(before * 1.0001);
      before = a;
      smallest = 0.5 * a; // the singular value
    }
    assertThat(largestSingularValue(rest)).isLessThanOrEqualTo(smallest * 1.001 + 1e-5);
  }

  private static double largestSingularValue(double[][] m) {
    double[] v = new double[m[0].length];
    for (int i = 0; i < v.length; i++) {
      v[i] = 1 + 0.1 * i;
    }
    double norm = 0;
    for (int step = 0; step < 200; step++) {
      double[] next = new double[v.length];
      for (double[] row : m) {
        double dot = 0;
        for (int i = 0; i < v.length; i++) {
          dot += row[i] * v[i];
        }
        for (int i = 0; i < v.length; i++) {
          next[i] += dot * row[i];
        }
      }
      double square = 0;
      for (double x : next) {
        square += x * x;
      }
      norm = Math.sqrt(square);
      if (norm == 0) {
        return 0;
      }
      for (int i = 0; i < v.length; i++) {
        v[i] = next[i] / norm;
      }
    }
    return Math.sqrt(norm);
  }

  @Property(tries = 40)
  void oloraTakesTheFirstColumnsOfQ(
      @ForAll @IntRange(min = 1, max = 12) int out,
      @ForAll @IntRange(min = 1, max = 12) int in,
      @ForAll @IntRange(min = 1, max = 12) int wanted,
      @ForAll @IntRange(min = 0, max = 1000) int seed) {
    int rank = Math.min(wanted, Math.min(out, in));
    float[] w = random(out * in, seed);
    if (seed % 3 == 0) {
      for (int o = 0; o < out; o++) {
        w[o * in] = 0; // a column of zeros
      }
    }
    Factors p = BasePart.olora(MatrixSource.of(out, in, w), rank);
    double[][] part = product(p, out, in, 1);
    for (int j = 0; j < rank; j++) {
      for (int k = 0; k < rank; k++) {
        double dot = 0;
        for (int o = 0; o < out; o++) {
          dot += p.b()[o * rank + j] * p.b()[o * rank + k];
        }
        assertThat(dot).isCloseTo(j == k ? 1 : 0, within(1e-5));
      }
      for (int c = 0; c < j; c++) {
        assertThat(p.a()[j * in + c]).as("R is a triangle").isCloseTo(0, within(1e-5f));
      }
      for (int o = 0; o < out; o++) {
        assertThat(part[o][j]).as("the first columns").isCloseTo(w[o * in + j], within(1e-5));
      }
    }
  }

  /** B is orthonormal, and W' B has as its squares the smallest singular values' squares. */
  @Property(tries = 40)
  void micaTakesTheSmallestSingularValues(
      @ForAll @IntRange(min = 1, max = 12) int out,
      @ForAll @IntRange(min = 1, max = 12) int in,
      @ForAll @IntRange(min = 1, max = 12) int wanted,
      @ForAll @IntRange(min = 0, max = 1000) int seed) {
    int most = Math.min(out, in);
    int rank = Math.min(wanted, most);
    float[] w = random(out * in, seed);
    if (seed % 3 == 0) {
      Arrays.fill(w, 0, in, 0); // an output that is always zero
    }
    Factors p = BasePart.mica(MatrixSource.of(out, in, w), false, rank);
    assertThat(p.a()).containsOnly(0f).hasSize(rank * in);
    INDArray whole = Nd4j.createFromArray(w).castTo(DataType.DOUBLE).reshape(out, in);
    INDArray b = Nd4j.createFromArray(p.b()).castTo(DataType.DOUBLE).reshape(out, rank);
    INDArray rest = b.transpose().mmul(b).sub(Nd4j.eye(rank).castTo(DataType.DOUBLE));
    assertThat(rest.norm2Number().doubleValue()).isCloseTo(0, within(1e-5));
    INDArray smaller = out <= in ? whole.mmul(whole.transpose()) : whole.transpose().mmul(whole);
    double[] squares = PrincipalVectors.full(smaller, most).values();
    double expected = Arrays.stream(squares, most - rank, most).sum();
    INDArray left = whole.transpose().mmul(b);
    assertThat(left.mul(left).sumNumber().doubleValue())
        .isCloseTo(expected, within(1e-4 + 1e-4 * expected));
    // a table is the same the other way round
    float[] turned = Weight.transpose(w, out, in);
    Factors ofTable = BasePart.mica(MatrixSource.of(in, out, turned), true, rank);
    assertThat(ofTable.b()).isEqualTo(p.b());
  }

  @Test
  void weightsOfLowRankHaveNothingLeft() {
    float[] w = new float[6 * 5]; // rank 1
    for (int i = 0; i < w.length; i++) {
      w[i] = (i / 5 + 1) * (i % 5 - 2);
    }
    Factors p = BasePart.pissa(MatrixSource.of(6, 5, w), 3, 2);
    double[][] part = product(p, 6, 5, 2);
    for (int i = 0; i < w.length; i++) {
      assertThat(part[i / 5][i % 5]).isCloseTo(w[i], within(1e-4));
    }
    for (Initialisation how : List.of(Initialisation.PISSA, Initialisation.OLORA)) {
      MatrixSource zero = MatrixSource.of(6, 5, new float[30]);
      Factors none =
          how == Initialisation.PISSA ? BasePart.pissa(zero, 2, 2) : BasePart.olora(zero, 2);
      for (double[] row : product(none, 6, 5, 2)) {
        assertThat(row).containsExactly(new double[row.length], within(1e-12));
      }
    }
  }

  // ---- configurations and files

  private static LoraConfig with(UnaryOperator<LoraConfig.Builder> change) {
    return change
        .apply(LoraConfig.builder().rank(4).alpha(6).initialisation(Initialisation.PISSA))
        .build();
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void whatIsSavedIsPlainLora(boolean rslora) throws IOException {
    LoraConfig config =
        with(
            b ->
                b.rslora(rslora)
                    .targetModules(
                        TargetModules.matching(".*(q_proj|v_proj|down_proj|embed_tokens)"))
                    .rankPattern(ImmutableMap.of("layers.1.mlp.down_proj", 2, "v_proj", 30))
                    .alphaPattern(ImmutableMap.of("q_proj", 3.0)));
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        LoraAdapter adapter = config.create(model, "a", 1)) {
      TinyModels.disturb(adapter, 5);
      adapter.save(folder.resolve("a"));
      LoraConfig saved = PeftFormat.readConfig(folder.resolve("a"));
      assertThat(saved.initialisation()).isEqualTo(Initialisation.KAIMING);
      assertThat(saved.rank()).isEqualTo(8);
      assertThat(saved.alpha()).isEqualTo(rslora ? 6 * Math.sqrt(2) : 12);
      for (Target m : adapter.targets().values()) {
        String name = m.projection().name();
        boolean embedding = name.contains("embed");
        assertThat(saved.rankOf(name)).isEqualTo(embedding ? m.rank() : 2 * m.rank());
        assertThat(saved.scaleOf(name)).isCloseTo(m.scale(), within(1e-6));
      }
      try (LoraAdapter plain = PeftFormat.load(model, "b", folder.resolve("a"));
          LoraAdapter sum = Combination.concatenation().apply("sum", List.of(adapter), 1)) {
        float[] applied = TinyModels.logits(model, adapter);
        assertThat(TinyModels.relativeError(TinyModels.logits(model, plain), applied))
            .isLessThan(1e-5);
        assertThat(TinyModels.relativeError(TinyModels.logits(model, sum), applied))
            .isLessThan(1e-5);
      }
    }
  }

  /** PEFT begins from another approximation each time, of which the decomposition is the limit. */
  @ParameterizedTest
  @ValueSource(strings = {"pissa", "pissa_niter_16", "olora"})
  void whatPeftSavesUnconvertedLoads(String peft) throws IOException {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        LoraAdapter plain = LoraConfig.rank(4).create(model, "plain", 1)) {
      Path directory = folder.resolve("a");
      TinyModels.disturb(plain, 3);
      plain.save(directory);
      CaseFiles.editJson(
          directory.resolve(PeftFormat.CONFIG), root -> root.put("init_lora_weights", peft));
      try (LoraAdapter loaded = PeftFormat.load(model, "a", directory);
          LoraAdapter fresh = loaded.config().create(model, "fresh", 1)) {
        // W - s B0 A0 + s B A
        assertThat(TinyModels.get(loaded)).isEqualTo(TinyModels.get(plain));
        float[] base = TinyModels.logits(model);
        float[] applied = TinyModels.logits(model, loaded);
        assertThat(TinyModels.relativeError(TinyModels.logits(model, fresh), base))
            .isLessThan(1e-5);
        assertThat(TinyModels.relativeError(applied, TinyModels.logits(model, plain)))
            .isGreaterThan(0.1);
        loaded.mergeIntoModel();
        assertThat(TinyModels.relativeError(TinyModels.logits(model), applied)).isLessThan(1e-5);
        Merging.unmerge(model);
        assertThat(TinyModels.logits(model)).isEqualTo(base);
      }
    }
  }

  @Test
  void whatDoesNotGoTogetherIsNamed() {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel gpt2 = TinyModels.model("gpt2", engine)) {
      LoraConfig.Builder mica =
          LoraConfig.builder().initialisation(Initialisation.MICA).targetModules("c_attn");
      assertThatThrownBy(() -> mica.rank(17).build().create(gpt2, "a", 1))
          .hasMessageContaining(
              "r is 17 for 'transformer.h.0.attn.c_attn', but MiCA needs as many singular values, and it has only 16");
      assertThatThrownBy(() -> mica.dora(true).build())
          .hasMessageContaining("MICA cannot be combined with DoRA");
      assertThatThrownBy(() -> with(b -> b.alpha(-1)).create(gpt2, "a", 1))
          .hasMessageContaining("PiSSA needs a positive one");
      assertThatThrownBy(
              () -> with(b -> b.initialisation(Initialisation.OLORA)).create(gpt2, "a", 1))
          .hasMessageContaining("OLoRA of 'transformer.h.0.attn.c_attn'");
    }
  }
}
