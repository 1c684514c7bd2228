package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.Arrays;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;

/** Runs batches through a decoder: checks, layers, and the output head for losses or logits. */
final class Forward {
  private final ModelConfig config;
  private final ModelFiles files;

  Forward(ModelConfig config, ModelFiles files) {
    this.config = config;
    this.files = files;
  }

  /** Returns the residual stream after the last layer: F32 {@code [batch.rows(), hidden]}. */
  Tensor residual(Decoder decoder, Tape tape, Batch batch, Routing routing) {
    return decoder.residual(
        tape, batch.ids(), batch.positions(), length(batch), within(batch), routing);
  }

  private static int length(Batch batch) {
    return Arrays.stream(batch.positions()).max().orElse(0) + 1;
  }

  /**
   * Returns the cross-entropy of the rows with a target; see {@link LanguageModel#loss(Tape, Batch,
   * Routing, float[])}.
   *
   * @param x residual stream, F32 {@code [n, hidden]}
   */
  static LossResult headLoss(
      Decoder decoder, Tape tape, Tensor x, Batch batch, Routing routing, float[] rowWeights) {
    int[] rows = batch.lossRows();
    checkArgument(
        rowWeights == null || rowWeights.length == rows.length,
        "%s weights for %s rows with a target",
        rowWeights == null ? 0 : rowWeights.length,
        rows.length);
    if (rows.length == 0) {
      return new LossResult(rows, new float[0]);
    }
    float[] factors = rowWeights;
    if (factors == null) {
      factors = new float[rows.length];
      Arrays.fill(factors, 1f / rows.length);
    }
    int[] targets = Arrays.stream(rows).map(r -> batch.targets()[r]).toArray();
    Tensor selected =
        rows.length == batch.rows() ? x : tape.selectRows(x, rows); // F32 [rows, hidden]
    Tensor h = decoder.headInput(tape, decoder.finalNorm(tape, selected)); // [rows, hidden]
    return new LossResult(
        rows,
        tape.headLoss(
            h,
            decoder.head().weights(),
            routing.select(rows).on(decoder.head()),
            targets,
            factors));
  }

  /** Returns the logits of all rows of {@code x}: F32 {@code [rows, vocabulary]}. */
  static Tensor logits(Decoder decoder, Tape tape, Tensor x, Routing routing) {
    return tape.logits(
        decoder.headInput(tape, decoder.finalNorm(tape, x)),
        decoder.head().weights(),
        routing.on(decoder.head()));
  }

  /**
   * Returns the logits of some rows of the residual stream: F32 {@code [rows.length, vocabulary]}.
   *
   * @param rows ascending
   * @param routing of all rows of {@code x}
   */
  static Tensor logits(Decoder decoder, Tape tape, Tensor x, int[] rows, Routing routing) {
    return logits(decoder, tape, tape.selectRows(x, rows), routing.select(rows));
  }

  private Decoder.Attention within(Batch batch) {
    Spans spans = batch.spans();
    if (batch.branch() == null) {
      return (tape, layer, qkv, shape) -> tape.attention(qkv, spans, shape);
    }
    int longest = length(batch);
    int window = config.smallestWindow();
    checkArgument(
        window == 0 || longest <= window,
        "branches of %s tokens do not fit the sliding window of %s tokens: run them as separate segments",
        longest,
        window);
    return (tape, layer, qkv, s) ->
        tape.attention(
            qkv, spans, new AttentionShape(s.heads(), s.kvHeads(), s.headDim(), s.scale(), 0));
  }

  /** Checks that tokens are in the vocabulary and positions in the context. */
  void check(Batch batch) {
    for (int i = 0; i < batch.rows(); i++) {
      checkToken(batch.ids()[i]);
      checkPosition(batch.positions()[i]);
      if (batch.targets()[i] >= 0) {
        checkToken(batch.targets()[i]);
      }
    }
  }

  void checkToken(int id) {
    if (id < 0 || id >= config.vocabularySize()) {
      throw new IllegalArgumentException(
          "token %d%s is outside the model's vocabulary of %d"
              .formatted(
                  id,
                  id < 0 || files.tokenizer() == null
                      ? ""
                      : " ('" + files.tokenizer().token(id) + "')",
                  config.vocabularySize()));
    }
  }

  private void checkPosition(int position) {
    if (position < 0 || position >= config.maxPositions()) {
      throw new IllegalArgumentException(
          "position %d is outside the model's context of %d tokens"
              .formatted(position, config.maxPositions()));
    }
  }
}
