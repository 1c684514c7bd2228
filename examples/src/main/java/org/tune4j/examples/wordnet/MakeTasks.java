package org.tune4j.examples.wordnet;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.examples.wordnet.Splits.Candidate;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Makes prompt/completion tasks from WordNet's dictionary files, a folder each. */
@Command(
    name = "wordnet-tasks",
    description = "Makes tasks from the dictionary files of WordNet 3.0 (Debian: wordnet-base).")
public final class MakeTasks implements Callable<Integer> {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int TRAIN = 4_000;
  private static final int VALIDATION = 400;
  private static final int TEST = 800;

  /** The training rows where there are fewer, so that validation and test are not short instead. */
  private static final ImmutableMap<String, Integer> FEWER =
      ImmutableMap.of("pertainym", 2_800, "verb-noun", 3_400, "verb-frame", 3_600);

  @Spec private CommandSpec spec;

  @Option(
      names = "--dictionary",
      required = true,
      paramLabel = "DIR",
      description = "With data.noun, index.noun and so on.")
  private Path dictionary;

  @Option(
      names = "--output",
      required = true,
      paramLabel = "DIR",
      description = "Gets a folder for each task.")
  private Path output;

  @Option(names = "--seed", paramLabel = "N", description = "Of the draws and the splits.")
  private long seed = 1;

  /** Returns the tasks' names. */
  public static ImmutableSet<String> names() {
    return TaskMaker.TASKS.keySet();
  }

  @Override
  public Integer call() throws IOException {
    WordNet wordNet = WordNet.read(dictionary);
    PrintWriter out = spec.commandLine().getOut();
    out.println("task, classes, majority share in test, train / validation / test rows");
    for (String task : names()) {
      int[] rows = {FEWER.getOrDefault(task, TRAIN), VALIDATION, TEST};
      Splits splits = Splits.of(TaskMaker.candidates(wordNet, task, seed), rows, seed);
      write(splits, output.resolve(task));
      Map<String, Long> answers =
          splits.test().stream()
              .collect(Collectors.groupingBy(Candidate::completion, Collectors.counting()));
      boolean open = splits.test().stream().allMatch(c -> c.label().isEmpty());
      long most = answers.values().stream().mapToLong(n -> n).max().orElse(0);
      out.printf(
          "%s, %s, %.3f, %d / %d / %d%n",
          task,
          open ? "open" : String.valueOf(answers.size()),
          most / Math.max(1.0, splits.test().size()),
          splits.train().size(),
          splits.validation().size(),
          splits.test().size());
    }
    out.flush();
    return 0;
  }

  private static void write(Splits splits, Path directory) throws IOException {
    Files.createDirectories(directory);
    AtomicFiles.writeString(directory.resolve("train.jsonl"), lines(splits.train()));
    AtomicFiles.writeString(directory.resolve("validation.jsonl"), lines(splits.validation()));
    AtomicFiles.writeString(directory.resolve("test.jsonl"), lines(splits.test()));
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
