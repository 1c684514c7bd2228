package org.tune4j.core.text;

/**
 * A text as tokens, each with the part of the text that it covers, in UTF-16 offsets. Tokens that
 * share a character, as the bytes of one do, cover all of it each; a space that the tokenizer puts
 * in front belongs to the character after it.
 *
 * @param ids tokens
 * @param start for each the offset of its first character; -1 if it is not of the text but was put
 *     around it
 * @param end for each the offset after its last character; -1 likewise
 */
public record TokenizedText(int[] ids, int[] start, int[] end) {
  /** Returns the number of tokens that were put in front of the text. */
  public int added() {
    int n = 0;
    while (n < ids.length && start[n] < 0) {
      n++;
    }
    return n;
  }

  /**
   * Returns whether a token covers any of {@code [from, to)}. One that reaches over the boundary
   * does, as in transformers' {@code return_assistant_tokens_mask}.
   */
  public boolean covers(int token, int from, int to) {
    if (start[token] < 0) {
      return false;
    }
    // of a token whose spaces were trimmed nothing is left: it stands at the end of what it covered
    return start[token] == end[token]
        ? start[token] > from && start[token] <= to
        : start[token] < to && end[token] > from;
  }
}
