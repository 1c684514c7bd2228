package org.tune4j.core.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class WeightFilesTest {
  @TempDir Path directory;

  private void shard(String name, String... tensors) throws IOException {
    SafetensorsWriter writer = new SafetensorsWriter();
    for (String tensor : tensors) {
      writer.add(tensor, new float[] {1, 2}, 2);
    }
    writer.write(directory.resolve(name));
  }

  private Path index(String json) throws IOException {
    return Files.writeString(directory.resolve("model.safetensors.index.json"), json);
  }

  @Test
  void shardsAreOneSetOfNames() throws IOException {
    shard("1.safetensors", "a", "b");
    shard("2.safetensors", "c");
    index(
        "{\"metadata\": {}, \"weight_map\": {\"a\": \"1.safetensors\", \"b\": \"1.safetensors\", \"c\": \"2.safetensors\"}}");
    WeightFiles files = WeightFiles.open(directory);
    assertThat(files.names()).containsExactly("a", "b", "c");
    assertThat(files.bytes()).isEqualTo(24);
    assertThat(files.file("a")).isSameAs(files.file("b"));
    assertThat(files.file("c").floats("c")).containsExactly(1, 2);
    assertThatThrownBy(() -> files.file("d"))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(directory.toString())
        .hasMessageContaining("'d'");
  }

  @Test
  void missingShardsAreNamedOnceTheyAreNeeded() throws IOException {
    shard("1.safetensors", "a");
    Path index = index("{\"weight_map\": {\"a\": \"1.safetensors\", \"b\": \"2.safetensors\"}}");
    WeightFiles files = WeightFiles.open(directory);
    assertThat(files.file("a").floats("a")).containsExactly(1, 2);
    assertThatThrownBy(() -> files.file("b"))
        .isInstanceOf(NoSuchFileException.class)
        .hasMessageContaining(directory.resolve("2.safetensors").toString())
        .hasMessageContaining(index.toString())
        .hasMessageContaining("'b'");
  }

  @Test
  void staleEntriesOfAnIndexAreOfNoConcern() throws IOException {
    shard("1.safetensors", "a", "c");
    shard("2.safetensors", "b", "c");
    // of a: the wrong shard; gone: nowhere; c: in both; d: not listed
    shard("3.safetensors", "d", "e");
    index(
        "{\"weight_map\": {\"a\": \"2.safetensors\", \"gone\": \"1.safetensors\", \"c\": \"1.safetensors\", \"e\": \"3.safetensors\"}}");
    WeightFiles files = WeightFiles.open(directory);
    assertThat(files.names()).containsExactlyInAnyOrder("a", "b", "c", "d", "e");
    assertThat(files.file("a").file()).hasFileName("1.safetensors");
    assertThat(files.file("c").file()).hasFileName("1.safetensors");
    assertThatThrownBy(() -> files.file("gone"))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(directory.resolve("1.safetensors").toString())
        .hasMessageContaining("'gone'");
  }

  @Test
  void damagedShardsAreNamed() throws IOException {
    shard("1.safetensors", "a");
    Path shard = directory.resolve("1.safetensors");
    byte[] whole = Files.readAllBytes(shard);
    Files.write(shard, java.util.Arrays.copyOf(whole, whole.length - 1));
    index("{\"weight_map\": {\"a\": \"1.safetensors\"}}");
    assertThatThrownBy(() -> WeightFiles.open(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(shard.toString())
        .hasMessageContaining("'a'");
  }

  @Test
  void badIndexesAreNamed() throws IOException {
    for (List<String> bad :
        List.of(
            List.of("{\"weight_map\":", "no valid JSON"),
            List.of("{}", "weight_map"),
            List.of("{\"weight_map\": {}}", "weight_map"),
            List.of("{\"weight_map\": {\"a\": 1}}", "weight_map.a"),
            List.of("{\"weight_map\": {\"a\": \"\"}}", "weight_map.a"),
            List.of("{\"weight_map\": {\"a\": \".\"}}", "weight_map.a"),
            List.of("{\"weight_map\": {\"a\": \"\\u0000\"}}", "weight_map.a"),
            List.of("{\"weight_map\": {\"a\": \"/1.safetensors\"}}", "/1.safetensors"),
            List.of("{\"weight_map\": {\"a\": \"b/../../1.safetensors\"}}", "1.safetensors"),
            List.of("{\"weight_map\": {\"a\": \"../1.safetensors\"}}", "../1.safetensors"))) {
      Path index = index(bad.get(0));
      assertThatThrownBy(() -> WeightFiles.open(directory))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining(index.toString())
          .hasMessageContaining(bad.get(1));
    }
    Files.delete(directory.resolve("model.safetensors.index.json"));
    Files.writeString(directory.resolve("pytorch_model.bin"), "");
    assertThatThrownBy(() -> WeightFiles.open(directory))
        .isInstanceOf(NoSuchFileException.class)
        .hasMessageContaining("pickle");
  }
}
