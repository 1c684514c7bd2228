package org.tune4j.core.model;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.tune4j.core.io.Safetensors;

/**
 * The base model's part of a run recorded with transformers; the recorded batch is padded, this one
 * is packed.
 */
final class GoldenCase {
  private final Path directory;
  private final Safetensors tensors;
  private final int columns;
  private final int[] packed; // places sequence * columns + position of what is not padding

  GoldenCase(Path directory) throws IOException {
    this.directory = directory;
    tensors = Safetensors.open(directory.resolve("io.safetensors"));
    columns = Math.toIntExact(tensors.entry("input_ids").shape().get(1));
    long[] mask = tensors.longs("attention_mask");
    List<Integer> kept = new ArrayList<>();
    for (int i = 0; i < mask.length; i++) {
      if (mask[i] != 0) {
        kept.add(i);
      }
    }
    packed = kept.stream().mapToInt(Integer::intValue).toArray();
  }

  Path model() {
    return directory.resolve("model");
  }

  double baseLoss() throws IOException {
    return new ObjectMapper()
        .readTree(Files.readAllBytes(directory.resolve("case.json")))
        .at("/loss/base")
        .asDouble(Double.NaN);
  }

  /** Labels are shifted to the rows that predict them, as transformers does. */
  Batch batch() {
    long[] ids = tensors.longs("input_ids");
    long[] labels = tensors.longs("labels");
    int n = packed.length;
    int[] rowIds = new int[n];
    int[] positions = new int[n];
    int[] targets = new int[n];
    List<Integer> starts = new ArrayList<>();
    for (int r = 0; r < n; r++) {
      int at = packed[r];
      int t = at % columns;
      rowIds[r] = (int) ids[at];
      positions[r] = t;
      targets[r] = t + 1 < columns && labels[at + 1] >= 0 ? (int) labels[at + 1] : -1;
      if (r == 0 || packed[r - 1] / columns != at / columns) {
        starts.add(r);
      }
    }
    int segments = starts.size();
    starts.add(n);
    return new Batch(
        rowIds,
        positions,
        starts.stream().mapToInt(Integer::intValue).toArray(),
        targets,
        new int[segments],
        null);
  }

  /** Returns the rows of {@link #batch()} of a recorded tensor [sequences, columns, c]. */
  float[] rows(String tensor) {
    int c = Math.toIntExact(tensors.entry(tensor).shape().get(2));
    float[] rows = new float[packed.length * c];
    for (int r = 0; r < packed.length; r++) {
      tensors.readFloats(tensor, (long) packed[r] * c, rows, r * c, c);
    }
    return rows;
  }

  /** Returns the recorded greedy continuation, prompt included. */
  int[] greedy() {
    return Arrays.stream(tensors.longs("base.greedy")).mapToInt(Math::toIntExact).toArray();
  }

  /** Returns its prompt: what it has in common with the first input. */
  int[] greedyPrompt() {
    long[] ids = tensors.longs("input_ids");
    int[] greedy = greedy();
    int n = 0;
    while (n < greedy.length - 1 && n < columns && greedy[n] == ids[n]) {
      n++;
    }
    return Arrays.copyOf(greedy, n);
  }

  /** Returns {@code ||a - b|| / ||b||}. */
  static double relativeError(float[] a, float[] b) {
    if (a.length != b.length) {
      return Double.POSITIVE_INFINITY;
    }
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < a.length; i++) {
      difference += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
      norm += (double) b[i] * b[i];
    }
    return difference == 0 ? 0 : Math.sqrt(difference / norm);
  }
}
