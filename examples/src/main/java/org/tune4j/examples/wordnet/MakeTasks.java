package org.tune4j.examples.wordnet;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.zip.GZIPOutputStream;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.examples.wordnet.Splits.Candidate;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Generates prompt/completion tasks from WordNet's dictionary files, one folder for each. */
@Command(
    name = "wordnet-tasks",
    description =
        "Generates tasks from the dictionary files of WordNet 3.0 (Debian: wordnet-base).")
public final class MakeTasks implements Callable<Integer> {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String BASELINES =
      "the commonest label, a classifier of the text's shape, one of its trigrams";
  @Spec private CommandSpec spec;

  @Option(
      names = "--dictionary",
      required = true,
      paramLabel = "DIR",
      description = "Directory with data.noun, index.noun and so on.")
  private Path dictionary;

  @Option(
      names = "--output",
      required = true,
      paramLabel = "DIR",
      description = "Output directory; each task gets a folder of gzip-compressed files.")
  private Path output;

  @Option(names = "--seed", paramLabel = "N", description = "Seed of the sampling and the splits.")
  private long seed = 1;

  /** Returns the tasks' names. */
  public static ImmutableSet<String> names() {
    return TaskMaker.TASKS.keySet();
  }

  @Override
  public Integer call() throws IOException {
    WordNet wordNet = WordNet.read(dictionary);
    PrintWriter out = spec.commandLine().getOut();
    out.println("task, labels, train / validation / test rows, accuracy of " + BASELINES);
    for (String task : names()) {
      Splits splits = Splits.largest(TaskMaker.candidates(wordNet, task, seed), seed);
      write(splits, output.resolve(task));
      out.println(describe(task, splits));
      out.flush();
    }
    return 0;
  }

  private static String describe(String task, Splits splits) {
    long labels = splits.train().stream().map(Candidate::label).distinct().count();
    String rows =
        "%d / %d / %d"
            .formatted(splits.train().size(), splits.validation().size(), splits.test().size());
    if (labels == 1) {
      return "%s, open, %s".formatted(task, rows);
    }
    Shortcuts shortcuts = Shortcuts.of(splits.train(), splits.test());
    return String.format(
        Locale.ROOT,
        "%s, %d, %s, %.3f, %.3f, %.3f",
        task,
        labels,
        rows,
        shortcuts.majority(),
        shortcuts.shape(),
        shortcuts.trigrams());
  }

  private static void write(Splits splits, Path directory) throws IOException {
    Files.createDirectories(directory);
    write(directory.resolve("train.jsonl.gz"), splits.train());
    write(directory.resolve("validation.jsonl.gz"), splits.validation());
    write(directory.resolve("test.jsonl.gz"), splits.test());
  }

  private static void write(Path file, List<Candidate> candidates) throws IOException {
    AtomicFiles.write(
        file,
        out -> {
          GZIPOutputStream compressed = new GZIPOutputStream(out);
          compressed.write(lines(candidates).getBytes(StandardCharsets.UTF_8));
          compressed.finish();
        });
  }

  private static String lines(List<Candidate> candidates) {
    StringBuilder lines = new StringBuilder();
    for (Candidate candidate : candidates) {
      ObjectNode row = JSON.createObjectNode();
      row.put("prompt", candidate.prompt()).put("completion", candidate.completion());
      lines.append(row).append('\n');
    }
    return lines.toString();
  }
}
