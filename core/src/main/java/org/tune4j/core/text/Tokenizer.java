package org.tune4j.core.text;

import static java.nio.charset.StandardCharsets.UTF_8;

import ai.djl.engine.EngineException;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.djl.huggingface.tokenizers.jni.CharSpan;
import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import ai.djl.util.Utils;
import com.google.common.base.Throwables;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.LongFunction;
import org.tune4j.core.io.MalformedFileException;

/**
 * A model's tokenizer, from the {@code tokenizer.json} beside its weights (Hugging Face tokenizers)
 * and what {@code tokenizer_config.json} declares on top, as transformers 5 loads the two. Never
 * truncates, never pads, never opens a connection. Thread-safe.
 *
 * <p>Texts are Unicode: half a surrogate pair is read as U+FFFD.
 */
public final class Tokenizer implements AutoCloseable {
  private static final char UNFINISHED = '\uFFFD';

  static {
    // DJL asks the cloud's metadata service who this machine is, and reports it, when the first
    // tokenizer is made; and where it finds CUDA, it downloads a library for that
    setUnlessSet("OPT_OUT_TRACKING", "true");
    setUnlessSet("RUST_FLAVOR", "cpu");
  }

  private static void setUnlessSet(String property, String value) {
    if (System.getProperty(property) == null) {
      System.setProperty(property, value);
    }
  }

  private final Path file;
  private final HuggingFaceTokenizer tokenizer;
  private final int size;
  private final ImmutableMap<Integer, String> added;
  private final OptionalInt bos;
  private final OptionalInt pad;
  private final ImmutableSet<Integer> eos;
  private final int appended;
  private final Optional<Anchor> anchor;

  /**
   * A token before others keeps the space in front of them, which decoding would take off.
   *
   * @param id of the token
   * @param text what it decodes to
   */
  private record Anchor(int id, String text) {}

  private Tokenizer(TokenizerFiles files, HuggingFaceTokenizer tokenizer) {
    this.file = files.file();
    this.tokenizer = tokenizer;
    this.size = files.size();
    this.added = files.added();
    this.bos = files.bos();
    this.pad = files.pad();
    this.eos = files.eos();
    this.appended = trailing(tokenize("a", true));
    this.anchor = files.decodingStripsSpace() ? findAnchor() : Optional.empty();
  }

  /**
   * Loads the tokenizer of a model directory, and from {@code tokenizer_config.json}, {@code
   * generation_config.json} and {@code config.json} the special tokens.
   *
   * @throws java.nio.file.NoSuchFileException if there is no tokenizer.json
   * @throws MalformedFileException if a file cannot be understood, or asks for what is not done
   */
  public static Tokenizer load(Path directory) throws IOException {
    TokenizerFiles files = TokenizerFiles.read(directory);
    HuggingFaceTokenizer tokenizer;
    try {
      tokenizer =
          HuggingFaceTokenizer.newInstance(
              new ByteArrayInputStream(files.json().getBytes(UTF_8)),
              Map.of("addSpecialTokens", "false", "truncation", "false", "padding", "false"));
    } catch (EngineException | LinkageError e) {
      throw withoutLibrary(files.file(), e);
    } catch (RuntimeException e) {
      throw new MalformedFileException(
          files.file(),
          "",
          "a tokenizer that cannot be loaded: " + e.getMessage(),
          "a Hugging Face tokenizer",
          e);
    }
    return new Tokenizer(files, tokenizer);
  }

  /** The native library is missing, which is no fault of the file. */
  private static IOException withoutLibrary(Path file, Throwable failure) {
    Path cache = Utils.getEngineCacheDir("tokenizers");
    String why = Throwables.getRootCause(failure).toString();
    try {
      Files.createDirectories(cache);
    } catch (IOException e) {
      why = "the folder cannot be written (" + e + ")";
    }
    return new IOException(
        "the native library that reads %s cannot be extracted to %s and loaded from there; DJL_CACHE_DIR names another folder: %s"
            .formatted(file, cache, why),
        failure);
  }

  private Optional<Anchor> findAnchor() {
    for (char c = '!'; c <= '~'; c++) {
      int[] ids = encode(String.valueOf(c), false);
      String text = String.valueOf(c);
      if (ids.length > 0) {
        int id = ids[ids.length - 1];
        if (decode(new int[] {id, id}, false).equals(text + text)) {
          return Optional.of(new Anchor(id, text));
        }
      }
    }
    return Optional.empty();
  }

  /** Returns the file that it was loaded from. */
  public Path file() {
    return file;
  }

  /** Returns the highest token id plus one. */
  public int size() {
    return size;
  }

  /**
   * Returns the tokens that end a text, at any of which generation ends: the tokenizer's {@code
   * eos_token}, then those of {@code generation_config.json} and {@code config.json}. The first is
   * what training appends.
   */
  public ImmutableSet<Integer> eos() {
    return eos;
  }

  /** Returns the id that begins a text, if there is one. */
  public OptionalInt bos() {
    return bos;
  }

  /** Returns the padding id, if there is one. */
  public OptionalInt pad() {
    return pad;
  }

  /**
   * Returns whether a token stands in texts as it is, on top of the vocabulary that was learned:
   * special tokens, marks of turns, and others that are not blank.
   */
  public boolean isMark(int id) {
    String content = added.get(id);
    return content != null && !content.isBlank();
  }

  /** Returns a token as the vocabulary or the list of added tokens has it, for messages. */
  public String token(int id) {
    String content = added.get(id);
    return content != null ? content : decode(new int[] {id}, false);
  }

  /**
   * Returns the ids of a text, with special tokens around it where the tokenizer's post-processor
   * adds them and it is asked for.
   */
  public int[] encode(String text, boolean addSpecialTokens) {
    return encoded(text, addSpecialTokens, e -> ids(TokenizersLibrary.LIB.getTokenIds(e)));
  }

