package org.tune4j.examples.wordnet;

import com.google.common.base.CharMatcher;
import com.google.common.base.Splitter;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.tune4j.examples.wordnet.Splits.Candidate;

/** Generates the candidates of each task. Random choices depend only on the seed. */
final class TaskMaker {
  /** Longer prompts, in characters, are dropped. At this length they have fewer than 64 tokens. */
  static final int LONGEST_PROMPT = 120;

  private static final String PHYSICAL_ENTITY = "n1930";
  private static final String ABSTRACTION = "n2137";

  private static final Splitter WORDS = Splitter.on(CharMatcher.inRange('a', 'z').negate());

  /**
   * Numbers of sentence frames (wninput(5WN)) by what follows the verb. A verb's pattern is the
   * first that contains all of its frames.
   */
  private static final ImmutableMap<String, ImmutableSet<Integer>> PATTERNS =
      ImmutableMap.of(
          "nothing", ImmutableSet.of(1, 2, 3),
          "thing", ImmutableSet.of(8, 11),
          "person", ImmutableSet.of(9, 10),
          "either", ImmutableSet.of(8, 9, 10, 11),
          "phrase", ImmutableSet.of(1, 2, 3, 4, 12, 13, 22, 27));

  private static final Pattern PLAIN = Pattern.compile("[a-z]{3,12}");

  /** The generators by task name. */
  static final ImmutableMap<String, Consumer<TaskMaker>> TASKS =
      ImmutableMap.<String, Consumer<TaskMaker>>builder()
          .put("antonym", m -> m.related("nvar", "!", "Opposite", t -> true))
          .put("pertainym", m -> m.related("a", "\\", "Of", t -> t.partOfSpeech() == 'n'))
          .put("verb-noun", m -> m.related("v", "+", "Noun", t -> t.partOfSpeech() == 'n'))
          .put("adjective-noun", m -> m.related("a", "+", "Noun", t -> t.partOfSpeech() == 'n'))
          .put("verb-hypernym", TaskMaker::verbHypernym)
          .put("part-whole", TaskMaker::partWhole)
          .put("noun-relation", TaskMaker::nounRelation)
          .put("hyponym-or-not", TaskMaker::hyponymOrNot)
          .put("verb-frame", TaskMaker::verbFrame)
          .put("verb-pattern", TaskMaker::verbPattern)
          .put("concrete-abstract", TaskMaker::concreteAbstract)
          .put("animal-kind", m -> m.kinds(Kinds.ANIMALS, "Animal", s -> true, TaskMaker::gloss))
          .put("artifact-kind", m -> m.kinds(Kinds.ARTIFACTS, "Thing", s -> true, TaskMaker::gloss))
          .put("person-kind", m -> m.kinds(Kinds.PERSONS, "Person", s -> true, TaskMaker::gloss))
          .put("word-category", m -> m.kinds(Kinds.WORDS, "Topic", m::isFirstSense, Synset::name))
          .put("domain", TaskMaker::domain)
          .put("name-from-gloss", TaskMaker::nameFromGloss)
          .put("base-form", TaskMaker::baseForm)
          .buildOrThrow();

  private final WordNet wordNet;
  private final Random random;
  private final List<Candidate> candidates = new ArrayList<>();

  private TaskMaker(WordNet wordNet, long seed) {
    this.wordNet = wordNet;
    this.random = new Random(seed);
  }

  static ImmutableList<Candidate> candidates(WordNet wordNet, String task, long seed) {
    TaskMaker maker = new TaskMaker(wordNet, seed);
    TASKS.get(task).accept(maker);
    return ImmutableList.copyOf(maker.candidates);
  }

  private void add(String question, String asked, String answer, boolean open, String... units) {
    String prompt = question + "\n" + asked + ":";
    if (prompt.length() <= LONGEST_PROMPT) {
      candidates.add(
          new Candidate(prompt, " " + answer, open ? "" : answer, ImmutableSet.copyOf(units)));
    }
  }

  private void addPair(
      Synset a, Synset b, String wordA, String wordB, String asked, String answer) {
    if (!wordA.equalsIgnoreCase(wordB)) {
      add(wordA + " / " + wordB, asked, answer, false, a.key(), b.key(), unit(wordA), unit(wordB));
    }
  }

