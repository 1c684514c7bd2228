package org.tune4j.examples.common;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.hash.Hasher;
import com.google.common.hash.Hashing;
import com.google.common.io.Resources;
import java.io.IOException;
import java.net.URI;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.AtomicFiles;

/**
 * The base model and tasks bundled with the examples. Models are read from a directory, so files
 * inside a jar are first copied to {@code ~/.cache/tune4j}, or to the directory given by {@code
 * -Dtune4j.cache}.
 */
public final class Bundled {
  /** System property for the directory of the copies. */
  public static final String CACHE = "tune4j.cache";

  private static final String RESOURCES = "/org/tune4j/examples/";
  private static final String MODEL = "base-model";
  private static final ImmutableList<String> MODEL_FILES =
      ImmutableList.of(
          "config.json",
          "generation_config.json",
          "model.safetensors",
          "tokenizer.json",
          "tokenizer_config.json",
          "chat_template.jinja");
  private static final ImmutableList<String> TASK_FILES =
      ImmutableList.of("train.jsonl", "validation.jsonl", "test.jsonl");

  /** The names of the tasks, in the order in which the quickstart learns them one by one. */
  public static final ImmutableList<String> TASKS =
      ImmutableList.of("noun-category", "verb-category", "part-of-speech", "hypernym");

  private Bundled() {}

  /** Returns a directory with the base model. */
  public static Path baseModel() throws IOException {
    return directory(MODEL, MODEL_FILES);
  }

  /**
   * Returns a task.
   *
   * @throws IllegalArgumentException if there is no such task
   */
  public static Task task(String name) throws IOException {
    if (!TASKS.contains(name)) {
      throw new IllegalArgumentException(
          "no bundled task is named '%s'; there are %s".formatted(name, TASKS));
    }
    return Task.fromDirectory(directory("tasks/" + name, TASK_FILES));
  }

  /** Returns all tasks. */
  public static ImmutableList<Task> tasks() throws IOException {
    List<Task> all = new ArrayList<>();
    for (String name : TASKS) {
      all.add(task(name));
    }
    return ImmutableList.copyOf(all);
  }

  /** Returns a folder of the resources, copied if it is inside a jar. */
  static Path directory(String folder, List<String> names) throws IOException {
    ImmutableMap.Builder<String, URL> builder = ImmutableMap.builder();
    for (String name : names) {
      builder.put(name, Resources.getResource(Bundled.class, RESOURCES + folder + "/" + name));
    }
    return directory(folder, builder.buildOrThrow());
  }

  /** Returns the directory of the files, copied if they are inside a jar. */
  static Path directory(String folder, ImmutableMap<String, URL> files) throws IOException {
    URL first = files.values().iterator().next();
    if (first.getProtocol().equals("file")) {
      return Path.of(URI.create(first.toString())).getParent();
    }
    // named by a hash of the contents, so that copies of another version are never used
    Hasher hasher = Hashing.sha256().newHasher();
    for (Map.Entry<String, URL> file : files.entrySet()) {
      hasher.putUnencodedChars(file.getKey()).putBytes(Resources.toByteArray(file.getValue()));
    }
    Path cache =
        System.getProperty(CACHE) != null
            ? Path.of(System.getProperty(CACHE))
            : Path.of(System.getProperty("user.home"), ".cache", "tune4j");
    Path target = cache.resolve(hasher.hash().toString().substring(0, 16)).resolve(folder);
    if (!Files.isDirectory(target)) {
      try {
        AtomicFiles.writeDirectory(
            target,
            into -> {
              for (Map.Entry<String, URL> file : files.entrySet()) {
                Files.write(into.resolve(file.getKey()), Resources.toByteArray(file.getValue()));
              }
            });
      } catch (IOException e) {
        throw new IOException(
            "the bundled files, which must be read from a directory, cannot be copied (-D%s=DIR sets another directory): %s"
                .formatted(CACHE, e.getMessage()),
            e);
      }
    }
    return target;
  }
}
