package org.tune4j.core.model;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.io.WeightFiles;

/** Creates language models from files or random numbers. */
final class ModelLoader {
  private static final Logger LOG = LoggerFactory.getLogger(LanguageModel.class);

  private ModelLoader() {}

  static LanguageModel random(ModelConfig config, Engine engine, long seed) {
    LoadOptions options = LoadOptions.builder().engine(engine).build();
    return build(
        config,
        new RandomWeights(config.initializerRange(), seed),
        options,
        engine,
        false,
        ModelFiles.none(config));
  }

  static LanguageModel load(Path directory, LoadOptions options) throws IOException {
    Path configFile = directory.resolve(ModelConfig.FILE);
    if (!Files.isRegularFile(configFile)) {
      throw new NoSuchFileException(
          configFile.toString(),
          null,
          "no such file; a model directory has one, as transformers' save_pretrained writes it");
    }
    ModelConfig stated = ModelConfig.read(configFile);
    WeightFiles stored = WeightFiles.open(directory);
    ModelFiles files = null;
    Engine engine = null;
    boolean loaded = false;
    try {
      FileWeights weights = new FileWeights(stored, stated);
      files = ModelFiles.read(directory, weights.config());
      engine =
          options
              .callersEngine()
              .orElseGet(() -> Engines.create(options.engineName(), options.precision()));
      LanguageModel model =
          build(
              weights.config(), weights, options, engine, options.callersEngine().isEmpty(), files);
      loaded = true;
      LOG.info("loaded {}: {}", directory, model.describe());
      return model;
    } catch (UncheckedIOException e) {
      throw e.getCause();
    } finally {
      if (!loaded) {
        if (engine != null && options.callersEngine().isEmpty()) {
          engine.close();
        }
        if (files != null) {
          files.close();
        }
        stored.close();
      }
    }
  }

  private static LanguageModel build(
      ModelConfig config,
      Weights weights,
      LoadOptions options,
      Engine engine,
      boolean ownsEngine,
      ModelFiles files) {
    String work = files.directory() == null ? "a random model" : "loading " + files.directory();
    MemoryEstimate.of(config, engine, 1, 1, 0)
        .require(work, Math.min(options.maxMemory(), engine.freeMemory()));
    int storedBytes = List.of("float16", "bfloat16").contains(config.dtype()) ? 2 : 4;
    WeightLoader loader =
        new WeightLoader(engine, weights, options, work, config.parameters(), storedBytes);
    engine.lock().lock();
    try {
      Decoder decoder = config.architecture().decoder(config, loader);
      return new LanguageModel(config, engine, ownsEngine, loader, decoder, files);
    } catch (RuntimeException | Error e) {
      loader.close();
      throw e;
    } finally {
      engine.resetArena();
      engine.lock().unlock();
    }
  }
}
