package org.tune4j.core.model;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.tune4j.core.engine.KvCache;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.Generation.Finish;
import org.tune4j.core.text.Tokenizer;

/**
 * Generation with a key/value cache: prompts are run packed and in chunks, then all unfinished
 * sequences advance by one token per step. The engine is locked for one step at a time.
 */
final class Generator {
  private static final int PREFILL_ROWS = 1024;
  private static final int MAX_SEQUENCES = 64;
  private static final long MAX_CACHE_BYTES = 512L << 20;

  private final LanguageModel model;
  private final GenerationConfig config;
  private final List<Adapter> adapters;
  private final Consumer<String> stream;
  private final BooleanSupplier cancelled;
  private final ImmutableSet<Integer> endTokens;

  Generator(
      LanguageModel model,
      GenerationConfig config,
      List<? extends Adapter> adapters,
      Consumer<String> stream,
      BooleanSupplier cancelled) {
    this.model = model.on(adapters);
    this.config = config;
    this.adapters = ImmutableList.copyOf(adapters);
    this.stream = stream;
    this.cancelled = cancelled;
    this.endTokens = config.endTokens().orElse(model.endTokens());
  }

  List<Generation> run(List<int[]> prompts) {
    List<Sequence> all = new ArrayList<>();
    for (int i = 0; i < prompts.size(); i++) {
      all.add(new Sequence(i, prompts.get(i)));
    }
    ModelConfig m = model.config();
    long bytesPerRow = 2L * m.layers() * m.kvCols() * model.engine().computeType().bytes();
    long rowLimit = Math.max(1, MAX_CACHE_BYTES / bytesPerRow);
    int from = 0;
    while (from < all.size()) {
      int to = from;
      long rows = 0;
      while (to < all.size()
          && (to == from
              || (to - from < MAX_SEQUENCES && rows + all.get(to).capacity <= rowLimit))) {
        all.get(to).cacheStart = (int) rows;
        rows += all.get(to).capacity;
        to++;
      }
      generateBatch(all.subList(from, to), (int) rows);
      from = to;
    }
    return all.stream().map(Sequence::result).toList();
  }

  private void generateBatch(List<Sequence> sequences, int rows) {
    if (cancelled()) {
      sequences.forEach(s -> s.finish(Finish.CANCELLED));
      return;
    }
    ModelConfig m = model.config();
    long bytes = 2L * m.layers() * m.kvCols() * model.engine().computeType().bytes() * rows;
    new MemoryEstimate(0, bytes, 0)
        .require("a key/value cache of " + rows + " tokens", model.engine().freeMemory());
    KvCache cache = model.step(() -> new KvCache(model.engine(), m.layers(), rows, m.kvCols()));
    try {
      prefill(sequences, cache);
      while (true) {
        List<Sequence> active = sequences.stream().filter(s -> s.finish == null).toList();
        if (active.isEmpty()) {
          return;
        }
        if (cancelled()) {
          active.forEach(s -> s.finish(Finish.CANCELLED));
          return;
        }
        int longest = active.stream().mapToInt(s -> s.length + 1).max().getAsInt();
        advance(active.stream().map(s -> new Piece(s, s.length, 1)).toList(), longest, cache);
      }
    } finally {
      model.engine().lock().lock(); // not step(): the model may have been closed meanwhile
      try {
        cache.close();
      } finally {
        model.engine().lock().unlock();
      }
    }
  }

  private void prefill(List<Sequence> sequences, KvCache cache) {
    List<Piece> pieces = new ArrayList<>();
    int room = PREFILL_ROWS;
    // a chunked prompt still is one sequence
    int longest = sequences.stream().mapToInt(s -> s.prompt.length).max().orElse(0);
    for (Sequence s : sequences) {
      for (int from = 0; from < s.prompt.length; ) {
        int count = Math.min(room, s.prompt.length - from);
        pieces.add(new Piece(s, from, count));
        from += count;
        room -= count;
        if (room == 0) {
          advance(pieces, longest, cache);
          pieces.clear();
          room = PREFILL_ROWS;
        }
      }
    }
    if (!pieces.isEmpty()) {
      advance(pieces, longest, cache);
    }
  }

  /** Tokens {@code [from, from + count)} of a sequence, whose earlier tokens are in the cache. */
  private record Piece(Sequence sequence, int from, int count) {}

