package org.tune4j.core.data;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.base.Ascii;
import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.tune4j.core.text.ChatTemplate;
import org.tune4j.core.text.Message;
import org.tune4j.core.text.Tokenizer;

/**
 * Turns examples into tokens: prompt and completion are tokenized apart, so that the boundary never
 * falls inside a token, and the end-of-text token is appended to the completion. Conversations go
 * through the model's chat template, and the assistant's turns are learned.
 */
public final class ExampleEncoder {
  /** What happens to an example longer than the context. */
  public enum LengthPolicy {
    /**
     * The prompt loses its first tokens, but not a beginning-of-text token (a text loses its last
     * ones); an example whose completion alone is too long is skipped.
     */
    TRUNCATE_PROMPT,
    /** The example is left out. */
    SKIP,
    /** An exception. */
    FAIL
  }

  /** The outcome for a list of examples. */
  public record Result(ImmutableList<EncodedExample> examples, EncodingReport report) {}

  private final Tokenizer tokenizer;
  private final Optional<ChatTemplate> template;
  private final int maxLength;
  private final LengthPolicy policy;

  /**
   * Prepares to encode.
   *
   * @param maxLength most tokens of an example, at least 2
   */
  public ExampleEncoder(
      Tokenizer tokenizer, Optional<ChatTemplate> template, int maxLength, LengthPolicy policy) {
    checkArgument(maxLength >= 2, "maximum length is %s; it must be at least 2", maxLength);
    checkArgument(
        !tokenizer.eos().isEmpty(), "%s: no end-of-text token is known", tokenizer.file());
    this.tokenizer = tokenizer;
    this.template = template;
    this.maxLength = maxLength;
    this.policy = policy;
  }

  /** Returns the tokens of a prompt as examples have them, shortened to leave {@code room}. */
  public int[] prompt(String text, int room) {
    int[] ids = tokenizer.encode(text);
    int excess = Math.max(0, ids.length - Math.max(1, maxLength - room));
    int kept = keptInFront(ids);
    int[] shortened = Arrays.copyOfRange(ids, excess, ids.length);
    System.arraycopy(ids, 0, shortened, 0, Math.min(kept, shortened.length));
    return shortened;
  }

  /** Models are lost without the token that their texts begin with. */
  private int keptInFront(int[] ids) {
    return ids.length > 0 && tokenizer.bos().isPresent() && ids[0] == tokenizer.bos().getAsInt()
        ? 1
        : 0;
  }

  /** Returns the tokens of a completion, the end-of-text token included. */
  public int[] completion(String text) {
    int[] ids = tokenizer.encode(text, false);
    int[] ended = Arrays.copyOf(ids, ids.length + 1);
    ended[ids.length] = tokenizer.eos().iterator().next();
    return ended;
  }

  /**
   * Encodes a split of a task.
   *
   * @throws IllegalArgumentException if an example is too long and the policy is {@link
   *     LengthPolicy#FAIL}, there is nothing to learn from one, or a conversation cannot be
   *     rendered; the message says which
   */
  public Result encode(Task task, Task.Split split) {
    List<EncodedExample> out = new ArrayList<>();
    int truncated = 0;
    int skipped = 0;
    long tokens = 0;
    long lossTokens = 0;
    List<Example> examples = task.split(split);
    for (int i = 0; i < examples.size(); i++) {
      Example e = examples.get(i);
      EncodedExample full =
          e.isConversation() ? conversation(e, i) : pair(e, i, task.completionOnlyLoss());
      checkArgument(
          full.lossTokens() > 0, "%s has no token to learn from", describe(task, split, i, e));
      EncodedExample fitting = full;
      if (full.ids().length > maxLength) {
        if (policy == LengthPolicy.FAIL) {
          throw new IllegalArgumentException(
              "%s has %s tokens, more than the %s allowed"
                  .formatted(describe(task, split, i, e), full.ids().length, maxLength));
        }
        fitting =
            policy == LengthPolicy.SKIP
                ? null
                : shorten(full, e.prompt().isEmpty() && !e.isConversation());
        if (fitting == null) {
          skipped++;
          continue;
        }
        truncated++;
      }
      out.add(fitting);
      tokens += fitting.ids().length;
      lossTokens += fitting.lossTokens();
    }
    return new Result(
        ImmutableList.copyOf(out),
        new EncodingReport(out.size(), truncated, skipped, tokens, lossTokens));
  }

