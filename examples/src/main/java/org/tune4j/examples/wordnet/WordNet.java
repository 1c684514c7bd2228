package org.tune4j.examples.wordnet;

import com.google.common.base.Splitter;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableListMultimap;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.tune4j.core.io.MalformedFileException;

/**
 * WordNet's dictionary, read from its {@code data.*}, {@code index.*} and {@code *.exc} files, in
 * the format of wndb(5WN).
 *
 * @param synsets by their keys, in the files' order
 * @param senses the keys of a lemma's synsets, most frequent first, by part of speech, a colon and
 *     the lemma in lower case
 * @param irregular the base forms of irregular inflected forms
 */
record WordNet(
    ImmutableMap<String, Synset> synsets,
    ImmutableListMultimap<String, String> senses,
    ImmutableListMultimap<String, String> irregular) {
  private static final ImmutableMap<String, String> FILES =
      ImmutableMap.of("noun", "n", "verb", "v", "adj", "a", "adv", "r");
  private static final Splitter FIELDS = Splitter.on(' ').omitEmptyStrings();

  /**
   * Reads the files of a directory.
   *
   * @throws MalformedFileException naming the malformed file and line
   */
  static WordNet read(Path directory) throws IOException {
    ImmutableMap.Builder<String, Synset> synsets = ImmutableMap.builder();
    ImmutableListMultimap.Builder<String, String> senses = ImmutableListMultimap.builder();
    ImmutableListMultimap.Builder<String, String> irregular = ImmutableListMultimap.builder();
    for (var file : FILES.entrySet()) {
      String pos = file.getValue();
      eachLine(
          directory.resolve("data." + file.getKey()),
          "a synset: offset, lexicographer file, type, words, pointers, | and gloss",
          line -> {
            Synset synset = synset(pos, line);
            synsets.put(synset.key(), synset);
          });
      eachLine(
          directory.resolve("index." + file.getKey()),
          "a lemma, its part of speech, counts and the offsets of its synsets",
          line -> {
            List<String> fields = FIELDS.splitToList(line);
            int count = Integer.parseInt(fields.get(2));
            int first = 6 + Integer.parseInt(fields.get(3));
            if (fields.size() != first + count) {
              throw new IllegalArgumentException(fields.size() + " fields");
            }
            for (String offset : fields.subList(first, first + count)) {
              senses.put(pos + ":" + lemma(fields.get(0)), pos + Integer.parseInt(offset));
            }
          });
      eachLine(
          directory.resolve(file.getKey() + ".exc"),
          "an inflected form and its base forms",
          line -> {
            List<String> forms = FIELDS.splitToList(line);
            if (forms.size() < 2) {
              throw new IllegalArgumentException("no base form");
            }
            forms
                .subList(1, forms.size())
                .forEach(b -> irregular.put(lemma(forms.get(0)), lemma(b)));
          });
    }
    return new WordNet(synsets.buildOrThrow(), senses.build(), irregular.build());
  }

  private interface LineReader {
    void read(String line);
  }

  private static void eachLine(Path file, String expected, LineReader reader) throws IOException {
    int number = 0;
    for (String line : Files.readAllLines(file, StandardCharsets.ISO_8859_1)) {
      number++;
      if (line.startsWith("  ")) {
        continue; // the licence
      }
      try {
        reader.read(line);
      } catch (IllegalArgumentException | IndexOutOfBoundsException e) {
        throw new MalformedFileException(
            file, "line " + number, line + " (" + e.getMessage() + ")", expected);
      }
    }
  }

  private static Synset synset(String pos, String line) {
    int bar = line.indexOf(" | ");
    if (bar < 0) {
      throw new IllegalArgumentException("no gloss");
    }
    List<String> fields = FIELDS.splitToList(line.substring(0, bar));
    int at = 4;
    ImmutableList.Builder<String> words = ImmutableList.builder();
    for (int n = Integer.parseInt(fields.get(3), 16); n > 0; n--, at += 2) {
      words.add(fields.get(at).replaceFirst("\\((a|p|ip)\\)$", "").replace('_', ' '));
    }
    ImmutableList.Builder<Synset.Pointer> pointers = ImmutableList.builder();
    int count = Integer.parseInt(fields.get(at++));
    for (; count > 0; count--, at += 4) {
      String target = fields.get(at + 2).equals("s") ? "a" : fields.get(at + 2);
      int wordNumbers = Integer.parseInt(fields.get(at + 3), 16);
      pointers.add(
          new Synset.Pointer(
              fields.get(at),
              target + Integer.parseInt(fields.get(at + 1)),
              wordNumbers >> 8,
              wordNumbers & 0xff));
    }
    ImmutableSet.Builder<Integer> frames = ImmutableSet.builder();
    if (pos.equals("v")) {
      for (int n = Integer.parseInt(fields.get(at++)); n > 0; n--, at += 3) {
        frames.add(Integer.parseInt(fields.get(at + 1)));
      }
    }
    if (at != fields.size()) {
      throw new IllegalArgumentException(
          "%d fields before the gloss; expected %d by its counts".formatted(fields.size(), at));
    }
    return new Synset(
        pos + Integer.parseInt(fields.get(0)),
        Integer.parseInt(fields.get(1)),
        words.build(),
        pointers.build(),
        frames.build(),
        definition(line.substring(bar + 3)));
  }

  /** Returns a gloss without its examples, which are quoted and follow a semicolon. */
  private static String definition(String gloss) {
    int example = gloss.indexOf("; \"");
    return (example < 0 ? gloss : gloss.substring(0, example)).strip();
  }

  private static String lemma(String word) {
    return word.replace('_', ' ').toLowerCase(Locale.ROOT);
  }

  /** Returns the keys of a lemma's synsets, the most frequent first. */
  ImmutableList<String> senses(char partOfSpeech, String word) {
    return senses.get(partOfSpeech + ":" + lemma(word));
  }

  /** Returns all synsets of a part of speech. */
  Stream<Synset> all(char partOfSpeech) {
    return synsets.values().stream().filter(s -> s.partOfSpeech() == partOfSpeech);
  }

  /** Returns the target of a pointer. */
  Synset target(Synset.Pointer pointer) {
    Synset target = synsets.get(pointer.target());
    if (target == null) {
      throw new IllegalStateException("no synset " + pointer.target() + " in the dictionary");
    }
    return target;
  }
}
