package org.tune4j.core.engine;

/**
 * Cosines and sines of rotary position embedding (Su et al. 2021) for positions {@code [0,
 * positions)}: {@code [positions, headDim / 2]} row-major, any attention factor multiplied in.
 * Column {@code i} rotates the pair {@code (i, i + headDim / 2)}, the layout of Hugging Face
 * checkpoints.
 *
 * @param positions number of positions
 * @param half {@code headDim / 2}
 * @param cos cosines
 * @param sin sines
 */
public record RopeTable(int positions, int half, float[] cos, float[] sin) {}
