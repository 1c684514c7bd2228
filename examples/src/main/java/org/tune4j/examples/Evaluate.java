package org.tune4j.examples;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.ConsoleProgress;
import org.tune4j.eval.Evaluation;
import org.tune4j.eval.Evaluator;
import org.tune4j.eval.Prediction;
import org.tune4j.examples.common.ModelOptions;
import org.tune4j.lora.PeftFormat;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Visibility;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Scores a model with adapters on tasks. */
@Command(
    name = "evaluate",
    description = {
      "Scores a base model, with adapters in PEFT's format if given, on tasks: accuracy and macro-F1 of"
          + " classifications, exact match, ROUGE-L and BLEU of generations, perplexity of texts."
    })
public final class Evaluate implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private ModelOptions model;
  @Mixin private TaskOptions tasks;

  @Option(
      names = "--adapter",
      paramLabel = "DIR",
      showDefaultValue = Visibility.NEVER,
      description = "Adapter to apply; several are applied in order.")
  private List<Path> adapters = List.of();

  @Option(
      names = "--split",
      paramLabel = "NAME",
      defaultValue = "VALIDATION",
      description =
          "Split to score: ${COMPLETION-CANDIDATES}. Use validation for decisions, and test only once, at the end.")
  private Task.Split split;

  @Option(
      names = "--scoring",
      paramLabel = "NAME",
      defaultValue = "LIKELIHOOD",
      description = "How the label of a classification is predicted: ${COMPLETION-CANDIDATES}.")
  private Evaluator.Scoring scoring;

  @Option(
      names = "--json",
      paramLabel = "FILE",
      description = "File for the metrics and all predictions, as JSON.")
  private Path json;

  @Override
  public Integer call() throws IOException {
    ImmutableList<Task> read = tasks.read(model, spec.commandLine().getErr());
    PrintWriter out = spec.commandLine().getOut();
    List<Adapter> loaded = new ArrayList<>();
    List<Evaluation> all = new ArrayList<>();
    try (LanguageModel m = model.load()) {
      try {
        for (Path a : adapters) {
          loaded.add(PeftFormat.load(m, a.toString(), a));
        }
        Evaluator evaluator = evaluator(m).progress(ConsoleProgress.toStandardError());
        for (Task t : read) {
          Evaluation e = evaluator.evaluate(t, split, loaded);
          all.add(e);
          out.printf(Locale.ROOT, "%s, %.1f s%n", e, e.seconds());
          out.flush();
        }
      } finally {
        loaded.forEach(Adapter::close);
      }
    }
    if (json != null) {
      AtomicFiles.writeString(json, json(all).toPrettyString());
    }
    return 0;
  }

  Evaluator evaluator(LanguageModel m) {
    return Evaluator.of(m).classifyBy(scoring);
  }

  Task.Split split() {
    return split;
  }

  private static ArrayNode json(List<Evaluation> all) {
    ArrayNode array = JsonNodeFactory.instance.arrayNode();
    for (Evaluation e : all) {
      ObjectNode o = array.addObject();
      o.put("task", e.task()).put("split", e.split().name().toLowerCase(Locale.ROOT));
      o.put("primary", e.primary()).put("seconds", e.seconds());
      ObjectNode metrics = o.putObject("metrics");
      e.metrics().forEach(metrics::put);
      ArrayNode predictions = o.putArray("predictions");
      for (Prediction p : e.predictions()) {
        predictions
            .addObject()
            .put("prompt", p.prompt())
            .put("expected", p.expected())
            .put("predicted", p.predicted())
            .put("score", p.score());
      }
    }
    return array;
  }
}
