package org.tune4j.core.text;

/**
 * A text as tokens with the range of text that each covers, in UTF-16 offsets. Tokens that share a
 * character, such as its bytes, each cover all of it; a space that the tokenizer puts in front
 * belongs to the character after it.
 *
 * @param ids tokens
 * @param start the offset of each token's first character; -1 for special tokens that were added
 *     around the text
 * @param end the offset after each token's last character; -1 likewise
 */
public record TokenizedText(int[] ids, int[] start, int[] end) {
  /** Returns the number of tokens that were added in front of the text. */
  public int added() {
    int n = 0;
    while (n < ids.length && start[n] < 0) {
      n++;
    }
    return n;
  }

  /**
   * Returns whether a token covers any of {@code [from, to)}. One that straddles the boundary does,
   * as in transformers' {@code return_assistant_tokens_mask}.
   */
  public boolean covers(int token, int from, int to) {
    if (start[token] < 0) {
      return false;
    }
    // a token of trimmed spaces only is left with an empty range at the end of what it covered
    return start[token] == end[token]
        ? start[token] > from && start[token] <= to
        : start[token] < to && end[token] > from;
  }
}
