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
 * The base model and the tasks that come with the examples. Models are read from a directory, so
 * what is inside a jar is first copied to {@code ~/.cache/tune4j}, or the directory that {@code
 * -Dtune4j.cache} names.
 */
public final class Bundled {
  /** The system property that names the directory for copies. */
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
   * @throws IllegalArgumentException if none has that name
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

  /** Returns the directory of a folder of the resources, of copies if it is inside a jar. */
  static Path directory(String folder, List<String> names) throws IOException {
    ImmutableMap.Builder<String, URL> builder = ImmutableMap.builder();
    for (String name : names) {
      builder.put(name, Resources.getResource(Bundled.class, RESOURCES + folder + "/" + name));
    }
    return directory(folder, builder.buildOrThrow());
  }

  /** Returns the directory of the files if they are files of one already, else of copies. */
  static Path directory(String folder, ImmutableMap<String, URL> files) throws IOException {
    URL first = files.values().iterator().next();
    if (first.getProtocol().equals("file")) {
      return Path.of(URI.create(first.toString())).getParent();
    }
    // the name tells the content, so that another version's copies are never taken for these
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
            "bundled files cannot be copied there, where models are read from (-D%s=DIR names another place): %s"
                .formatted(CACHE, e.getMessage()),
            e);
      }
    }
    return target;
  }
}
