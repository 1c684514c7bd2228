package org.tune4j.core.model.family;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import org.tune4j.core.engine.RopeTable;

/**
 * Rotary position embedding (Su et al. 2021): pair {@code i} of a head is rotated by {@code
 * position * theta^(-2 i / headDim)}, with frequencies scaled for longer contexts as in
 * transformers ({@code modeling_rope_utils.py}), in 32 bits where PyTorch computes in 32 bits.
 *
 * @param theta base of the frequencies
 * @param type how frequencies are scaled
 * @param factor by how much the context is extended; 1 for {@link Type#DEFAULT}
 * @param lowFrequencyFactor llama3: wavelengths above {@code originalPositions /
 *     lowFrequencyFactor} are fully scaled
 * @param highFrequencyFactor llama3: wavelengths below {@code originalPositions /
 *     highFrequencyFactor} are not scaled
 * @param originalPositions context length before scaling; 0 for default and linear
 * @param attentionFactor factor of cosines and sines, so that scores grow by its square; 1 except
 *     for yarn and longrope
 * @param ramp yarn: which frequencies are scaled; null for the others
 * @param shortFactors longrope: divisor of each frequency in sequences of up to {@code
 *     originalPositions} tokens, {@code [headDim / 2]}; empty for the others
 * @param longFactors longrope: the same for longer sequences
 */
