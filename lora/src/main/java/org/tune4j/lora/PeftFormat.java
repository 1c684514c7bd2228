package org.tune4j.lora;

import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.io.SafetensorsWriter;
import org.tune4j.core.model.LanguageModel;

/**
 * PEFT's adapter directories: {@code adapter_config.json} and {@code adapter_model.safetensors}.
 * Compatible with PEFT in both directions. An option that is not implemented is refused by name
 * unless its value disables it.
 */
public final class PeftFormat {
  private static final Logger LOG = LoggerFactory.getLogger(PeftFormat.class);
  static final String CONFIG = PeftConfig.FILE;
  static final String WEIGHTS = "adapter_model.safetensors";

  /** Metadata of the weights, which PEFT ignores: a hash of the base's weights. */
  static final String BASE_HASH = "base_model_weights";

  static final String PREFIX = "base_model.model.";
  private static final String CARD = "README.md"; // PEFT's model card

  private PeftFormat() {}

  /**
   * Writes an adapter, with the directory of the base model ({@link LanguageModel#source}).
   * Existing files except a model card are replaced once everything is written. An adapter with a
   * part of the base weights (PiSSA, OLoRA) is converted to an equivalent plain LoRA of twice the
   * rank on the whole weights, as with PEFT's {@code path_initial_model_for_weight_conversion}.
   *
   * @throws java.nio.file.FileAlreadyExistsException if the directory holds files that are not an
   *     adapter's
   * @throws IOException if it cannot be written; the message names the directory
   */
  public static void save(LoraAdapter adapter, Path directory) throws IOException {
    save(adapter, directory, adapter.model().source().map(Path::toString).orElse(null));
  }

  /**
   * Like {@link #save(LoraAdapter, Path)}.
   *
   * @param baseModel where PEFT finds the base model: a directory or a name on the hub; may be null
   */
  public static void save(LoraAdapter adapter, Path directory, String baseModel)
      throws IOException {
    SafetensorsWriter writer =
        new SafetensorsWriter()
            .metadata("format", "pt")
            .metadata(BASE_HASH, adapter.model().weightsHash());
    Engine engine = adapter.model().engine();
    engine.lock().lock();
    try {
      adapter.plainTensors().forEach((name, t) -> writer.add(PREFIX + name, t.values(), t.shape()));
    } finally {
      engine.lock().unlock();
    }
    String json = PeftConfig.json(adapter, baseModel);
    Path card = directory.resolve(CARD);
    AtomicFiles.writeDirectory(
        directory,
        ImmutableSet.of(CONFIG, WEIGHTS, "adapter_model.bin", CARD)::contains,
        d -> {
          AtomicFiles.writeString(d.resolve(CONFIG), json);
          writer.write(d.resolve(WEIGHTS));
          if (Files.exists(card)) {
            Files.copy(card, d.resolve(CARD));
          }
        });
  }

  /**
   * Reads the configuration of an adapter directory.
   *
   * @throws MalformedFileException if it is not a LoRA configuration, or uses an option that is not
   *     implemented; the message names the option and what it would do
   */
  public static LoraConfig readConfig(Path directory) throws IOException {
    return PeftConfig.read(directory);
  }

  /**
   * Loads an adapter onto a model, frozen (call {@link LoraAdapter#setTrainable} to train it
   * further). Logs a warning if, according to the file, it was trained on other base weights.
   *
   * <p>Keys may contain the name that the adapter had in PEFT ({@code lora_A.default.weight}). If a
   * file has adapters of several names, the one with the given {@code name} is loaded, else {@code
   * default}, as in PEFT.
   *
   * <p>Configuration, shapes and types are checked before anything is allocated.
   *
   * @throws MalformedFileException if it is damaged, incomplete or for another base model; the
   *     message names what differs
   * @throws NoSuchFileException if a file is missing
   */
  public static LoraAdapter load(LanguageModel model, String name, Path directory)
      throws IOException {
    LoraConfig config = readConfig(directory);
    Path file = directory.resolve(WEIGHTS);
    if (!Files.isRegularFile(file)) {
      String hint =
          Files.exists(directory.resolve("adapter_model.bin"))
              ? "adapter_model.bin is a pickle, which is not read: save the adapter with safe_serialization=True"
              : "no such adapter weights";
      throw new NoSuchFileException(file.toString(), null, hint);
    }
    try (Safetensors weights = Safetensors.open(file)) {
      return load(model, name, directory, config, weights);
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  private static LoraAdapter load(
      LanguageModel model, String name, Path directory, LoraConfig config, Safetensors weights)
      throws IOException {
    PeftTensors tensors;
    try {
      tensors = PeftTensors.check(model, config, weights, name);
    } catch (IllegalArgumentException e) {
      throw new MalformedFileException(
          directory.resolve(CONFIG),
          "",
          e.getMessage(),
          "a configuration that fits this base model",
          e);
    }
    LoraAdapter adapter = LoraAdapter.zeros(model, config, name);
    try {
      tensors.fill(adapter);
    } catch (IOException | RuntimeException e) {
      adapter.close();
      throw e;
    }
    adapter.setTrainable(false);
    warnOfAnotherBase(model, directory, weights.metadata().get(BASE_HASH));
    return adapter;
  }

  private static void warnOfAnotherBase(LanguageModel model, Path directory, String trainedOn)
      throws IOException {
    if (trainedOn != null && !trainedOn.equals(model.weightsHash())) {
      String base = PeftConfig.baseModel(directory);
      LOG.warn(
          "{} was trained on other weights than those of {}: their hash was {}, here it is {}; its base model was {}",
          directory,
          model.name(),
          trainedOn,
          model.weightsHash(),
          base.isEmpty() ? "not named" : base);
    }
  }
}
