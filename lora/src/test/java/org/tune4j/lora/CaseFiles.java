package org.tune4j.lora;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.io.SafetensorsWriter;

/** Copies and edits of files that tests work on. */
final class CaseFiles {
  private static final ObjectMapper JSON = new ObjectMapper();

  static final Path GOLDEN = Path.of("../core/src/test/resources/golden");

  private CaseFiles() {}

  static Path copy(Path from, Path to) throws IOException {
    List<Path> all;
    try (Stream<Path> walk = Files.walk(from)) {
      all = walk.toList();
    }
    for (Path p : all) {
      Path target = to.resolve(from.relativize(p).toString());
      if (Files.isDirectory(p)) {
        Files.createDirectories(target);
      } else {
        Files.copy(p, target);
      }
    }
    return to;
  }

  static void editJson(Path file, Consumer<ObjectNode> edit) throws IOException {
    JsonNode root = JSON.readTree(Files.readAllBytes(file));
    edit.accept((ObjectNode) root);
    Files.write(file, JSON.writeValueAsBytes(root));
  }

  /** Writes a file again under other names; a tensor whose name becomes null is left out. */
  static void rename(Path file, Function<String, String> names) throws IOException {
    Safetensors old = Safetensors.open(file);
    SafetensorsWriter writer = new SafetensorsWriter().metadata("format", "pt");
    for (String name : old.names()) {
      String to = names.apply(name);
      if (to != null) {
        writer.copy(to, old, name);
      }
    }
    writer.write(file);
  }

  /** Changes the values of one floating-point tensor. */
  static void editFloats(Path file, String tensor, Consumer<float[]> edit) throws IOException {
    Safetensors old = Safetensors.open(file);
    SafetensorsWriter writer = new SafetensorsWriter().metadata("format", "pt");
    for (String name : old.names()) {
      if (name.equals(tensor)) {
        float[] values = old.floats(name);
        edit.accept(values);
        writer.add(name, values, shape(old.entry(name)));
      } else {
        writer.copy(name, old, name);
      }
    }
    writer.write(file);
  }

  /** Changes the values of one integer tensor. */
  static void editLongs(Path file, String tensor, Consumer<long[]> edit) throws IOException {
    Safetensors old = Safetensors.open(file);
    SafetensorsWriter writer = new SafetensorsWriter().metadata("format", "pt");
    for (String name : old.names()) {
      if (name.equals(tensor)) {
        long[] values = old.longs(name);
        edit.accept(values);
        writer.add(name, values, shape(old.entry(name)));
      } else {
        writer.copy(name, old, name);
      }
    }
    writer.write(file);
  }

  static long[] shape(Safetensors.Entry entry) {
    return entry.shape().stream().mapToLong(Long::longValue).toArray();
  }
}