  /** Returns the ids of a text as Hugging Face's {@code tokenizer(text)} gives them. */
  public int[] encode(String text) {
    return encode(text, true);
  }

  /**
   * Returns the ids of a text that is to go on: like {@link #encode(String)}, without an end token
   * that the post-processor puts after it.
   */
  public int[] encodePrompt(String text) {
    int[] ids = encode(text, true);
    return appended == 0 ? ids : Arrays.copyOf(ids, Math.max(0, ids.length - appended));
  }

  private static int trailing(TokenizedText tokens) {
    int n = tokens.ids().length;
    int kept = n;
    while (kept > 0 && tokens.start()[kept - 1] < 0) {
      kept--;
    }
    return n - kept;
  }

  /** Like {@link #encode(String, boolean)}, with the part of the text that each token covers. */
  public TokenizedText tokenize(String text, boolean addSpecialTokens) {
    return encoded(
        text,
        addSpecialTokens,
        e ->
            tokenized(
                text,
                ids(TokenizersLibrary.LIB.getTokenIds(e)),
                TokenizersLibrary.LIB.getTokenCharSpans(e)));
  }

  private static TokenizedText tokenized(String text, int[] ids, CharSpan[] spans) {
    int[] start = new int[spans.length];
    int[] end = new int[spans.length];
    int[] offsets = offsets(text);
    for (int i = 0; i < spans.length; i++) {
      CharSpan span = spans[i];
      start[i] = span == null ? -1 : offsets == null ? span.getStart() : offsets[span.getStart()];
      end[i] = span == null ? -1 : offsets == null ? span.getEnd() : offsets[span.getEnd()];
    }
    return new TokenizedText(ids, start, end);
  }

  /**
   * Takes from an encoding what is needed, by the library's own calls: its {@code Encoding} copies
   * all there is, tokens' texts included, which takes half of the time.
   */
  private <T> T encoded(String text, boolean addSpecialTokens, LongFunction<T> taken) {
    long encoding =
        TokenizersLibrary.LIB.encode(tokenizer.getHandle(), wellFormed(text), addSpecialTokens);
    try {
      return taken.apply(encoding);
    } finally {
      TokenizersLibrary.LIB.deleteEncoding(encoding);
    }
  }

  private static int[] ids(long[] ids) {
    int[] out = new int[ids.length];
    for (int i = 0; i < ids.length; i++) {
      out[i] = (int) ids[i];
    }
    return out;
  }

  /**
   * The tokenizer counts code points: returns the UTF-16 offset of each, and of the end; null if
   * they are the same.
   */
  private static int[] offsets(String text) {
    int points = text.codePointCount(0, text.length());
    if (points == text.length()) {
      return null;
    }
    int[] offsets = new int[points + 1];
    for (int i = 0, at = 0; i < points; i++) {
      offsets[i] = at;
      at += Character.charCount(text.codePointAt(at));
    }
    offsets[points] = text.length();
    return offsets;
  }

  /** One character for each half of a surrogate pair, where the native library would make three. */
  private static String wellFormed(String text) {
    StringBuilder fixed = null;
    for (int i = 0; i < text.length(); i++) {
      if (Character.isSurrogate(text.charAt(i))) {
        if (Character.isSurrogatePair(
            text.charAt(i), i + 1 < text.length() ? text.charAt(i + 1) : 0)) {
          i++;
        } else {
          fixed = fixed == null ? new StringBuilder(text) : fixed;
          fixed.setCharAt(i, UNFINISHED);
        }
      }
    }
    return fixed == null ? text : fixed.toString();
  }

  /** Returns the text of ids that stand at the beginning of a text. */
  public String decode(int[] ids, boolean skipSpecialTokens) {
    long[] longs = new long[ids.length];
    for (int i = 0; i < ids.length; i++) {
      longs[i] = ids[i];
    }
    return tokenizer.decode(longs, skipSpecialTokens);
  }

  /**
   * Returns the text of ids that go on with a text, special tokens left out: a space in front of
   * the first word stays, which decoders of SentencePiece's kind take off a beginning.
   */
  public String decodeContinuation(int[] ids) {
    if (anchor.isPresent()) {
      int[] anchored = new int[ids.length + 1];
      anchored[0] = anchor.get().id();
      System.arraycopy(ids, 0, anchored, 1, ids.length);
      String text = decode(anchored, true);
      if (text.startsWith(anchor.get().text())) {
        return text.substring(anchor.get().text().length());
      }
    }
    return decode(ids, true);
  }

  /** Returns a decoder of a growing sequence that goes on with a text. */
  public StreamingDecoder streaming() {
    return new StreamingDecoder();
  }

  /** Decodes token after token, holding back bytes of unfinished characters. Not thread-safe. */
  public final class StreamingDecoder {
    private int[] ids = new int[16];
    private int count;
    private int emitted;

    private StreamingDecoder() {}

    /** Returns the text that this token completes; may be empty. */
    public String add(int id) {
      if (count == ids.length) {
        ids = Arrays.copyOf(ids, 2 * count);
      }
      ids[count++] = id;
      String text = text();
      if (!text.isEmpty() && text.charAt(text.length() - 1) == UNFINISHED) {
        return "";
      }
      return rest(text);
    }

    /** Returns what was held back. */
    public String finish() {
      return rest(text());
    }

    /** Returns all text so far. */
    public String text() {
      return decodeContinuation(Arrays.copyOf(ids, count));
    }

    private String rest(String text) {
      String fresh = text.length() > emitted ? text.substring(emitted) : "";
      emitted = Math.max(emitted, text.length());
      return fresh;
    }
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
