package org.tune4j.examples.common;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.net.URI;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.ModelConfig;

class BundledTest {
  @TempDir private Path directory;

  @AfterEach
  void forget() {
    System.clearProperty(Bundled.CACHE);
  }

  @Test
  void modelAndTasksAreThere() throws IOException {
    assertThat(ModelConfig.read(Bundled.baseModel().resolve("config.json")).layers()).isEqualTo(8);
    assertThat(Bundled.tasks()).extracting(Task::name).isEqualTo(Bundled.TASKS);
    assertThat(Bundled.tasks())
        .extracting(Task::type)
        .containsExactly(
            Task.Type.CLASSIFICATION,
            Task.Type.CLASSIFICATION,
            Task.Type.CLASSIFICATION,
            Task.Type.GENERATION);
    for (Task t : Bundled.tasks()) {
      assertThat(t.train()).hasSizeGreaterThanOrEqualTo(1500);
      assertThat(t.validation()).hasSizeGreaterThanOrEqualTo(400);
      assertThat(t.test()).hasSizeGreaterThanOrEqualTo(400);
    }
  }

  @Test
  void unknownTaskIsNamed() {
    assertThatThrownBy(() -> Bundled.task("noun"))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'noun'")
        .hasMessageContaining("noun-category");
  }

  @Test
  void filesInsideJarAreCopiedOnceAndPerContent() throws IOException {
    System.setProperty(Bundled.CACHE, directory.resolve("cache").toString());

    Path first = Bundled.directory("model", jar("first.jar", "one"));
    assertThat(first.resolve("config.json")).hasContent("one");
    assertThat(first.resolve("b.txt")).hasContent("one");

    Files.writeString(first.resolve("b.txt"), "kept"); // a copy that is there is not made again
    assertThat(Bundled.directory("model", jar("same.jar", "one"))).isEqualTo(first);
    assertThat(first.resolve("b.txt")).hasContent("kept");

    Path second = Bundled.directory("model", jar("second.jar", "two"));
    assertThat(second).isNotEqualTo(first);
    assertThat(second.resolve("config.json")).hasContent("two");
  }

  @Test
  void aPlaceThatCannotBeWrittenIsNamed() throws IOException {
    Path file = Files.writeString(directory.resolve("file"), "");
    System.setProperty(Bundled.CACHE, file.toString());
    assertThatThrownBy(() -> Bundled.directory("model", jar("first.jar", "one")))
        .isInstanceOf(IOException.class)
        .hasMessageContaining("cannot write " + file)
        .hasMessageContaining("-Dtune4j.cache=DIR");
  }

  private ImmutableMap<String, URL> jar(String name, String content) throws IOException {
    Path file = directory.resolve(name);
    ImmutableMap.Builder<String, URL> urls = ImmutableMap.builder();
    try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(file))) {
      for (String entry : new String[] {"config.json", "b.txt"}) {
        out.putNextEntry(new JarEntry("model/" + entry));
        out.write(content.getBytes(StandardCharsets.UTF_8));
        urls.put(entry, URI.create("jar:" + file.toUri() + "!/model/" + entry).toURL());
      }
    }
    return urls.buildOrThrow();
  }
}
