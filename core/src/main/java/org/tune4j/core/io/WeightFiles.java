package org.tune4j.core.io;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * The weights of a model directory as one set of names: {@code model.safetensors}, or the shards
 * that {@code model.safetensors.index.json} lists.
 */
public final class WeightFiles implements AutoCloseable {
  private static final String SINGLE = "model.safetensors";
  private static final String INDEX = "model.safetensors.index.json";

  private final Path directory;
  private final Map<String, Safetensors> byName;
  private final List<Safetensors> all;
  private final Map<String, String> placed;

  private WeightFiles(
      Path directory,
      Map<String, Safetensors> byName,
      List<Safetensors> all,
      Map<String, String> placed) {
    this.directory = directory;
    this.byName = byName;
    this.all = all;
    this.placed = placed;
  }

  /**
   * Opens and checks all files that exist. As in transformers, every tensor of a shard counts,
   * whether or not the index lists it; a tensor that the index lists but no shard holds is an error
   * once it is {@linkplain #file(String) asked for}.
   *
   * @throws NoSuchFileException if there are no weights
   * @throws MalformedFileException if a file is damaged
   */
  public static WeightFiles open(Path directory) throws IOException {
    Map<String, Safetensors> byName = new LinkedHashMap<>();
    Path index = directory.resolve(INDEX);
    Path single = directory.resolve(SINGLE);
    if (Files.exists(single)) {
      Safetensors file = Safetensors.open(single);
      file.names().forEach(n -> byName.put(n, file));
      return new WeightFiles(directory, byName, List.of(file), Map.of());
    }
    if (!Files.exists(index)) {
      String hint =
          Files.exists(directory.resolve("pytorch_model.bin"))
              ? "; pytorch_model.bin is a pickle, which is not read: save the model with safe_serialization=True"
              : "";
      throw new NoSuchFileException(
          directory.toString(), null, "neither " + SINGLE + " nor " + INDEX + " is there" + hint);
    }
    JsonFields root = JsonFields.read(index);
    JsonNode map = root.node().path("weight_map");
    if (!map.isObject() || map.isEmpty()) {
      throw root.bad("weight_map", "an object of tensor: file");
    }
    Map<String, String> placed = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> e : map.properties()) {
      if (!e.getValue().isTextual() || !isInside(e.getValue().textValue())) {
        throw root.bad(
            "weight_map." + e.getKey(),
            e.getValue().toString(),
            "the name of a file in the model's directory");
      }
      placed.put(e.getKey(), e.getValue().textValue());
    }
    Map<String, Safetensors> shards = new TreeMap<>();
    try {
      for (String name : new TreeSet<>(placed.values())) {
        if (Files.exists(directory.resolve(name))) {
          Safetensors shard = Safetensors.open(directory.resolve(name));
          shards.put(name, shard);
          shard.names().forEach(n -> byName.put(n, shard));
        }
      }
    } catch (IOException | RuntimeException | Error e) {
      close(shards.values());
      throw e;
    }
    placed.forEach(
        (tensor, name) -> {
          Safetensors shard = shards.get(name);
          if (shard != null && shard.contains(tensor)) {
            byName.put(tensor, shard);
          }
        });
    return new WeightFiles(directory, byName, List.copyOf(shards.values()), placed);
  }

  /**
   * By the name alone: {@code startsWith} does not work if the model's directory is the empty path.
   */
  private static boolean isInside(String name) {
    try {
      Path path = Path.of(name).normalize();
      return !name.isEmpty()
          && !path.isAbsolute()
          && !path.toString().isEmpty()
          && !path.startsWith("..");
    } catch (InvalidPathException e) {
      return false;
    }
  }

  public Path directory() {
    return directory;
  }

  /** Returns all tensors' names. */
  public Set<String> names() {
    return byName.keySet();
  }

  public boolean contains(String name) {
    return byName.containsKey(name);
  }

  /**
   * Returns the file that holds a tensor.
   *
   * @throws NoSuchFileException if the index places it in a file that is missing
   * @throws MalformedFileException if no file holds it
   */
  public Safetensors file(String name) throws IOException {
    Safetensors file = byName.get(name);
    if (file == null && placed.containsKey(name)) {
      Path shard = directory.resolve(placed.get(name));
      if (!Files.exists(shard)) {
        throw new NoSuchFileException(
            shard.toString(),
            null,
            "this shard is missing; %s places tensor '%s' in it"
                .formatted(directory.resolve(INDEX), name));
      }
      throw new MalformedFileException(
          shard, "tensor '" + name + "'", "nothing", "the tensor that " + INDEX + " places here");
    }
    if (file == null) {
      throw new MalformedFileException(
          directory, "tensor '" + name + "'", "nothing", "a weight of this name");
    }
    return file;
  }

  /** Returns the size of all tensors together, in bytes. */
  public long bytes() {
    return byName.entrySet().stream()
        .mapToLong(
            e -> e.getValue().entry(e.getKey()).end() - e.getValue().entry(e.getKey()).begin())
        .sum();
  }

  private static void close(Iterable<Safetensors> files) throws IOException {
    for (Safetensors file : files) {
      file.close();
    }
  }

  /** Closes all files; no tensor can be read afterwards. */
  @Override
  public void close() throws IOException {
    close(all);
  }
}