  private static String unit(String word) {
    return word.toLowerCase(Locale.ROOT);
  }

  /** Returns the gloss without the field in parentheses that it often starts with. */
  private static String gloss(Synset synset) {
    return synset.gloss().replaceFirst("^\\([^)]*\\)\\s*", "");
  }

  private void addGloss(Synset synset, String asked, String answer) {
    add(gloss(synset), asked, answer, false, synset.key(), unit(synset.name()));
  }

  /** Asks for the word to which a word is related; each word is used once. */
  private void related(String poses, String symbol, String asked, Predicate<Synset> accepted) {
    Set<String> seen = new HashSet<>();
    poses
        .chars()
        .mapToObj(pos -> wordNet.all((char) pos))
        .flatMap(s -> s)
        .forEach(
            s ->
                s.pointers(symbol)
                    .filter(p -> p.from() > 0 && accepted.test(wordNet.target(p)))
                    .forEach(
                        p -> {
                          Synset target = wordNet.target(p);
                          String from = s.words().get(p.from() - 1);
                          String to = target.words().get(p.to() - 1);
                          if (!from.equalsIgnoreCase(to) && seen.add(from)) {
                            add(from, asked, to, true, s.key(), target.key(), unit(from), unit(to));
                          }
                        }));
  }

  private void verbHypernym() {
    wordNet
        .all('v')
        .forEach(
            s ->
                s.pointers("@")
                    .limit(1)
                    .forEach(
                        p ->
                            add(
                                s.name() + ": " + gloss(s),
                                "Way to",
                                wordNet.target(p).name(),
                                true,
                                s.key(),
                                unit(s.name()))));
  }

  private void eachNounPair(String symbol, BiConsumer<Synset, Synset> pair) {
    wordNet
        .all('n')
        .forEach(s -> s.pointers(symbol).forEach(p -> pair.accept(s, wordNet.target(p))));
  }

  /** Uses a random order, so that neither word alone gives the answer away. */
  private void partWhole() {
    eachNounPair(
        "%p",
        (whole, part) -> {
          if (random.nextBoolean()) {
            addPair(part, whole, part.name(), whole.name(), "The first is the second's", "part");
          } else {
            addPair(whole, part, whole.name(), part.name(), "The first is the second's", "whole");
          }
        });
  }

  private void nounRelation() {
    eachNounPair("@", (s, t) -> addPlainPair(s, t, "Relation", "kind"));
    eachNounPair("#p", (s, t) -> addPlainPair(s, t, "Relation", "part"));
    eachNounPair(
        "@",
        (s, parent) -> {
          List<Synset> sisters = parent.pointers("~").map(wordNet::target).toList();
          Synset sister = sisters.get(random.nextInt(sisters.size()));
          addPlainPair(s, sister, "Relation", "sister");
        });
  }

  /**
   * Uses only single words without capitals, so that neither length nor capitals give the answer
   * away.
   */
  private void addPlainPair(Synset a, Synset b, String asked, String answer) {
    if (PLAIN.matcher(a.name()).matches() && PLAIN.matcher(b.name()).matches()) {
      addPair(a, b, a.name(), b.name(), asked, answer);
    }
  }

  /** Negative examples are reversed pairs, so that both answers have the same words. */
  private void hyponymOrNot() {
    eachNounPair(
        "@",
        (s, parent) -> {
          if (random.nextBoolean()) {
            addPlainPair(s, parent, "Is a kind of", "yes");
          } else {
            addPlainPair(parent, s, "Is a kind of", "no");
          }
        });
  }

  private void verbPattern() {
    wordNet
        .all('v')
        .filter(s -> !s.frames().isEmpty())
        .forEach(
            s ->
                PATTERNS.entrySet().stream()
                    .filter(pattern -> pattern.getValue().containsAll(s.frames()))
                    .findFirst()
                    .ifPresent(
                        pattern ->
                            add(
                                s.name() + ": " + gloss(s),
                                "Takes",
                                pattern.getKey(),
                                false,
                                s.key(),
                                unit(s.name()))));
  }

