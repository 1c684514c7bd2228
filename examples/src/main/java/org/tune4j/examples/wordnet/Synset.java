package org.tune4j.examples.wordnet;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.stream.Stream;

/**
 * A set of synonyms read from a line of a data file (wndb(5WN)).
 *
 * @param key part of speech (n, v, a, r) and byte offset, unique in the dictionary
 * @param category the lexicographer file's number
 * @param words the lemmas, with spaces for underscores, without syntactic markers
 * @param pointers to other synsets
 * @param frames the numbers of a verb's sentence frames
 * @param gloss the definition, without the examples that follow it
 */
record Synset(
    String key,
    int category,
    ImmutableList<String> words,
    ImmutableList<Pointer> pointers,
    ImmutableSet<Integer> frames,
    String gloss) {
  /**
   * A relation to another synset.
   *
   * @param symbol the relation, e.g. {@code @} for a hypernym
   * @param target the other synset's key
   * @param from one-based index of the related word; 0 if the whole synset is related
   * @param to likewise in the target
   */
  record Pointer(String symbol, String target, int from, int to) {}

  /** Returns the part of speech: n, v, a (including satellites) or r. */
  char partOfSpeech() {
    return key.charAt(0);
  }

  /** Returns the synset's first, usually most frequent, lemma. */
  String name() {
    return words.get(0);
  }

  /** Returns the pointers of one relation. */
  Stream<Pointer> pointers(String symbol) {
    return pointers.stream().filter(p -> p.symbol().equals(symbol));
  }
}
