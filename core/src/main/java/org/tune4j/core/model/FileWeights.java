package org.tune4j.core.model;

import static java.util.stream.Collectors.joining;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.io.WeightFiles;

/**
 * Weights of a model directory, read on demand. Names are those of the causal language model; files
 * of the bare model, which lack the {@linkplain Architecture#prefix() prefix}, work as well. Other
 * tensors are ignored: older checkpoints have buffers such as {@code attn.bias}.
 */
final class FileWeights implements Weights {
  private static final Logger LOG = LoggerFactory.getLogger(FileWeights.class);
  private static final String HEAD = "lm_head.weight";
  private static final int BLOCK = 1 << 18; // elements

  private final WeightFiles files;
  private final String prefix;
  private final String embedding;
  private final ModelConfig config;
  private final boolean headIsEmbedding;

  private record Found(Safetensors file, String name) {}

  /**
   * Checks the configuration against the files before anything is allocated: the sizes, and whether
   * the output head is tied to the embedding.
   *
   * @throws IOException if they do not match or cannot be read
   */
  FileWeights(WeightFiles files, ModelConfig config) throws IOException {
    this.files = files;
    prefix = config.architecture().prefix();
    embedding = config.architecture().embedding();
    int vocabulary = config.vocabularySize();
    int hidden = config.hiddenSize();
    try {
      // transformers ties both ways: a file may have only the head and no embedding
      headIsEmbedding =
          config.tiedHead() && !files.contains(nameInFiles(embedding)) && files.contains(HEAD);
      find(headIsEmbedding ? HEAD : embedding, vocabulary, hidden);
      Architecture.StoredMatrix last = config.architecture().lastMatrix(config);
      find(last.name(), last.rows(), last.cols());
      this.config =
          config.tiedHead() && !headIsEmbedding && files.contains(HEAD) && headDiffers(config)
              ? config.untied()
              : config;
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  /** Returns the configuration, untied if the files have a head that differs from the embedding. */
  ModelConfig config() {
    return config;
  }

  /**
   * Returns whether the stored head differs from the embedding that the configuration ties it to.
   */
  private boolean headDiffers(ModelConfig config) {
    int cols = config.hiddenSize();
    MatrixSource tokens = matrix(embedding, config.vocabularySize(), cols);
    MatrixSource head = matrix(HEAD, config.vocabularySize(), cols);
    int block = Math.max(1, Math.min(config.vocabularySize(), BLOCK / cols));
    float[] a = new float[block * cols];
    float[] b = new float[block * cols];
    for (int row = 0; row < config.vocabularySize(); row += block) {
      int count = Math.min(block, config.vocabularySize() - row);
      tokens.read(row, count, a);
      head.read(row, count, b);
      for (int i = 0; i < count * cols; i++) {
        if (a[i] != b[i]) {
          LOG.warn(
              "{} ties the output head to the embedding, but {} has a {} that differs from {}: using the stored head, as transformers does. Set tie_word_embeddings to false to avoid this warning.",
              ModelConfig.FILE,
              files.directory(),
              HEAD,
              embedding);
          return true;
        }
      }
    }
    return false;
  }

  /** Returns the name of a tensor in the files. */
  private String nameInFiles(String name) {
    if (files.contains(name)) {
      return name;
    }
    if (headIsEmbedding && name.equals(embedding)) {
      return HEAD;
    }
    String bare = name.startsWith(prefix) ? name.substring(prefix.length()) : name;
    return files.contains(bare) ? bare : name;
  }

  private Found find(String name, long... shape) {
    try {
      String nameInFiles = nameInFiles(name);
      Safetensors file = files.file(nameInFiles);
      Safetensors.Entry entry = file.entry(nameInFiles);
      List<Long> expected = Arrays.stream(shape).boxed().toList();
      if (!entry.shape().equals(expected)) {
        throw new MalformedFileException(
            file.file(),
            "tensor '" + nameInFiles + "', shape",
            text(entry.shape()),
            text(expected) + ", according to " + ModelConfig.FILE);
      }
      if (!entry.type().isFloat()) {
        throw new MalformedFileException(
            file.file(),
            "tensor '" + nameInFiles + "', dtype",
            entry.dtype(),
            "a floating-point type (quantised weights are not supported)");
      }
      return new Found(file, nameInFiles);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String text(List<Long> shape) {
    return shape.stream().map(String::valueOf).collect(joining(", ", "[", "]"));
  }

  @Override
  public MatrixSource matrix(String name, int rows, int cols) {
    Found found = find(name, rows, cols);
    return new Stored(found.file, found.name, rows, cols);
  }

  private record Stored(Safetensors file, String name, int rows, int cols) implements MatrixSource {
    @Override
    public void read(int row, int count, float[] into) {
      file.readFloats(name, (long) row * cols, into, 0, count * cols);
    }
  }

  @Override
  public MatrixSource transposed(String name, int rows, int cols) {
    Found found = find(name, cols, rows);
    return new StoredTransposed(found.file, found.name, rows, cols);
  }

  private record StoredTransposed(Safetensors file, String name, int rows, int cols)
      implements MatrixSource {
    @Override
    public void read(int row, int count, float[] into) {
      // a line of the file is an input feature; whole lines, several at a time, if most rows are
      // read
      boolean whole = 4L * count >= rows;
      int width = whole ? rows : count;
      int lines = whole ? Math.max(1, Math.min(cols, BLOCK / rows)) : 1;
      float[] block = new float[lines * width]; // [lines, width]
      for (int c = 0; c < cols; c += lines) {
        int n = Math.min(lines, cols - c);
        file.readFloats(name, (long) c * rows + (whole ? 0 : row), block, 0, n * width);
        for (int r = 0; r < count; r++) {
          int at = whole ? row + r : r;
          for (int l = 0; l < n; l++) {
            into[r * cols + c + l] = block[l * width + at];
          }
        }
      }
    }
  }

  @Override
  public float[] vector(String name, int length) {
    Found found = find(name, length);
    return found.file.floats(found.name);
  }

  @Override
  public void close() throws IOException {
    files.close();
  }
}
