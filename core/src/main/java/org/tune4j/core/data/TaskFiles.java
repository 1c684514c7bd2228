package org.tune4j.core.data;

import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Finds and reads the files of a task, as documented in {@link Task}. */
final class TaskFiles {
  private TaskFiles() {}

  /** Returns the name of the task at a path: the directory's, or the file's without extension. */
  static String name(Path path) {
    String name = path.toAbsolutePath().normalize().getFileName().toString();
    return Files.isDirectory(path)
        ? name
        : com.google.common.io.Files.getNameWithoutExtension(name.replaceFirst("\\.gz$", ""));
  }

  static Task read(String name, Path path, TaskReader reader) throws IOException {
    if (!Files.exists(path)) {
      throw new NoSuchFileException(path.toString(), null, "no such task file or directory");
    }
    return Files.isDirectory(path) ? directory(name, path, reader) : file(name, path, reader);
  }

  static Task directory(String name, Path directory, TaskReader reader) throws IOException {
    Path train = find(directory, "train");
    if (train == null) {
      throw new NoSuchFileException(
          directory.toString(), null, "it has no train.jsonl, train.json or train.csv");
    }
    Task.Builder b = Task.builder(name);
    Path validation = null;
    for (String stem : List.of("validation", "valid", "dev")) {
      validation = validation == null ? find(directory, stem) : validation;
    }
    Path test = find(directory, "test");
    TaskReader.Contents contents = reader.readAll(train);
    List<FileReport> reports = new ArrayList<>(List.of(contents.report()));
    List<List<Example>> all = new ArrayList<>(List.of(contents.examples()));
    if (validation == null) {
      b.split(contents.examples(), 0.1, 0, 0);
    } else {
      TaskReader.Contents read = reader.readAll(validation);
      b.train(contents.examples()).validation(read.examples());
      reports.add(read.report());
      all.add(read.examples());
    }
    if (test != null) {
      TaskReader.Contents read = reader.readAll(test);
      b.test(read.examples());
      reports.add(read.report());
      all.add(read.examples());
    }
    b.reports(reports);
    return (contents.labelled() ? b.labels(completions(all)) : b).build();
  }

  static Task file(String name, Path file, TaskReader reader) throws IOException {
    TaskReader.Contents contents = reader.readAll(file);
    Task.Builder b = Task.builder(name).split(contents.examples(), 0.1, 0.1, 0);
    b.reports(List.of(contents.report()));
    return (contents.labelled() ? b.labels(completions(List.of(contents.examples()))) : b).build();
  }

  private static Set<String> completions(List<List<Example>> parts) {
    return parts.stream()
        .flatMap(List::stream)
        .map(Example::completion)
        .collect(ImmutableSet.toImmutableSet());
  }

  private static Path find(Path directory, String stem) {
    for (String extension :
        List.of(".jsonl", ".json", ".csv", ".jsonl.gz", ".json.gz", ".csv.gz")) {
      Path file = directory.resolve(stem + extension);
      if (Files.isRegularFile(file)) {
        return file;
      }
    }
    return null;
  }
}
