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
 * Turns examples into tokens. Prompt and completion are tokenized as one text, followed by the
 * tokenizer's end token unless it is already there, and divided by the characters that tokens
 * cover: a token that straddles prompt and completion is learned, as it has to be generated.
 * Conversations go through the model's chat template and {@link ChatEncoder}.
 */
public final class ExampleEncoder implements TaskEncoder {
  /** What happens to an example longer than the context. */
  public enum LengthPolicy {
    /**
     * Drops the prompt's first tokens, except a beginning-of-text token (of a text, the last ones);
     * an example whose completion alone is too long is skipped.
     */
    TRUNCATE_PROMPT,
    /** Leaves the example out. */
    SKIP,
    /** Throws an {@link IllegalArgumentException}. */
    FAIL
  }

  /**
   * A prompt with several completions, each tokenized together with the prompt as one text.
   *
   * @param trunk the common prefix of all, none of it learned
   * @param continuations each completion's tokens after the trunk, including the end token
   * @param unlearned how many of each continuation's first tokens still belong to the prompt
   */
  public record Choices(int[] trunk, int[][] continuations, int[] unlearned) {
    /** Returns the number of learned tokens of a completion. */
    public int learned(int completion) {
      return continuations[completion].length - unlearned[completion];
    }
  }

  private static final int BATCH = 64;

  /**
   * Examples between two reports of progress and checks for cancellation, unless {@link
   * #PROGRESS_NANOS} pass first.
   */
  private static final int PROGRESS_EXAMPLES = 512;

  private static final long PROGRESS_NANOS = 2_000_000_000L;

  private final Tokenizer tokenizer;
  private final Optional<ChatEncoder> chat;
  private final int maxLength;
  private final LengthPolicy policy;
  private final LearnedTurns learnedTurns;
  private final int vocabulary;
  private final int eos;

  /**
   * Creates an encoder that learns all turns, for any vocabulary.
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
   * Creates an encoder.
   *
   * @param maxLength most tokens of an example, at least 2
   * @param learnedTurns which turns are learned where the data does not say
   * @param vocabulary size of the model's embedding; a token beyond it is an error
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

  /** Returns a copy that learns the given turns where the data does not say. */
  public ExampleEncoder learning(LearnedTurns turns) {
    return new ExampleEncoder(tokenizer, chat, maxLength, policy, turns, vocabulary);
  }

  // ---- prompts

  /** Encodes a prompt as in training examples, shortened to leave {@code room} tokens. */
  public int[] prompt(String text, int room) {
    return shorten(tokenizer.encodePrompt(text), room);
  }

  /**
   * Encodes a conversation up to where an answer begins, shortened to leave {@code room} tokens.
   *
   * @param rendered the text from {@link ChatEncoder#prompt}
   */
  public int[] conversationPrompt(String rendered, int room) {
    return shorten(tokenizer.encode(rendered, false), room);
  }

  private int[] shorten(int[] ids, int room) {
    int excess = Math.max(0, ids.length - Math.max(1, maxLength - room));
    int[] shortened = Arrays.copyOfRange(ids, excess, ids.length);
    System.arraycopy(ids, 0, shortened, 0, Math.min(leadingBos(ids), shortened.length));
    return shortened;
  }

  /** Models fail badly without the token that their texts begin with. */
  private int leadingBos(int[] ids) {
    return ids.length > 0 && tokenizer.bos().isPresent() && ids[0] == tokenizer.bos().getAsInt()
        ? 1
        : 0;
  }

  /** Encodes a completion on its own, including the end token; its length bounds generation. */
  public int[] completion(String text) {
    return withEos(tokenizer.encode(text, false));
  }

  private int[] withEos(int[] ids) {
    return ids.length > 0 && ids[ids.length - 1] == eos ? ids : Ints.concat(ids, new int[] {eos});
  }

  /**
   * Encodes a prompt with each of several completions as in training examples, shortened in front
   * so that the longest fits.
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

  /** Encodes a split without reporting progress. */
  public Result encode(Task task, Task.Split split) {
    return encode(task, split, ProgressListener.none(), () -> false);
  }

  /**
   * {@inheritDoc}
   *
   * @throws IllegalArgumentException if an example is too long and the policy is {@link
   *     LengthPolicy#FAIL}, has nothing to learn or a token beyond the model's embedding, or is a
   *     conversation that cannot be rendered; the message names it
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
    long lastReport = System.nanoTime();
    for (int from = 0; from < examples.size(); from += BATCH) {
      // not at the start: after a quick encoding, training handles the cancellation and writes a
      // checkpoint
      if (from > 0
          && (from % PROGRESS_EXAMPLES == 0 || System.nanoTime() - lastReport > PROGRESS_NANOS)) {
        lastReport = System.nanoTime();
        progress.onProgress(progress(task, split, from));
        requireNotCancelled(task, cancelled.getAsBoolean());
      }
      int end = Math.min(from + BATCH, examples.size());
      List<Outcome> outcomes =
          IntStream.range(from, end).parallel().mapToObj(i -> outcome(task, split, i)).toList();
      for (int i = from; i < end; i++) {
        Outcome outcome = outcomes.get(i - from);
        if (outcome.failure != null) {
          requireNotCancelled(task, false); // an interrupt makes rendering fail, too
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

  /**
   * An example that fits, possibly shortened; null in {@code fitting} if it is skipped or failed.
   */
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
    int[] ids = withEos(tokens.ids());
    boolean[] learned = new boolean[ids.length];
    boolean atText = false;
    for (int i = ids.length - 1; i >= 0; i--) {
      atText |= i < tokens.ids().length && tokens.start()[i] >= 0;
      learned[i] = atText ? tokens.covers(i, from, to) : ids[i] == eos;
    }
    // start with the model's beginning-of-text token, so that the first token can be learned
    if (e.prompt().isEmpty() && tokens.added() == 0 && leadingBos(ids) == 0) {
      int[] front = tokenizer.bos().stream().toArray();
      ids = Ints.concat(front, ids);
      learned = Booleans.concat(new boolean[front.length], learned);
    }
    int promptLength = Booleans.indexOf(learned, true);
    if (!completionOnly) {
      Arrays.fill(learned, true);
    }
    learned[0] = false; // the first token is never predicted
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

  /** Returns whether each message is learned: as the data says, else the chosen answers. */
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
    System.arraycopy(full.ids(), 0, ids, 0, leadingBos(full.ids()));
    boolean[] learned = Arrays.copyOfRange(full.learned(), excess, full.ids().length);
    learned[0] = false;
    return new EncodedExample(ids, learned, full.promptLength() - excess, full.example());
  }
}
