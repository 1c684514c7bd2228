package org.tune4j.examples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Generation;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.text.ChatOptions;
import org.tune4j.core.text.Message;
import org.tune4j.examples.common.ModelOptions;
import org.tune4j.lora.PeftFormat;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Visibility;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Continues a prompt with a model and adapters, and streams the text. */
@Command(
    name = "generate",
    description = {
      "Continues a prompt with a base model and, if given, adapters in PEFT's format. The text is streamed to standard output; everything else goes to standard error.",
      "Greedy unless --temperature is given."
    })
public final class Generate implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private ModelOptions model;

  @Parameters(
      arity = "0..1",
      paramLabel = "PROMPT",
      description = "The prompt. Default: all of standard input.")
  private String prompt;

  @Option(
      names = "--adapter",
      showDefaultValue = Visibility.NEVER,
      paramLabel = "DIR",
      description = "Adapter to apply; several are applied in order.")
  private List<Path> adapters = List.of();

  @Option(
      names = "--chat",
      description =
          "Treat the prompt as a user message and render it with the model's chat template.")
  private boolean chat;

  @Option(names = "--system", paramLabel = "TEXT", description = "With --chat, the system message.")
  private String system;

  @Mixin private ChatArguments arguments;

  @Option(
      names = "--max-tokens",
      paramLabel = "N",
      defaultValue = "128",
      description = "Maximum number of tokens to generate.")
  private int maxTokens;

  @Option(
      names = "--temperature",
      paramLabel = "X",
      defaultValue = "0",
      description = "Sample from softmax(logits / X); 0: always take the most likely token.")
  private double temperature;

  @Option(
      names = "--top-k",
      paramLabel = "N",
      defaultValue = "0",
      description = "Sample from the N most likely tokens only; 0: from all.")
  private int topK;

  @Option(
      names = "--top-p",
      paramLabel = "P",
      defaultValue = "1",
      description = "Sample from the smallest set of tokens with total probability P only.")
  private double topP;

  @Option(
      names = "--stop",
      showDefaultValue = Visibility.NEVER,
      paramLabel = "TEXT",
      description = "Text that ends generation; may be given several times.")
  private List<String> stop = List.of();

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "0",
      description = "Seed of the sampling.")
  private long seed;

  @Override
  public Integer call() throws IOException {
    if (system != null && !chat) {
      throw Main.usage(spec, "--system needs --chat");
    }
    if (arguments.given() && !chat) {
      throw Main.usage(spec, "--tools, --documents and --template-arg need --chat");
    }
    ChatOptions options = arguments.options(spec);
    GenerationConfig config = config();
    String text =
        prompt != null ? prompt : new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
    PrintWriter out = spec.commandLine().getOut();
    List<Adapter> loaded = new ArrayList<>();
    try (LanguageModel m = model.load()) {
      try {
        for (Path a : adapters) {
          loaded.add(PeftFormat.load(m, a.toString(), a));
        }
        long start = System.nanoTime();
        Generation g =
            chat
                ? m.chat(messages(text), options, config, loaded, this::show)
                : m.generate(text, config, loaded, this::show);
        double seconds = (System.nanoTime() - start) / 1e9;
        out.println();
        out.flush();
        PrintWriter err = spec.commandLine().getErr();
        err.printf(
            Locale.ROOT,
            "%d prompt tokens, %d generated in %.2f s (%.1f tokens/s), ended by %s%n",
            g.prompt().size(),
            g.tokens().size(),
            seconds,
            g.tokens().size() / seconds,
            g.finish().name().toLowerCase(Locale.ROOT).replace('_', ' '));
        err.flush();
      } finally {
        loaded.forEach(Adapter::close);
      }
    }
    return 0;
  }

  GenerationConfig config() {
    return GenerationConfig.builder()
        .maxNewTokens(maxTokens)
        .temperature(temperature)
        .topK(topK)
        .topP(topP)
        .stop(stop)
        .seed(seed)
        .build();
  }

  private List<Message> messages(String text) {
    Message user = Message.user(text);
    return system == null ? List.of(user) : List.of(Message.system(system), user);
  }

  private void show(String piece) {
    PrintWriter out = spec.commandLine().getOut();
    out.print(piece);
    out.flush();
  }
}
