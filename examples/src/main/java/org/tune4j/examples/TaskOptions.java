package org.tune4j.examples;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import org.tune4j.core.data.DataFormat;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.TaskReader;
import org.tune4j.core.text.ChatTemplate;
import org.tune4j.core.text.ReadFields;
import org.tune4j.examples.common.Bundled;
import org.tune4j.examples.common.ModelOptions;
import org.tune4j.examples.common.WordNetTasks;
import picocli.CommandLine.Help.Visibility;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

final class TaskOptions {
  @Option(
      names = "--task",
      showDefaultValue = Visibility.NEVER,
      paramLabel = "[NAME=]PATH",
      description = {
        "A task; may be given several times: a directory with train, validation and test files, a file (.jsonl, .json or .csv) to split 80 : 10 : 10, or the name of a bundled task.",
        "Bundled tasks are noun-category, verb-category, part-of-speech and hypernym, which are the default, and those of WordNetTasks.NAMES."
      })
  private List<String> tasks = List.of();

  @Option(
      names = "--format",
      paramLabel = "NAME",
      description =
          "Format of the files: ${COMPLETION-CANDIDATES}. Default: detected from their fields.")
  private DataFormat format;

  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  @Option(
      names = "--column",
      showDefaultValue = Visibility.NEVER,
      paramLabel = "FIELD=NAME",
      description = "Name in the files of a field of the format, such as prompt=question.")
  private Map<String, String> columns = new LinkedHashMap<>();

  @Option(
      names = "--train",
      paramLabel = "N",
      defaultValue = "0",
      description = "Use only the first N training examples of each task; 0: all.")
  private int train;

  @Option(
      names = "--validation",
      paramLabel = "N",
      defaultValue = "0",
      description = "Use only the first N validation examples of each task; 0: all.")
  private int validation;

  @Option(
      names = "--test",
      paramLabel = "N",
      defaultValue = "0",
      description = "Use only the first N test examples of each task; 0: all.")
  private int test;

  @Option(
      names = "--skip-bad-rows",
      description =
          "Skip rows that are malformed or rejected by the chat template, and list the first ten of each file.")
  private boolean skipBadRows;

  /**
   * Reads the tasks for a model, and prints warnings about parts of their files that were not used.
   */
  ImmutableList<Task> read(ModelOptions model, PrintWriter err) throws IOException {
    TaskReader reader = format == null ? TaskReader.detecting() : TaskReader.of(format);
    for (Map.Entry<String, String> c : columns.entrySet()) {
      try {
        reader = reader.column(c.getKey(), c.getValue());
      } catch (IllegalArgumentException e) {
        throw Main.usage(spec, "--column: " + e.getMessage());
      }
    }
    if (skipBadRows) {
      reader = reader.skippingBadRows();
      Optional<ChatTemplate> template = model.chatTemplate();
      if (template.isPresent()) {
        reader = reader.requiring(renderable(template.get()));
      }
    }
    List<Task> all = new ArrayList<>();
    for (String t : tasks.isEmpty() ? Bundled.TASKS : tasks) {
      Task task = read(t, reader);
      task.reports().forEach(r -> r.warnings().forEach(err::println));
      err.flush();
      all.add(task.limit(limit(train), limit(validation), limit(test)));
    }
    Task.requireDistinctNames(all);
    return ImmutableList.copyOf(all);
  }

  private static Consumer<Example> renderable(ChatTemplate template) {
    ReadFields fields = new ReadFields(template);
    return e -> {
      if (e.isConversation()) {
        template.render(e.messages(), e.options());
        fields.require(e.messages(), e.options());
      }
    };
  }

  private static int limit(int n) {
    return n == 0 ? Integer.MAX_VALUE : n;
  }

  private static Task read(String argument, TaskReader reader) throws IOException {
    if (Bundled.TASKS.contains(argument) && !Files.exists(Path.of(argument))) {
      return Bundled.task(argument);
    }
    if (WordNetTasks.NAMES.contains(argument) && !Files.exists(Path.of(argument))) {
      return WordNetTasks.load(argument);
    }
    int equals = Files.exists(Path.of(argument)) ? -1 : argument.indexOf('=');
    Path path = Path.of(argument.substring(equals + 1));
    if (!Files.exists(path)) {
      throw new NoSuchFileException(
          path.toString(),
          null,
          "no such task file or directory, nor a bundled task "
              + Bundled.TASKS
              + " or "
              + WordNetTasks.NAMES);
    }
    return equals > 0
        ? Task.read(argument.substring(0, equals), path, reader)
        : Task.read(path, reader);
  }
}
