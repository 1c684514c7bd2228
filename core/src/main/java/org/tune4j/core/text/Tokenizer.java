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
 * A model's tokenizer, loaded as in transformers 5 from the {@code tokenizer.json} beside its
 * weights (Hugging Face tokenizers) and what {@code tokenizer_config.json} adds. Never truncates,
 * pads or opens a connection. Thread-safe.
 *
 * <p>An unpaired surrogate is read as U+FFFD.
 */
public final class Tokenizer implements AutoCloseable {
  private static final char REPLACEMENT = '\uFFFD';

  static {
    // otherwise DJL queries and reports the cloud's metadata when the first tokenizer is created,
    // and downloads a library where it finds CUDA
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
   * A token decoded in front of others, so that decoding does not strip their leading space.
   *
   * @param text what {@code id} decodes to
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
   * Loads the tokenizer of a model directory, with the special tokens from {@code
   * tokenizer_config.json}, {@code generation_config.json} and {@code config.json}.
   *
   * @throws java.nio.file.NoSuchFileException if there is no tokenizer.json
   * @throws MalformedFileException if a file is malformed, or asks for something unsupported
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

  /** The native library is missing; the file is not to blame. */
  private static IOException withoutLibrary(Path file, Throwable failure) {
    Path cache = Utils.getEngineCacheDir("tokenizers");
    String why = Throwables.getRootCause(failure).toString();
    try {
      Files.createDirectories(cache);
    } catch (IOException e) {
      why = "the folder cannot be created (" + e + ")";
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

  /** Returns the {@code tokenizer.json} that it was loaded from. */
  public Path file() {
    return file;
  }

  /** Returns the highest token id plus one. */
  public int size() {
    return size;
  }

  /**
   * Returns the tokens at which generation ends: the tokenizer's {@code eos_token}, then those of
   * {@code generation_config.json} and {@code config.json}. Training appends the first.
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
   * Returns whether a token was added to the learned vocabulary and is not blank: special tokens,
   * turn markers and the like.
   */
  public boolean isMark(int id) {
    String content = added.get(id);
    return content != null && !content.isBlank();
  }

  /** Returns a token's text, for messages. */
  public String token(int id) {
    String content = added.get(id);
    return content != null ? content : decode(new int[] {id}, false);
  }

  /**
   * Returns the ids of a text, with the special tokens of the tokenizer's post-processor if {@code
   * addSpecialTokens}.
   */
  public int[] encode(String text, boolean addSpecialTokens) {
    return encoded(text, addSpecialTokens, e -> ids(TokenizersLibrary.LIB.getTokenIds(e)));
  }

  /** Returns the ids of a text as Hugging Face's {@code tokenizer(text)} gives them. */
  public int[] encode(String text) {
    return encode(text, true);
  }

  /**
   * Returns the ids of a text that is to be continued: like {@link #encode(String)}, without an end
   * token that the post-processor appends.
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

  /** Like {@link #encode(String, boolean)}, with the range of text that each token covers. */
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
   * Reads only what is needed of an encoding, by the library's low-level calls: its {@code
   * Encoding} copies everything, token texts included, which takes half of the time.
   */
  private <T> T encoded(String text, boolean addSpecialTokens, LongFunction<T> reader) {
    long encoding =
        TokenizersLibrary.LIB.encode(tokenizer.getHandle(), wellFormed(text), addSpecialTokens);
    try {
      return reader.apply(encoding);
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
   * The tokenizer counts code points: returns the UTF-16 offset of each and of the end; null if
   * both counts agree.
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

  /**
   * Replaces each unpaired surrogate by one U+FFFD, where the native library would produce three.
   */
  private static String wellFormed(String text) {
    StringBuilder fixed = null;
    for (int i = 0; i < text.length(); i++) {
      if (Character.isSurrogate(text.charAt(i))) {
        if (Character.isSurrogatePair(
            text.charAt(i), i + 1 < text.length() ? text.charAt(i + 1) : 0)) {
          i++;
        } else {
          fixed = fixed == null ? new StringBuilder(text) : fixed;
          fixed.setCharAt(i, REPLACEMENT);
        }
      }
    }
    return fixed == null ? text : fixed.toString();
  }

  /** Decodes ids at the beginning of a text. */
  public String decode(int[] ids, boolean skipSpecialTokens) {
    long[] longs = new long[ids.length];
    for (int i = 0; i < ids.length; i++) {
      longs[i] = ids[i];
    }
    return tokenizer.decode(longs, skipSpecialTokens);
  }

  /**
   * Decodes ids that continue a text, without special tokens. The space in front of the first word
   * is kept, which SentencePiece decoders strip at the beginning of a text.
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

  /** Returns a decoder of a growing sequence that continues a text. */
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
      if (!text.isEmpty() && text.charAt(text.length() - 1) == REPLACEMENT) {
        return "";
      }
      return rest(text);
    }

    /** Returns the text held back so far. */
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
