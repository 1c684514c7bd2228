package org.tune4j.dl4j;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.util.ModelSerializer;
import org.nd4j.linalg.dataset.api.preprocessor.DataNormalization;
import org.tune4j.core.io.JsonFile;
import org.tune4j.core.io.MalformedFileException;

/**
 * Files of networks as DL4J's {@link ModelSerializer} writes them, of which it is found out here
 * which class of network they hold.
 *
 * @param network of either class
 * @param normalizer of the data that it was trained on, if the file has one
 */
public record NetworkFiles(Model network, Optional<DataNormalization> normalizer) {
  private static final String EXPECTED =
      ModelSerializer.CONFIGURATION_JSON
          + " and "
          + ModelSerializer.COEFFICIENTS_BIN
          + ", as DL4J's ModelSerializer writes them";

  /**
   * Reads a network and its normaliser.
   *
   * @throws NoSuchFileException if there is no such file
   * @throws MalformedFileException if it is no zip with a network; the message says what it holds
   */
  public static NetworkFiles read(Path zip) throws IOException {
    if (!Files.isRegularFile(zip)) {
      throw new NoSuchFileException(zip.toString(), null, "no such file of a network");
    }
    boolean graph;
    boolean normalized;
    try (ZipFile file = new ZipFile(zip.toFile())) {
      List<String> names = new ArrayList<>();
      file.stream().map(ZipEntry::getName).forEach(names::add);
      ZipEntry conf = file.getEntry(ModelSerializer.CONFIGURATION_JSON);
      if (conf == null || !names.contains(ModelSerializer.COEFFICIENTS_BIN)) {
        throw new MalformedFileException(zip, "", "a zip with " + names, EXPECTED);
      }
      normalized = names.contains(ModelSerializer.NORMALIZER_BIN);
      try (InputStream in = file.getInputStream(conf)) {
        String text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
        JsonNode json = JsonFile.parse(text, zip);
        graph = json.has("vertices");
        if (!graph && !json.has("confs")) {
          throw new MalformedFileException(
              zip,
              ModelSerializer.CONFIGURATION_JSON,
              "neither 'confs' nor 'vertices'",
              "the configuration of a MultiLayerNetwork or of a ComputationGraph");
        }
      }
    } catch (ZipException e) {
      throw new MalformedFileException(
          zip, "", "no zip file (" + e.getMessage() + ")", EXPECTED, e);
    }
    try {
      Model network =
          graph
              ? ModelSerializer.restoreComputationGraph(zip.toFile(), false)
              : ModelSerializer.restoreMultiLayerNetwork(zip.toFile(), false);
      Optional<DataNormalization> normalizer = Optional.empty();
      if (normalized) {
        DataNormalization read = ModelSerializer.restoreNormalizerFromFile(zip.toFile());
        normalizer = Optional.of(read);
      }
      return new NetworkFiles(network, normalizer);
    } catch (RuntimeException e) {
      throw new MalformedFileException(
          zip, "", "what DL4J cannot read: " + e.getMessage(), "a network", e);
    }
  }
}
