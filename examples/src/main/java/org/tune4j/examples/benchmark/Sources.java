package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.tune4j.core.data.Task;
import org.tune4j.examples.benchmark.Scenario.Use;
import org.tune4j.examples.common.Bundled;
import org.tune4j.examples.common.WordNetTasks;

/**
 * The source tasks of scenarios, in a fixed division by use: the two groups differ in their
 * questions, and mostly in their words.
 */
final class Sources {
  private static final ImmutableList<String> FIT =
      ImmutableList.of(
          "noun-category",
          "part-of-speech",
          "antonym",
          "concrete-abstract",
          "verb-frame",
          "verb-noun",
          "word-category",
          "base-form",
          "domain");
  private static final ImmutableList<String> REPORT =
      ImmutableList.of(
          "verb-category",
          "hypernym",
          "adjective-noun",
          "pertainym",
          "noun-relation",
          "animal-kind",
          "artifact-kind",
          "person-kind",
          "verb-pattern",
          "verb-hypernym");

  private static final Map<String, Task> READ = new ConcurrentHashMap<>();

  private Sources() {}

  /** Returns the names of the tasks for a use. */
  static ImmutableList<String> of(Use use) {
    return use == Use.FIT ? FIT : REPORT;
  }

  /** Returns a task with all of its examples. */
  static Task task(String name) throws IOException {
    Task read = READ.get(name);
    if (read == null) {
      read = Bundled.TASKS.contains(name) ? Bundled.task(name) : WordNetTasks.load(name);
      READ.put(name, read);
    }
    return read;
  }
}
