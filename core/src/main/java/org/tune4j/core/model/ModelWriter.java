package org.tune4j.core.model;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.SafetensorsWriter;

/** Writes a model in the layout of transformers' {@code save_pretrained}. */
final class ModelWriter {
  /** A directory of chat templates by name. */
  private static final String TEMPLATES = "additional_chat_templates/";

  /** Files of tokenizers of all kinds, and of generation. */
  private static final Pattern COMPANION =
      Pattern.compile(
          "generation_config\\.json"
              + "|tokenizer\\.json|tokenizer_config\\.json|special_tokens_map\\.json|added_tokens\\.json"
              + "|vocab\\.(json|txt|bpe)|merges\\.txt|tekken\\.json|normalizer\\.json"
              + "|[^/]+\\.model(\\.v\\d+\\w*)?|[^/]+\\.tiktoken"
              + "|chat_template\\.(jinja|json)|(pre|video_pre)?processor_config\\.json"
              + "|additional_chat_templates/([^/]+\\.jinja)?");

  /** Files that are copied but do not identify a model directory: licences and the model's code. */
  private static final Pattern ATTACHED =
      Pattern.compile("(LICEN[CS]E|NOTICE|USE_POLICY)[^/]*|[^/]+\\.py");

  private ModelWriter() {}

  /**
   * Returns whether a file is part of a model directory, so that saving may replace it.
   *
   * @param source the directory that the model was loaded from, whose files are copied
   */
  static boolean belongs(String file, Optional<Path> source) {
    return COMPANION.matcher(file).matches()
        || file.equals(ModelConfig.FILE)
        || file.endsWith(".safetensors")
        || file.equals("model.safetensors.index.json")
        || (ATTACHED.matcher(file).matches()
            && source.isPresent()
            && Files.isRegularFile(source.get().resolve(file)));
  }

  static void write(
      LanguageModel model,
      List<WeightLoader.StoredTensor> tensors,
      boolean tied,
      Path into,
      ElementType type)
      throws IOException {
    String dtype =
        switch (type) {
          case F32 -> "float32";
          case F16 -> "float16";
          case BF16 -> "bfloat16";
          default ->
              throw new IllegalArgumentException(
                  "weights are stored as F32, F16 or BF16, not " + type);
        };
    SafetensorsWriter writer = new SafetensorsWriter().metadata("format", "pt");
    for (WeightLoader.StoredTensor t : tensors) {
      writer.add(t.name(), type, t.transposed() ? transposed(t) : plain(t), t.shape());
    }
    writer.write(into.resolve("model.safetensors"));
    Files.writeString(
        into.resolve(ModelConfig.FILE),
        (tied == model.config().tiedHead() ? model.config() : model.config().untied())
            .toJson(dtype));
    if (model.directory().isPresent()) {
      copy(model.directory().get(), "", into);
    }
  }

  private static void copy(Path source, String folder, Path into) throws IOException {
    List<Path> entries;
    try (Stream<Path> list = Files.list(source.resolve(folder))) {
      entries = list.sorted().toList();
    }
    for (Path entry : entries) {
      String name = folder + entry.getFileName();
      if (Files.isDirectory(entry)) {
        if ((name + "/").equals(TEMPLATES)) {
          Files.createDirectory(into.resolve(name));
          copy(source, TEMPLATES, into);
        }
      } else if (COMPANION.matcher(name).matches() || ATTACHED.matcher(name).matches()) {
        Files.copy(entry, into.resolve(name));
      }
    }
  }

  private static SafetensorsWriter.FloatSource plain(WeightLoader.StoredTensor tensor) {
    return (first, into, count) -> {
      MatrixSource source = tensor.source().get();
      int cols = source.cols();
      int row = (int) (first / cols);
      int skip = (int) (first % cols);
      int rows = (skip + count + cols - 1) / cols;
      float[] block = new float[rows * cols];
      source.read(row, rows, block);
      System.arraycopy(block, skip, into, 0, count);
    };
  }

  private static SafetensorsWriter.FloatSource transposed(WeightLoader.StoredTensor tensor) {
    return new SafetensorsWriter.FloatSource() {
      private float[] values; // [out, in]

      @Override
      public void read(long first, float[] into, int count) {
        MatrixSource source = tensor.source().get();
        int out = source.rows();
        int in = source.cols();
        if (values == null) {
          values = new float[out * in];
          source.read(0, out, values);
        }
        for (int i = 0; i < count; i++) {
          long element = first + i; // of [in, out]
          into[i] = values[(int) (element % out) * in + (int) (element / out)];
        }
        if (first + count == (long) out * in) {
          values = null;
        }
      }
    };
  }
}
