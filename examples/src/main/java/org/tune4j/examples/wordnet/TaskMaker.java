package org.tune4j.examples.wordnet;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.Predicate;
import org.tune4j.examples.wordnet.Splits.Candidate;

/** Makes the candidates of each task. Draws are by the seed alone. */
final class TaskMaker {
  /** Prompts of more characters are left out; those of so many have below 64 tokens. */
  static final int LONGEST_PROMPT = 120;

  private static final String PHYSICAL_ENTITY = "n1930";
  private static final String ABSTRACTION = "n2137";

  /** The tasks' names and what makes them. */
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
          .put("same-synset", TaskMaker::sameSynset)
          .put("verb-frame", TaskMaker::verbFrame)
          .put("concrete-abstract", TaskMaker::concreteAbstract)
          .put("instance-or-kind", TaskMaker::instanceOrKind)
          .put("adjective-category", TaskMaker::adjectiveCategory)
          .put("sense-ranking", TaskMaker::senseRanking)
          .put("name-from-gloss", TaskMaker::nameFromGloss)
          .buildOrThrow();

  private final WordNet wordNet;
  private final Random random;
  private final List<Candidate> candidates = new ArrayList<>();

  private TaskMaker(WordNet wordNet, long seed) {
    this.wordNet = wordNet;
    this.random = new Random(seed);
  }

  /** Returns a task's candidates. */
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

  private void addPair(Synset a, Synset b, String wordA, String wordB, String asked, String is) {
    if (!wordA.equalsIgnoreCase(wordB)) {
      add(wordA + " / " + wordB, asked, is, false, a.key(), b.key(), unit(wordA), unit(wordB));
    }
  }

  private static String unit(String word) {
    return word.toLowerCase(Locale.ROOT);
  }

  /** A gloss without the field in parentheses that often begins it. */
  private static String gloss(Synset synset) {
    return synset.gloss().replaceFirst("^\\([^)]*\\)\\s*", "");
  }

  private void addGloss(Synset synset, String asked, String answer) {
    add(gloss(synset), asked, answer, false, synset.key(), unit(synset.name()));
  }

  /** A word -> the word that a relation between words leads to; each word is asked once. */
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

  /** Either order is drawn once, so that neither word alone tells the answer. */
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
    eachNounPair("@", (s, t) -> addPair(s, t, s.name(), t.name(), "Relation", "kind"));
    eachNounPair("#p", (s, t) -> addPair(s, t, s.name(), t.name(), "Relation", "part"));
    eachNounPair("#m", (s, t) -> addPair(s, t, s.name(), t.name(), "Relation", "member"));
  }

  /** What is not a kind of it is a kind of its sibling: near, so that the topic does not tell. */
  private void hyponymOrNot() {
    eachNounPair(
        "@",
        (s, parent) -> {
          if (random.nextBoolean()) {
            addPair(s, parent, s.name(), parent.name(), "Is a kind of", "yes");
          } else {
            sibling(parent, u -> u.pointers("~").findAny().isPresent())
                .ifPresent(u -> addPair(s, u, s.name(), u.name(), "Is a kind of", "no"));
          }
        });
  }

  /** Another synset below the same one: as general or as long a name as the true answer's. */
  private Optional<Synset> sibling(Synset synset, Predicate<Synset> like) {
    List<Synset> siblings =
        synset
            .pointers("@")
            .limit(1)
            .flatMap(p -> wordNet.target(p).pointers("~"))
            .map(wordNet::target)
            .filter(s -> !s.key().equals(synset.key()) && like.test(s))
            .toList();
    return siblings.isEmpty()
        ? Optional.empty()
        : Optional.of(siblings.get(random.nextInt(siblings.size())));
  }

  private void sameSynset() {
    for (char pos : new char[] {'n', 'v'}) {
      wordNet
          .all(pos)
          .filter(s -> s.words().size() > 1)
          .forEach(
              s -> {
                if (random.nextBoolean()) {
                  addPair(s, s, s.name(), s.words().get(1), "Meaning", "same");
                } else {
                  sibling(s, u -> u.words().size() > 1)
                      .ifPresent(
                          u -> addPair(s, u, s.name(), u.words().get(1), "Meaning", "different"));
                }
              });
    }
  }

  /** Only verbs whose frames are all of one kind. The frames' numbers: wninput(5WN). */
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

  private void instanceOrKind() {
    wordNet
        .all('n')
        .forEach(
            s ->
                addGloss(
                    s,
                    "Instance or kind",
                    s.pointers("@i").findAny().isPresent() ? "instance" : "kind"));
  }

  /** Lexicographer files 00 (descriptive) and 01 (relational). */
  private void adjectiveCategory() {
    wordNet
        .all('a')
        .filter(s -> s.category() <= 1)
        .forEach(s -> addGloss(s, "Adjective", s.category() == 0 ? "descriptive" : "relational"));
  }

  /** Two nouns' or verbs' senses: the more frequent is the one that the index has first. */
  private void senseRanking() {
    wordNet
        .senses()
        .asMap()
        .forEach(
            (lemma, keys) -> {
              if (keys.size() > 1 && (lemma.startsWith("n:") || lemma.startsWith("v:"))) {
                ImmutableList<String> senses = ImmutableList.copyOf(keys);
                Synset common = wordNet.synsets().get(senses.get(0));
                Synset rare = wordNet.synsets().get(senses.get(senses.size() - 1));
                boolean first = random.nextBoolean();
                add(
                    "%s: 1 %s 2 %s"
                        .formatted(
                            lemma.substring(2),
                            gloss(first ? common : rare),
                            gloss(first ? rare : common)),
                    "Usual",
                    first ? "1" : "2",
                    false,
                    common.key(),
                    rare.key(),
                    lemma.substring(2));
              }
            });
  }

  private void nameFromGloss() {
    wordNet
        .all('n')
        .filter(s -> s.words().size() > 1 && s.name().matches("[a-z]{3,8}"))
        .forEach(s -> add(gloss(s), "Word", s.name(), true, s.key(), unit(s.name())));
  }
}
