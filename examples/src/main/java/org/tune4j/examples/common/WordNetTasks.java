package org.tune4j.examples.common;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import org.tune4j.core.data.Task;
import org.tune4j.examples.wordnet.MakeTasks;

/**
 * Short tasks about words, for comparisons that need more tasks than the quickstart has: two in
 * three are classifications, with 2,400 to 4,000 training, 360 to 400 validation and 720 to 800
 * test examples, and no word asked about in two of the three. {@code wordnet-tasks} ({@link
 * MakeTasks}) made them; the README beside the data describes each and says what of it can be read
 * off without understanding.
 */
public final class WordNetTasks {
  /** The tasks' names. */
  public static final ImmutableList<String> NAMES = MakeTasks.names().asList();

  private static final String FOLDER = "wordnet-tasks/";
  private static final ImmutableList<String> FILES =
      ImmutableList.of("train.jsonl.gz", "validation.jsonl.gz", "test.jsonl.gz");

  private WordNetTasks() {}

  /**
   * Returns a task with all of its examples.
   *
   * @param name one of {@link #NAMES}
   * @throws IllegalArgumentException if none has that name
   */
  public static Task load(String name) throws IOException {
    if (!NAMES.contains(name)) {
      throw new IllegalArgumentException(
          "no task of WordNet is named '%s'; there are %s".formatted(name, NAMES));
    }
    return Task.fromDirectory(Bundled.directory(FOLDER + name, FILES));
  }
}