public record RopeScaling(
    double theta,
    Type type,
    double factor,
    double lowFrequencyFactor,
    double highFrequencyFactor,
    int originalPositions,
    double attentionFactor,
    Ramp ramp,
    ImmutableList<Double> shortFactors,
    ImmutableList<Double> longFactors) {
  /** The {@code rope_type} values that are implemented. */
  public enum Type {
    /** Plain frequencies. */
    DEFAULT("default"),
    /** All frequencies divided by the factor (position interpolation, Chen et al. 2023). */
    LINEAR("linear"),
    /**
     * A base that grows with the longest sequence of a step, if that exceeds the original context
     * ("NTK-aware", bloc97 and emozilla 2023).
     */
    DYNAMIC("dynamic"),
    /**
     * Low frequencies divided by the factor, high ones kept, a ramp between them (YaRN, Peng et al.
     * 2023, section 3.2), and sharper attention (section 3.4).
     */
    YARN("yarn"),
    /** Each frequency divided by its own number (LongRoPE, Ding et al. 2024). */
    LONGROPE("longrope"),
    /**
     * Low frequencies divided by the factor, high ones kept, those between interpolated (Llama
     * 3.1).
     */
    LLAMA3("llama3");

    private final String field;

    Type(String field) {
      this.field = field;
    }

    /** Returns the value of {@code rope_type}. */
    public String field() {
      return field;
    }
  }

  /**
   * Which frequencies yarn scales: those with fewer than {@code betaSlow} turns in the original
   * context fully, those with more than {@code betaFast} turns not at all.
   *
   * @param truncate whether the ramp's ends are rounded outwards to whole pairs
   */
  public record Ramp(double betaFast, double betaSlow, boolean truncate) {}

  /** Checks that the values fit the type. */
  public RopeScaling {
    checkArgument(theta > 0 && factor > 0, "theta %s, factor %s", theta, factor);
    checkArgument((ramp != null) == (type == Type.YARN), "a ramp is given for yarn only");
    checkArgument(
        longFactors.isEmpty() == (type != Type.LONGROPE)
            && longFactors.size() == shortFactors.size(),
        "%s short and %s long factors",
        shortFactors.size(),
        longFactors.size());
  }

  /** Creates a scaling without attention factor, ramp and lists. */
  public RopeScaling(
      double theta,
      Type type,
      double factor,
      double lowFrequencyFactor,
      double highFrequencyFactor,
      int originalPositions) {
    this(
        theta,
        type,
        factor,
        lowFrequencyFactor,
        highFrequencyFactor,
        originalPositions,
        1,
        null,
        ImmutableList.of(),
        ImmutableList.of());
  }

  /** Returns the unscaled frequencies of a base. */
  public static RopeScaling plain(double theta) {
    return new RopeScaling(theta, Type.DEFAULT, 1, 0, 0, 0);
  }

  /**
   * Returns the context length of a model whose file says {@code positions}, including the scaling
   * that these do not include.
   */
  int context(int positions) {
    double scaled =
        switch (type) {
          case LINEAR, DYNAMIC -> factor * positions;
          case YARN -> factor * originalPositions;
          default -> positions;
        };
    return Math.max(positions, (int) scaled); // the cast saturates
  }

  /** Returns whether frequencies depend on the longest sequence of a step. */
  boolean variesWithLength() {
    return type == Type.DYNAMIC || type == Type.LONGROPE;
  }

  /**
   * Returns the angle per position of each pair: {@code [headDim / 2]}.
   *
   * @param length tokens of the longest sequence of the step, for dynamic and longrope
   */
  public float[] frequencies(int headDim, int length) {
    float[] frequencies = new float[headDim / 2];
    double base = base(headDim, length);
    for (int i = 0; i < frequencies.length; i++) {
      float power = (float) Math.pow(base, (float) (2 * i) / headDim);
      frequencies[i] =
          switch (type) {
            case DEFAULT, DYNAMIC -> 1f / power;
            case LINEAR -> (float) ((1f / power) / factor);
            case LLAMA3 -> llama3(1f / power);
            case YARN -> yarn(power, i, headDim);
            case LONGROPE ->
                1f
                    / ((length > originalPositions ? longFactors : shortFactors).get(i).floatValue()
                        * power);
          };
    }
    return frequencies;
  }

  /** Like {@link #frequencies(int, int)} for sequences within the original context. */
  public float[] frequencies(int headDim) {
    return frequencies(headDim, 1);
  }

  private double base(int headDim, int length) {
    if (type != Type.DYNAMIC || length <= originalPositions) {
      return theta;
    }
    float growth = (float) (factor * length) / originalPositions - (float) (factor - 1);
    return (float) (theta * (float) Math.pow(growth, headDim / (headDim - 2.0)));
  }

  private float llama3(float frequency) {
    double wavelength = 2 * Math.PI / frequency;
    if (wavelength > originalPositions / lowFrequencyFactor) {
      return (float) (frequency / factor);
    }
    if (wavelength < originalPositions / highFrequencyFactor) {
      return frequency;
    }
    double smooth =
        (originalPositions / wavelength - lowFrequencyFactor)
            / (highFrequencyFactor - lowFrequencyFactor);
    return (float) ((1 - smooth) * frequency / factor + smooth * frequency);
  }

  private float yarn(float power, int pair, int headDim) {
    double low = pairTurning(ramp.betaFast(), headDim);
    double high = pairTurning(ramp.betaSlow(), headDim);
    if (ramp.truncate()) {
      low = Math.floor(low);
      high = Math.ceil(high);
    }
    low = Math.max(low, 0);
    high = Math.min(high, headDim - 1);
    if (low == high) {
      high += 0.001; // as transformers does
    }
    float kept = 1 - Math.min(1, Math.max(0, (pair - (float) low) / (float) (high - low)));
    return 1f / ((float) factor * power) * (1 - kept) + 1f / power * kept;
  }

  /** Returns the (fractional) index of the pair with so many turns in the original context. */
  private double pairTurning(double times, int headDim) {
    return headDim * Math.log(originalPositions / (times * 2 * Math.PI)) / (2 * Math.log(theta));
  }

  /**
   * Returns cosines and sines of positions from 0 on, for sequences within the original context.
   */
  public RopeTable table(int positions, int headDim) {
    int[] all = new int[positions];
    for (int p = 0; p < positions; p++) {
      all[p] = p;
    }
    return table(all, headDim, 1);
  }

  /**
   * Returns cosines and sines of the given positions, one row each.
   *
   * @param length tokens of the longest sequence of the step, for dynamic and longrope
   */
  RopeTable table(int[] positions, int headDim, int length) {
    float[] frequencies = frequencies(headDim, length);
    int half = frequencies.length;
    float[] cos = new float[Math.multiplyExact(positions.length, half)]; // [positions, half]
    float[] sin = new float[cos.length];
    float scale = (float) attentionFactor;
    for (int p = 0; p < positions.length; p++) {
      for (int i = 0; i < half; i++) {
        // rounded to 32 bits like the reference, which matters for large positions
        float angle = positions[p] * frequencies[i];
        cos[p * half + i] = (float) Math.cos(angle) * scale;
        sin[p * half + i] = (float) Math.sin(angle) * scale;
      }
    }
    return new RopeTable(positions.length, half, cos, sin);
  }
}