  /** Uses only verbs whose frames are all of one kind; wninput(5WN) lists their numbers. */
  private void verbFrame() {
    ImmutableMap<String, ImmutableSet<Integer>> kinds =
        ImmutableMap.of("none", ImmutableSet.of(1, 2, 3), "object", ImmutableSet.of(8, 9, 10, 11));
    wordNet
        .all('v')
        .forEach(
            s ->
                kinds.forEach(
                    (kind, frames) -> {
                      if (!s.frames().isEmpty() && frames.containsAll(s.frames())) {
                        add(
                            s.name() + ": " + gloss(s),
                            "Object",
                            kind,
                            false,
                            s.key(),
                            unit(s.name()));
                      }
                    }));
  }

  private void concreteAbstract() {
    wordNet
        .all('n')
        .forEach(
            s -> {
              Set<String> above = new HashSet<>();
              ancestors(s, above);
              boolean concrete = above.contains(PHYSICAL_ENTITY);
              if (concrete != above.contains(ABSTRACTION)) {
                addGloss(s, "Concrete or abstract", concrete ? "concrete" : "abstract");
              }
            });
  }

  private void ancestors(Synset synset, Set<String> above) {
    for (Synset.Pointer pointer : synset.pointers()) {
      if ((pointer.symbol().equals("@") || pointer.symbol().equals("@i"))
          && above.add(pointer.target())) {
        ancestors(wordNet.target(pointer), above);
      }
    }
  }

  /** Asks for the class of a noun, unless the question contains its name. */
  private void kinds(
      Kinds kinds, String asked, Predicate<Synset> accepted, Function<Synset, String> question) {
    wordNet
        .all('n')
        .filter(accepted)
        .forEach(
            s -> {
              Set<String> above = new HashSet<>();
              ancestors(s, above);
              kinds
                  .of(above)
                  .filter(kind -> !question.apply(s).toLowerCase(Locale.ROOT).contains(kind))
                  .ifPresent(
                      kind -> add(question.apply(s), asked, kind, false, s.key(), unit(s.name())));
            });
  }

  /** Returns whether a synset is the most frequent sense of its name. */
  private boolean isFirstSense(Synset synset) {
    ImmutableList<String> senses = wordNet.senses(synset.partOfSpeech(), synset.name());
    return !senses.isEmpty() && senses.get(0).equals(synset.key());
  }

  /** Uses only terms of a single field, which WordNet marks by pointers to topics. */
  private void domain() {
    for (char pos : new char[] {'n', 'v', 'a', 'r'}) {
      wordNet
          .all(pos)
          .forEach(
              s -> {
                Set<String> topics =
                    s.pointers(";c").map(p -> wordNet.target(p).name()).collect(Collectors.toSet());
                List<String> fields =
                    Kinds.FIELDS.entrySet().stream()
                        .filter(f -> !Collections.disjoint(f.getValue(), topics))
                        .map(Map.Entry::getKey)
                        .toList();
                if (fields.size() == 1) {
                  addGloss(s, "Field", fields.get(0));
                }
              });
    }
  }

  /**
   * Uses only nouns whose gloss has a word with the same stem, as guessing from the meaning alone
   * is too hard.
   */
  private void nameFromGloss() {
    wordNet
        .all('n')
        .filter(s -> PLAIN.matcher(s.name()).matches() && hasStem(gloss(s), s.name()))
        .forEach(s -> add(gloss(s), "Word", s.name(), true, s.key(), unit(s.name())));
  }

  private static boolean hasStem(String gloss, String name) {
    List<String> words = WORDS.splitToList(gloss.toLowerCase(Locale.ROOT));
    return words.stream().anyMatch(word -> sameStem(word, name))
        && words.stream().noneMatch(word -> word.equals(name) || word.equals(name + "s"));
  }

  /**
   * Returns whether two words share a prefix of at least four letters and of all but four letters
   * of the shorter.
   */
  private static boolean sameStem(String a, String b) {
    int length = Math.max(4, Math.min(a.length(), b.length()) - 4);
    return a.length() >= length && b.length() >= length && a.regionMatches(0, b, 0, length);
  }

  private void baseForm() {
    wordNet
        .irregular()
        .asMap()
        .forEach(
            (form, bases) -> {
              String base = bases.iterator().next();
              if (bases.size() == 1 && !form.equals(base)) {
                add(form, "Base", base, true, form, base);
              }
            });
  }
}
