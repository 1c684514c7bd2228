package org.tune4j.examples.common;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LoadOptions;
import org.tune4j.core.text.ChatTemplate;
import org.tune4j.core.train.ConsoleProgress;
import picocli.CommandLine.Option;

/** Options for the base model and the engine that it runs on. */
public final class ModelOptions {
  @Option(
      names = "--model",
      paramLabel = "DIR",
      description =
          "Base model as saved by Hugging Face transformers: config.json, safetensors, tokenizer.json. Default: the bundled one of 8 million parameters.")
  private Path directory;

  @Option(
      names = "--engine",
      paramLabel = "NAME",
      description =
          "Engine to run on. Default: that given by -D"
              + Engines.PROPERTY
              + ", or the fastest available.")
  private String engine;

  @Option(
      names = "--precision",
      defaultValue = "F32",
      paramLabel = "NAME",
      description = "Precision of frozen weights and matrix products: ${COMPLETION-CANDIDATES}.")
  private Precision precision;

  /** Returns the model's chat template, without loading the model. */
  public Optional<ChatTemplate> chatTemplate() throws IOException {
    return ChatTemplate.load(directory());
  }

  private Path directory() throws IOException {
    return directory == null ? Bundled.baseModel() : directory;
  }

  /** Loads the model; the caller closes it. */
  public LanguageModel load() throws IOException {
    LoadOptions.Builder options = LoadOptions.builder().precision(precision);
    if (engine != null) {
      options.engine(engine);
    }
    if (directory != null) {
      options.progress(ConsoleProgress.toStandardError());
    }
    return LanguageModel.load(directory(), options.build());
  }
}
