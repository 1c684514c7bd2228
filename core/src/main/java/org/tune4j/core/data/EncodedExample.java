package org.tune4j.core.data;

/**
 * An example as tokens.
 *
 * @param ids tokens
 * @param learned whether each token is to be predicted; the first never is
 * @param promptLength tokens before the completion; for conversations and texts, before the first
 *     learned token
 * @param example index in its split
 */
public record EncodedExample(int[] ids, boolean[] learned, int promptLength, int example) {
  /** Returns the number of tokens that carry loss. */
  public int lossTokens() {
    int n = 0;
    for (boolean l : learned) {
      n += l ? 1 : 0;
    }
    return n;
  }
}