  /**
   * Runs pieces through the model and samples the next token of each sequence that is complete
   * then; {@code longest} is the length of the longest sequence.
   */
  private void advance(List<Piece> pieces, int longest, KvCache cache) {
    int n = pieces.stream().mapToInt(Piece::count).sum();
    int[] ids = new int[n];
    int[] positions = new int[n];
    int[] cacheRows = new int[n];
    int[] queryStart = new int[pieces.size()];
    int[] queryLength = new int[pieces.size()];
    int[] keyStart = new int[pieces.size()];
    int[] keyLength = new int[pieces.size()];
    List<Sequence> complete = new ArrayList<>();
    int[] lastRows = new int[pieces.size()];
    int row = 0;
    for (int p = 0; p < pieces.size(); p++) {
      Piece piece = pieces.get(p);
      Sequence s = piece.sequence;
      queryStart[p] = row;
      queryLength[p] = piece.count;
      keyStart[p] = s.cacheStart;
      keyLength[p] = piece.from + piece.count;
      for (int i = piece.from; i < piece.from + piece.count; i++) {
        ids[row] = s.token(i);
        positions[row] = i;
        cacheRows[row] = s.cacheStart + i;
        row++;
      }
      s.length = piece.from + piece.count;
      if (s.pending() == 0) {
        lastRows[complete.size()] = row - 1;
        complete.add(s);
      }
    }
    Spans spans = new Spans(queryStart, queryLength, keyStart, keyLength, null);
    int[] rows = Arrays.copyOf(lastRows, complete.size());
    float[] logits = // [complete, vocabulary]
        model.step(
            () -> {
              model.on(adapters); // they may have been closed since the last token
              Tape tape = Tape.inference(model.engine());
              Routing routing = Routing.all(n, adapters);
              Tensor x =
                  model
                      .decoder()
                      .residual(
                          tape,
                          ids,
                          positions,
                          longest,
                          (t, layer, qkv, shape) ->
                              t.cachedAttention(qkv, cache, layer, cacheRows, spans, shape),
                          routing);
              return rows.length == 0
                  ? new float[0]
                  : model.engine().read(Forward.logits(model.decoder(), tape, x, rows, routing));
            });
    int vocabulary = model.config().vocabularySize();
    for (int i = 0; i < complete.size(); i++) {
      Sequence s = complete.get(i);
      s.accept(s.sampler.next(logits, i * vocabulary, vocabulary));
    }
  }

  private boolean cancelled() {
    return cancelled.getAsBoolean() || Thread.currentThread().isInterrupted();
  }

  /** One prompt and what has been generated from it. */
  private final class Sequence {
    private final int[] prompt;
    private final int capacity;
    private final Sampler sampler;
    private final List<Integer> tokens = new ArrayList<>();
    private final Optional<TextStream> text;
    private int cacheStart;
    private int length; // tokens in the cache
    private Finish finish;

    Sequence(int index, int[] prompt) {
      int context = model.config().maxPositions();
      if (prompt.length == 0) {
        throw new IllegalArgumentException(
            "prompt %d is empty: at least one token is needed".formatted(index));
      }
      if (prompt.length >= context) {
        throw new IllegalArgumentException(
            "prompt %d has %d tokens, which leaves no room to generate in the model's context of %d"
                .formatted(index, prompt.length, context));
      }
      for (int id : prompt) {
        model.passes().checkToken(id);
      }
      this.prompt = prompt;
      this.capacity = (int) Math.min((long) prompt.length + config.maxNewTokens(), context);
      this.sampler = new Sampler(config, index);
      this.text = model.tokenizerIfPresent().map(t -> new TextStream(t.streaming()));
    }

    int token(int position) {
      return position < prompt.length ? prompt[position] : tokens.get(position - prompt.length);
    }

    /** Returns the number of tokens that are not in the cache yet. */
    int pending() {
      return prompt.length + tokens.size() - length;
    }

    void accept(int token) {
      tokens.add(token);
      boolean end = endTokens.contains(token);
      if (text.isPresent() && !end && text.get().add(token)) {
        finish(Finish.STOP_SEQUENCE);
      } else if (end) {
        finish(Finish.END_TOKEN);
      } else if (tokens.size() == config.maxNewTokens()) {
        finish(Finish.LENGTH);
      } else if (prompt.length + tokens.size() == model.config().maxPositions()) {
        finish(Finish.CONTEXT_FULL);
      }
    }

    void finish(Finish reason) {
      finish = reason;
      text.ifPresent(t -> t.finish(reason == Finish.STOP_SEQUENCE));
    }

    Generation result() {
      return new Generation(
          Arrays.stream(prompt).boxed().collect(ImmutableList.toImmutableList()),
          ImmutableList.copyOf(tokens),
          text.map(t -> t.released.toString()).orElse(""),
          finish);
    }
  }

  /**
   * Streams text as it grows, holding back what may turn out to be the start of a stop sequence.
   */
  private final class TextStream {
    private final Tokenizer.StreamingDecoder decoder;
    private final StringBuilder released = new StringBuilder();
    private String held = "";

    TextStream(Tokenizer.StreamingDecoder decoder) {
      this.decoder = decoder;
    }

    /** Adds a token; returns whether a stop sequence appeared. */
    boolean add(int token) {
      return append(decoder.add(token));
    }

    private boolean append(String fresh) {
      held += fresh;
      int stopAt = Integer.MAX_VALUE;
      int keep = 0;
      for (String stop : config.stop()) {
        int at = held.indexOf(stop);
        if (at >= 0) {
          stopAt = Math.min(stopAt, at);
        }
        for (int n = Math.min(stop.length() - 1, held.length()); n > keep; n--) {
          if (held.endsWith(stop.substring(0, n))) {
            keep = n;
          }
        }
      }
      boolean stopped = stopAt < Integer.MAX_VALUE;
      release(stopped ? stopAt : held.length() - keep);
      return stopped;
    }

    void finish(boolean stopped) {
      if (!stopped && !append(decoder.finish())) {
        release(held.length());
      }
    }

    private void release(int length) {
      if (length > 0) {
        String out = held.substring(0, length);
        held = held.substring(length);
        released.append(out);
        stream.accept(out);
      }
    }
  }
}