  private static String describe(Task task, Task.Split split, int index, Example e) {
    return "task '%s', %s example %s%s"
        .formatted(
            task.name(),
            Ascii.toLowerCase(split.name()),
            index + 1,
            e.origin().isEmpty() ? "" : " (" + e.origin() + ")");
  }

  private EncodedExample pair(Example e, int index, boolean completionOnly) {
    int[] prompt = e.prompt().isEmpty() ? start() : tokenizer.encode(e.prompt());
    int[] completion = completion(e.completion());
    int[] ids = Arrays.copyOf(prompt, prompt.length + completion.length);
    System.arraycopy(completion, 0, ids, prompt.length, completion.length);
    boolean[] learned = new boolean[ids.length];
    Arrays.fill(
        learned, completionOnly && !e.prompt().isEmpty() ? prompt.length : 1, ids.length, true);
    if (prompt.length == 0) {
      learned[0] = false;
    }
    return new EncodedExample(ids, learned, prompt.length, index);
  }

  /**
   * A text begins as the model's texts begin, so that its first token can be learned where there is
   * a beginning-of-text token.
   */
  private int[] start() {
    int[] empty = tokenizer.encode("");
    if (empty.length > 0) {
      return empty;
    }
    return tokenizer.bos().isPresent() ? new int[] {tokenizer.bos().getAsInt()} : new int[0];
  }

  private EncodedExample conversation(Example e, int index) {
    ChatTemplate chat =
        template.orElseThrow(
            () ->
                new IllegalArgumentException(
                    "%s is a conversation, but the model has no chat template"
                        .formatted(e.origin())));
    List<Message> messages = e.messages();
    String whole = chat.render(messages, false);
    int[] ids = new int[0];
    boolean[] learned = new boolean[0];
    int from = 0;
    int firstLearned = -1;
    for (int i = 0; i < messages.size(); i++) {
      boolean assistant = messages.get(i).role().equals("assistant");
      boolean last = i + 1 == messages.size();
      if (!assistant && !last) {
        continue;
      }
      // what precedes the answer, then the answer, each tokenized apart: generation sees the same
      // boundary
      if (assistant) {
        String before = chat.render(messages.subList(0, i), true);
        String upTo = last ? whole : chat.render(messages.subList(0, i + 1), false);
        if (!whole.startsWith(before)
            || !whole.startsWith(upTo)
            || before.length() < from
            || upTo.length() < before.length()) {
          throw new IllegalArgumentException(
              "%s, turn %s: the chat template changes earlier text when turns are added, so the assistant's turns cannot be told apart"
                  .formatted(e.origin(), i));
        }
        int[] context = tokenizer.encode(whole.substring(from, before.length()), false);
        int[] answer = tokenizer.encode(whole.substring(before.length(), upTo.length()), false);
        int start = ids.length + context.length;
        firstLearned = firstLearned < 0 ? start : firstLearned;
        ids = concat(concat(ids, context), answer);
        learned = Arrays.copyOf(learned, ids.length);
        Arrays.fill(learned, start, ids.length, true);
        from = upTo.length();
      }
    }
    if (ids.length > 0) {
      learned[0] = false;
    }
    return new EncodedExample(ids, learned, Math.max(0, firstLearned), index);
  }

  private static int[] concat(int[] a, int[] b) {
    int[] all = Arrays.copyOf(a, a.length + b.length);
    System.arraycopy(b, 0, all, a.length, b.length);
    return all;
  }

  /**
   * Drops tokens from the front of the prompt, or from the end of a text; null if the completion
   * alone does not fit.
   */
  private EncodedExample shorten(EncodedExample e, boolean text) {
    int excess = e.ids().length - maxLength;
    if (text) {
      return new EncodedExample(
          Arrays.copyOf(e.ids(), maxLength),
          Arrays.copyOf(e.learned(), maxLength),
          e.promptLength(),
          e.example());
    }
    if (excess >= e.promptLength()) {
      return null;
    }
    int[] ids = Arrays.copyOfRange(e.ids(), excess, e.ids().length);
    System.arraycopy(e.ids(), 0, ids, 0, keptInFront(e.ids()));
    boolean[] learned = Arrays.copyOfRange(e.learned(), excess, e.ids().length);
    learned[0] = false;
    return new EncodedExample(ids, learned, e.promptLength() - excess, e.example());
  }
}
