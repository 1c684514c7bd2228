package org.tune4j.core.model;

import static java.util.stream.Collectors.joining;

import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.List;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.io.WeightFiles;

/**
 * Weights of a model directory, memory-mapped and read when asked for. Names are those of the
 * causal language model; files of the bare model, which lack the prefix {@code transformer.} or
 * {@code model.}, serve as well. Tensors that nobody asks for are ignored: older checkpoints carry
 * buffers such as {@code attn.bias}.
 */
record FileWeights(WeightFiles files) implements Weights {
  private record Found(Safetensors file, String name) {}

  private Found find(String name, long... shape) {
    try {
      String bare = name.substring(name.indexOf('.') + 1);
      String stored = !files.contains(name) && files.contains(bare) ? bare : name;
      Safetensors file = files.file(stored);
      Safetensors.Entry entry = file.entry(stored);
      List<Long> expected = Arrays.stream(shape).boxed().toList();
      if (!entry.shape().equals(expected)) {
        throw new MalformedFileException(
            file.file(),
            "tensor '" + stored + "', shape",
            text(entry.shape()),
            text(expected) + " as " + ModelConfig.FILE + " says");
      }
      if (!entry.type().isFloat()) {
        throw new MalformedFileException(
            file.file(),
            "tensor '" + stored + "', dtype",
            entry.type().name(),
            "a floating-point type (quantised weights are not supported)");
      }
      return new Found(file, stored);
    } catch (MalformedFileException e) {
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
      float[] line = new float[count]; // of the file: one input feature, count output features
      for (int c = 0; c < cols; c++) {
        file.readFloats(name, (long) c * rows + row, line, 0, count);
        for (int r = 0; r < count; r++) {
          into[r * cols + c] = line[r];
        }
      }
    }
  }

  @Override
  public float[] vector(String name, int length) {
    Found found = find(name, length);
    return found.file.floats(found.name);
  }
}
