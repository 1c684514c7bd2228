package org.tune4j.core.data;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.base.Ascii;
import com.google.common.primitives.Booleans;
import com.google.common.primitives.Ints;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.tune4j.core.progress.Progress;
import org.tune4j.core.progress.ProgressListener;
import org.tune4j.core.text.ChatEncoder;
import org.tune4j.core.text.ChatTemplate;
import org.tune4j.core.text.Message;
import org.tune4j.core.text.TokenizedText;
import org.tune4j.core.text.Tokenizer;

/**
 * Turns examples into tokens. Prompt and completion are tokenized as one text, with the tokenizer's
 * end token after it unless it is there, and divided by the characters that tokens cover: a token
 * that reaches from the prompt into the completion is learned, as it has to be generated.
 * Conversations go through the model's chat template and {@link ChatEncoder}.
 */
public final class ExampleEncoder implements TaskEncoder {
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

  /**
   * A prompt with several completions, each of which is tokenized with the prompt as one text.
   *
   * @param trunk the tokens that all begin with, none of them learned
   * @param continuations for each completion the tokens after these, the end token included
   * @param unlearned for each completion how many of its first tokens are still the prompt's
   */
  public record Choices(int[] trunk, int[][] continuations, int[] unlearned) {
    /** Returns the number of tokens of a completion that are learned. */
    public int learned(int completion) {
      return continuations[completion].length - unlearned[completion];
    }
  }

  private static final int AT_ONCE = 64;

  /** Examples after which progress is told and cancellation asked for, sooner if they take long. */
  private static final int OFTEN = 512;

  private static final long PATIENCE_NANOS = 2_000_000_000L;

  private final Tokenizer tokenizer;
  private final Optional<ChatEncoder> chat;
  private final int maxLength;
  private final LengthPolicy policy;
  private final LearnedTurns learnedTurns;
  private final int vocabulary;
  private final int eos;

  /**
   * Prepares to encode.
   *
   * @param maxLength most tokens of an example, at least 2
   */
  public ExampleEncoder(
      Tokenizer tokenizer, Optional<ChatTemplate> template, int maxLength, LengthPolicy policy) {
    this(
        tokenizer,
        template.map(t -> new ChatEncoder(t, tokenizer)),
        maxLength,
        policy,
        LearnedTurns.ALL,
        Integer.MAX_VALUE);
  }

  /**
   * Prepares to encode.
   *
   * @param maxLength most tokens of an example, at least 2
   * @param learnedTurns where the data does not say so turn by turn
   * @param vocabulary size of the model's embedding: a token beyond is an error
   */
  public ExampleEncoder(
      Tokenizer tokenizer,
      Optional<ChatEncoder> chat,
      int maxLength,
      LengthPolicy policy,
      LearnedTurns learnedTurns,
      int vocabulary) {
    checkArgument(maxLength >= 2, "maximum length is %s; it must be at least 2", maxLength);
    checkArgument(
        !tokenizer.eos().isEmpty(), "%s: no end-of-text token is known", tokenizer.file());
    this.tokenizer = tokenizer;
    this.chat = chat;
    this.maxLength = maxLength;
    this.policy = policy;
    this.learnedTurns = learnedTurns;
    this.vocabulary = vocabulary;
    this.eos = tokenizer.eos().iterator().next();
  }

  @Override
  public int maxLength() {
    return maxLength;
  }

  /** Returns an encoder that is told which turns of a conversation are learned. */
  public ExampleEncoder learning(LearnedTurns turns) {
    return new ExampleEncoder(tokenizer, chat, maxLength, policy, turns, vocabulary);
  }

  // ---- prompts

  /** Returns the tokens of a prompt as examples have them, shortened to leave {@code room}. */
  public int[] prompt(String text, int room) {
    return shorten(tokenizer.encodePrompt(text), room);
  }

  /**
   * Returns the tokens of a conversation up to where an answer begins, shortened to leave {@code
   * room}.
   *
   * @param rendered as {@link ChatEncoder#prompt} gives it
   */
  public int[] conversationPrompt(String rendered, int room) {
    return shorten(tokenizer.encode(rendered, false), room);
  }

  private int[] shorten(int[] ids, int room) {
    int excess = Math.max(0, ids.length - Math.max(1, maxLength - room));
    int[] shortened = Arrays.copyOfRange(ids, excess, ids.length);
    System.arraycopy(ids, 0, shortened, 0, Math.min(keptInFront(ids), shortened.length));
    return shortened;
  }

  /** Models are lost without the token that their texts begin with. */
  private int keptInFront(int[] ids) {
    return ids.length > 0 && tokenizer.bos().isPresent() && ids[0] == tokenizer.bos().getAsInt()
        ? 1
        : 0;
  }

