package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;

import org.tune4j.core.engine.RopeTable;

/**
 * Rotary position embedding (Su et al. 2021): pair {@code i} of a head turns by {@code position *
 * theta^(-2 i / headDim)}, with the frequencies changed for longer contexts as transformers does
 * ({@code modeling_rope_utils.py}).
 *
 * @param theta base of the frequencies
 * @param type how frequencies are changed
 * @param factor by how much the context was stretched; 1 for {@link Type#DEFAULT}
 * @param lowFrequencyFactor llama3: wavelengths above {@code originalPositions /
 *     lowFrequencyFactor} are stretched fully
 * @param highFrequencyFactor llama3: wavelengths below {@code originalPositions /
 *     highFrequencyFactor} are left alone
 * @param originalPositions llama3: context length before stretching
 */
public record RopeScaling(
    double theta,
    Type type,
    double factor,
    double lowFrequencyFactor,
    double highFrequencyFactor,
    int originalPositions) {
  /** The {@code rope_type} values that are implemented. */
  public enum Type {
    /** Plain frequencies. */
    DEFAULT("default"),
    /** All frequencies divided by the factor (position interpolation, Chen et al. 2023). */
    LINEAR("linear"),
    /** Low frequencies divided, high ones kept, those between interpolated (Llama 3.1). */
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

  /** Checks the numbers. */
  public RopeScaling {
    checkArgument(theta > 0 && factor > 0, "theta %s, factor %s", theta, factor);
  }

  /** Returns plain frequencies. */
  public static RopeScaling plain(double theta) {
    return new RopeScaling(theta, Type.DEFAULT, 1, 0, 0, 0);
  }

  /**
   * Returns the angle per position of each pair: {@code [headDim / 2]}; in 32 bits, as PyTorch
   * computes it.
   */
  public float[] frequencies(int headDim) {
    float[] frequencies = new float[headDim / 2];
    for (int i = 0; i < frequencies.length; i++) {
      float power = (float) Math.pow(theta, (float) (2 * i) / headDim);
      frequencies[i] = scaled(1f / power);
    }
    return frequencies;
  }

  private float scaled(float frequency) {
    return switch (type) {
      case DEFAULT -> frequency;
      case LINEAR -> (float) (frequency / factor);
      case LLAMA3 -> {
        double wavelength = 2 * Math.PI / frequency;
        if (wavelength > originalPositions / lowFrequencyFactor) {
          yield (float) (frequency / factor);
        }
        if (wavelength < originalPositions / highFrequencyFactor) {
          yield frequency;
        }
        double smooth =
            (originalPositions / wavelength - lowFrequencyFactor)
                / (highFrequencyFactor - lowFrequencyFactor);
        yield (float) ((1 - smooth) * frequency / factor + smooth * frequency);
      }
    };
  }

  /** Returns cosines and sines for {@code positions} positions. */
  public RopeTable table(int positions, int headDim) {
    float[] frequencies = frequencies(headDim);
    int half = frequencies.length;
    float[] cos = new float[Math.multiplyExact(positions, half)]; // [positions, half]
    float[] sin = new float[cos.length];
    for (int p = 0; p < positions; p++) {
      for (int i = 0; i < half; i++) {
        float angle =
            p
                * frequencies[
                    i]; // rounded to 32 bits like the reference, which matters at large positions
        cos[p * half + i] = (float) Math.cos(angle);
        sin[p * half + i] = (float) Math.sin(angle);
      }
    }
    return new RopeTable(positions, half, cos, sin);
  }
}
