package org.tune4j.core.io;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * The weights of a model directory as one set of names: {@code model.safetensors}, or the shards
 * that {@code model.safetensors.index.json} lists.
 */
public final class WeightFiles {
  private static final String SINGLE = "model.safetensors";
  private static final String INDEX = "model.safetensors.index.json";

  private final Path directory;
  private final Map<String, Safetensors> byName;

  private WeightFiles(Path directory, Map<String, Safetensors> byName) {
    this.directory = directory;
    this.byName = byName;
  }

  /**
   * Opens and checks all files.
   *
   * @throws NoSuchFileException if there are no weights, or a shard is missing
   * @throws MalformedFileException if a file is damaged or a shard lacks a tensor that the index
   *     places there
   */
  public static WeightFiles open(Path directory) throws IOException {
    Map<String, Safetensors> byName = new LinkedHashMap<>();
    Path index = directory.resolve(INDEX);
    Path single = directory.resolve(SINGLE);
    if (Files.exists(single)) {
      Safetensors file = Safetensors.open(single);
      file.names().forEach(n -> byName.put(n, file));
      return new WeightFiles(directory, byName);
    }
    if (!Files.exists(index)) {
      String hint =
          Files.exists(directory.resolve("pytorch_model.bin"))
              ? "; pytorch_model.bin is a pickle, which is not read: save the model with safe_serialization=True"
              : "";
      throw new NoSuchFileException(
          directory.toString(), null, "neither " + SINGLE + " nor " + INDEX + " is there" + hint);
    }
    JsonNode root;
    try {
      root = new ObjectMapper().readTree(Files.readAllBytes(index));
    } catch (JsonProcessingException e) {
      throw new MalformedFileException(
          index, "", "no valid JSON (" + e.getOriginalMessage() + ")", "JSON", e);
    }
    JsonNode map = root.path("weight_map");
    if (!map.isObject() || map.isEmpty()) {
      throw new MalformedFileException(
          index,
          "weight_map",
          map.isMissingNode() ? "nothing" : map.toString(),
          "an object of tensor: file");
    }
    Map<String, Safetensors> shards = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> e : map.properties()) {
      String shardName = e.getValue().asText();
      Path shard = directory.resolve(shardName).normalize();
      if (!shard.startsWith(directory.normalize())) {
        throw new MalformedFileException(
            index, "weight_map, " + e.getKey(), shardName, "a file in the model's directory");
      }
      Safetensors file = shards.get(shardName);
      if (file == null) {
        if (!Files.exists(shard)) {
          throw new NoSuchFileException(
              shard.toString(),
              null,
              "this shard is missing; " + index + " places tensor '" + e.getKey() + "' in it");
        }
        file = Safetensors.open(shard);
        shards.put(shardName, file);
      }
      if (!file.contains(e.getKey())) {
        throw new MalformedFileException(
            shard,
            "tensor '" + e.getKey() + "'",
            "nothing",
            "the tensor that " + INDEX + " places here");
      }
      byName.put(e.getKey(), file);
    }
    return new WeightFiles(directory, byName);
  }

  /** Returns the directory. */
  public Path directory() {
    return directory;
  }

  /** Returns all tensors' names. */
  public Set<String> names() {
    return byName.keySet();
  }

  /** Returns whether there is a tensor of that name. */
  public boolean contains(String name) {
    return byName.containsKey(name);
  }

  /**
   * Returns the file that holds a tensor.
   *
   * @throws MalformedFileException if none does
   */
  public Safetensors file(String name) throws MalformedFileException {
    Safetensors file = byName.get(name);
    if (file == null) {
      throw new MalformedFileException(
          directory, "tensor '" + name + "'", "nothing", "a weight of this name");
    }
    return file;
  }

  /** Returns the bytes of all tensors. */
  public long bytes() {
    return byName.entrySet().stream()
        .mapToLong(
            e -> e.getValue().entry(e.getKey()).end() - e.getValue().entry(e.getKey()).begin())
        .sum();
  }
}