  /** Returns the tokens of a completion by itself, the end token included: how long it is. */
  public int[] completion(String text) {
    return ended(tokenizer.encode(text, false));
  }

  private int[] ended(int[] ids) {
    return ids.length > 0 && ids[ids.length - 1] == eos ? ids : Ints.concat(ids, new int[] {eos});
  }

  /**
   * Returns the tokens of a prompt with each of several completions, as training has them,
   * shortened in front so that the longest fits.
   */
  public Choices choices(String prompt, List<String> completions) {
    List<EncodedExample> all =
        completions.stream().map(c -> pair(Example.of(prompt, c), 0, true)).toList();
    int[] first = all.get(0).ids();
    int shared = first.length;
    int longest = 0;
    for (EncodedExample e : all) {
      int n = 0;
      while (n < Math.min(shared, e.promptLength()) && e.ids()[n] == first[n]) {
        n++;
      }
      shared = n;
      longest = Math.max(longest, e.ids().length);
    }
    int trunk = shared;
    int[][] continuations =
        all.stream()
            .map(e -> Arrays.copyOfRange(e.ids(), trunk, e.ids().length))
            .toArray(int[][]::new);
    return new Choices(
        shorten(Arrays.copyOf(first, trunk), longest - trunk),
        continuations,
        all.stream().mapToInt(e -> e.promptLength() - trunk).toArray());
  }

  // ---- examples

  /** Like {@link #encode(Task, Task.Split, IntConsumer, BooleanSupplier)}, telling nobody. */
  public Result encode(Task task, Task.Split split) {
    return encode(task, split, ProgressListener.none(), () -> false);
  }

  /**
   * {@inheritDoc}
   *
   * @throws IllegalArgumentException if an example is too long and the policy is {@link
   *     LengthPolicy#FAIL}, there is nothing to learn from one, it has a token that the model does
   *     not know, or a conversation cannot be rendered; the message says which
   */
  @Override
  public EncodingReport encode(
      Task task,
      Task.Split split,
      Consumer<EncodedExample> to,
      ProgressListener progress,
      BooleanSupplier cancelled) {
    int encoded = 0;
    int truncated = 0;
    int skipped = 0;
    long tokens = 0;
    long lossTokens = 0;
    int longest = 0;
    List<Example> examples = task.split(split);
    long asked = System.nanoTime();
    for (int from = 0; from < examples.size(); from += AT_ONCE) {
      // not at the start: what takes no time is left to training, which leaves a checkpoint
      if (from > 0 && (from % OFTEN == 0 || System.nanoTime() - asked > PATIENCE_NANOS)) {
        asked = System.nanoTime();
        progress.onProgress(progress(task, split, from));
        requireNotCancelled(task, cancelled.getAsBoolean());
      }
      int end = Math.min(from + AT_ONCE, examples.size());
      List<Outcome> outcomes =
          IntStream.range(from, end).parallel().mapToObj(i -> outcome(task, split, i)).toList();
      for (int i = from; i < end; i++) {
        Outcome outcome = outcomes.get(i - from);
        if (outcome.failure != null) {
          requireNotCancelled(task, false); // an interruption ends a template, too
          throw outcome.failure;
        }
        if (outcome.fitting == null) {
          skipped++;
          continue;
        }
        truncated += outcome.shortened ? 1 : 0;
        to.accept(outcome.fitting);
        encoded++;
        tokens += outcome.fitting.ids().length;
        lossTokens += outcome.fitting.lossTokens();
        longest = Math.max(longest, outcome.fitting.ids().length);
      }
    }
    progress.onProgress(progress(task, split, examples.size()));
    return new EncodingReport(encoded, truncated, skipped, tokens, lossTokens, longest);
  }

  private static Progress progress(Task task, Task.Split split, int done) {
    String name = split.name().toLowerCase(Locale.ROOT);
    return new Progress(
        "encoding %s (%s)".formatted(task.name(), name),
        done,
        task.split(split).size(),
        Progress.Unit.EXAMPLES);
  }

  private static void requireNotCancelled(Task task, boolean cancelled) {
    if (cancelled || Thread.currentThread().isInterrupted()) {
      throw new CancellationException(
          "the encoding of task '%s' was cancelled".formatted(task.name()));
    }
  }

  /** What became of an example: it fits, perhaps shortened, or is skipped, or cannot be encoded. */
  private record Outcome(EncodedExample fitting, boolean shortened, RuntimeException failure) {}

