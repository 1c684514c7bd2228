package org.tune4j.eval;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.Generation;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.text.ChatEncoder;
import org.tune4j.core.text.Message;

/** Predicts by greedy generation; for a conversation, the last turn of the assistant. */
final class GeneratedPredictions {
  private static final int BATCH = 64;

  private final EvaluationRun run;
  private final Metric metric;
  private final int maxNewTokens;

  /**
   * Creates a predictor.
   *
   * @param metric scores an answer, unless it is a label
   * @param maxNewTokens most tokens of an answer; 0 for a limit based on the training completions
   */
  GeneratedPredictions(EvaluationRun run, Metric metric, int maxNewTokens) {
    this.run = run;
    this.metric = metric;
    this.maxNewTokens = maxNewTokens;
  }

  List<Prediction> of(List<Example> examples) {
    int limit = maxNewTokens > 0 ? maxNewTokens : longestCompletion() * 3 / 2 + 1;
    int room = Math.min(limit, run.texts().maxLength() / 2);
    GenerationConfig plain = GenerationConfig.greedy(limit);
    boolean conversations = examples.stream().anyMatch(Example::isConversation);
    GenerationConfig config = conversations ? run.language().untilTurnEnds(plain) : plain;
    List<Prediction> predictions = new ArrayList<>();
    for (int from = 0; from < examples.size(); from += BATCH) {
      run.requireNotCancelled();
      List<Example> chunk = examples.subList(from, Math.min(from + BATCH, examples.size()));
      List<Prompted> prompted = chunk.stream().map(e -> prompted(e, room)).toList();
      List<Generation> generated =
          run.language()
              .cancelled(run::isCancelled)
              .generateFromTokens(
                  prompted.stream().map(Prompted::ids).toList(), config, run.adapters());
      run.requireNotCancelled(); // cancelled generations are truncated
      for (int i = 0; i < chunk.size(); i++) {
        predictions.add(predicted(prompted.get(i), generated.get(i).text()));
      }
      run.reportProgress(predictions.size(), examples.size());
    }
    return predictions;
  }

  /** An example with its prompt and expected answer. */
  private record Prompted(String text, int[] ids, String expected) {}

  private Prompted prompted(Example e, int room) {
    if (!e.isConversation()) {
      return new Prompted(
          e.prompt(), run.orStart(run.texts().prompt(e.prompt(), room)), e.completion());
    }
    ChatEncoder chat =
        run.language()
            .chatEncoder()
            .orElseThrow(
                () ->
                    new IllegalArgumentException(
                        "%s is a conversation, but the model has no chat template"
                            .formatted(e.origin())));
    int last = e.lastAnswer();
    checkArgument(last >= 0, "%s: the conversation has no assistant turn", e.origin());
    String text;
    try {
      text = chat.prompt(e.messages().subList(0, last), e.options());
    } catch (IllegalArgumentException refused) {
      throw new IllegalArgumentException(e.origin() + ": " + refused.getMessage(), refused);
    }
    return new Prompted(
        text, run.texts().conversationPrompt(text, room), e.messages().get(last).content());
  }

  private Prediction predicted(Prompted prompted, String text) {
    String expected = prompted.expected();
    if (run.task().type() != Task.Type.CLASSIFICATION) {
      double score = metric.score(List.of(text), List.of(expected));
      return new Prediction(prompted.text(), expected, text, score);
    }
    String label =
        run.task().labels().stream()
            .filter(l -> l.strip().equals(text.strip()))
            .findFirst()
            .orElse(text);
    return new Prediction(prompted.text(), expected, label, label.equals(expected) ? 1 : 0);
  }

  private int longestCompletion() {
    int longest = 1;
    for (Example e : run.task().train()) {
      if (e.isConversation()) {
        for (Message m : e.messages()) {
          if (m.role().equals("assistant")) {
            longest = Math.max(longest, run.texts().completion(m.content()).length);
          }
        }
      } else {
        longest = Math.max(longest, run.texts().completion(e.completion()).length);
      }
    }
    return longest;
  }
}