  private Outcome outcome(Task task, Task.Split split, int index) {
    Example e = task.split(split).get(index);
    try {
      EncodedExample full =
          e.isConversation()
              ? conversation(e, index, task.completionOnlyLoss())
              : pair(e, index, task.completionOnlyLoss());
      checkArgument(full.lossTokens() > 0, "has no token to learn from");
      for (int id : full.ids()) {
        checkArgument(
            id < vocabulary,
            "has token %s ('%s'), which is beyond the model's embedding of %s tokens",
            id,
            id < vocabulary ? "" : tokenizer.token(id),
            vocabulary);
      }
      if (full.ids().length <= maxLength) {
        return new Outcome(full, false, null);
      }
      checkArgument(
          policy != LengthPolicy.FAIL,
          "has %s tokens, more than the %s allowed",
          full.ids().length,
          maxLength);
      return new Outcome(policy == LengthPolicy.SKIP ? null : shorten(full, e), true, null);
    } catch (IllegalArgumentException wrong) {
      return new Outcome(
          null,
          false,
          new IllegalArgumentException(
              describe(task, split, index, e) + " " + wrong.getMessage(), wrong));
    } catch (RuntimeException other) {
      return new Outcome(null, false, other);
    }
  }

  private static String describe(Task task, Task.Split split, int index, Example e) {
    return "task '%s', %s example %d%s"
        .formatted(
            task.name(),
            Ascii.toLowerCase(split.name()),
            index + 1,
            e.origin().isEmpty() ? "" : " (" + e.origin() + ")");
  }

  private EncodedExample pair(Example e, int index, boolean completionOnly) {
    TokenizedText tokens = tokenizer.tokenize(e.prompt() + e.completion(), true);
    int from = e.prompt().length();
    int to = from + e.completion().length();
    int[] ids = ended(tokens.ids());
    boolean[] learned = new boolean[ids.length];
    boolean ofText = false;
    for (int i = ids.length - 1; i >= 0; i--) {
      ofText |= i < tokens.ids().length && tokens.start()[i] >= 0;
      learned[i] = ofText ? tokens.covers(i, from, to) : ids[i] == eos;
    }
    // a text begins as the model's texts begin, so that its first token can be learned
    if (e.prompt().isEmpty() && tokens.added() == 0 && keptInFront(ids) == 0) {
      int[] front = tokenizer.bos().stream().toArray();
      ids = Ints.concat(front, ids);
      learned = Booleans.concat(new boolean[front.length], learned);
    }
    int promptLength = Booleans.indexOf(learned, true);
    if (!completionOnly) {
      Arrays.fill(learned, true);
    }
    learned[0] = false; // nothing predicts it
    return new EncodedExample(ids, learned, promptLength, index);
  }

  private EncodedExample conversation(Example e, int index, boolean completionOnly) {
    ChatEncoder encoder =
        chat.orElseThrow(
            () ->
                new IllegalArgumentException(
                    "is a conversation, but the model has no chat template"));
    ChatEncoder.Encoded encoded;
    try {
      encoded = encoder.encode(e.messages(), e.options(), learnedTurns(e));
    } catch (IllegalArgumentException refused) {
      throw new IllegalArgumentException("cannot be rendered: " + refused.getMessage(), refused);
    }
    boolean[] learned = encoded.learned();
    int promptLength = Math.max(0, Booleans.indexOf(learned, true));
    if (!completionOnly && learned.length > 0) {
      Arrays.fill(learned, 1, learned.length, true);
    }
    return new EncodedExample(encoded.ids(), learned, promptLength, index);
  }

  /** Returns for each message whether it is learned: as the data says, else answers. */
  private boolean[] learnedTurns(Example e) {
    List<Message> messages = e.messages();
    boolean[] turns = new boolean[messages.size()];
    boolean found = false;
    for (int i = turns.length - 1; i >= e.completionStart().orElse(0); i--) {
      if (!e.learned().isEmpty()) {
        turns[i] = e.learned().get(i);
      } else if (messages.get(i).role().equals("assistant")) {
        turns[i] = learnedTurns == LearnedTurns.ALL || !found;
        found = true;
      }
    }
    return turns;
  }

  /**
   * Drops tokens from the front of the prompt, or from the end of a text; null if the completion
   * alone does not fit.
   */
  private EncodedExample shorten(EncodedExample full, Example e) {
    int excess = full.ids().length - maxLength;
    if (e.prompt().isEmpty() && !e.isConversation()) {
      return new EncodedExample(
          Arrays.copyOf(full.ids(), maxLength),
          Arrays.copyOf(full.learned(), maxLength),
          full.promptLength(),
          full.example());
    }
    if (excess >= full.promptLength()) {
      return null;
    }
    int[] ids = Arrays.copyOfRange(full.ids(), excess, full.ids().length);
    System.arraycopy(full.ids(), 0, ids, 0, keptInFront(full.ids()));
    boolean[] learned = Arrays.copyOfRange(full.learned(), excess, full.ids().length);
    learned[0] = false;
    return new EncodedExample(ids, learned, full.promptLength() - excess, full.example());
  }
}
