package org.tune4j.examples.wordnet;

import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * A division of nouns into classes: a class consists of the hyponyms of its roots.
 *
 * @param roots the synsets' keys by class
 */
record Kinds(ImmutableMap<String, ImmutableSet<String>> roots) {
  /** The roots include the genera, which are not hyponyms of the animals themselves. */
  static final Kinds ANIMALS =
      new Kinds(
          ImmutableMap.of(
              "mammal", ImmutableSet.of("n1861778", "n1864707"),
              "bird", ImmutableSet.of("n1503061", "n1507175"),
              "fish", ImmutableSet.of("n2512053", "n1432517"),
              "insect", ImmutableSet.of("n1767661", "n1762525"), // all arthropods
              "reptile", ImmutableSet.of("n1661091", "n1657723")));

  static final Kinds ARTIFACTS =
      new Kinds(
          ImmutableMap.of(
              "device", ImmutableSet.of("n3183080"),
              "building", ImmutableSet.of("n4341686"),
              "clothing", ImmutableSet.of("n3051540"),
              "container", ImmutableSet.of("n3094503"),
              "vehicle", ImmutableSet.of("n3100490"),
              "drug", ImmutableSet.of("n3247620"),
              "tool", ImmutableSet.of("n3563967")));

  static final Kinds PERSONS =
      new Kinds(
          ImmutableMap.of(
              "writer", ImmutableSet.of("n10794014"),
              "scientist", ImmutableSet.of("n10560637"),
              "leader", ImmutableSet.of("n9623038"),
              "performer", ImmutableSet.of("n9616922"),
              "artist", ImmutableSet.of("n9812338"),
              "deity", ImmutableSet.of("n9505418"),
              "criminal", ImmutableSet.of("n9633969"),
              "worker", ImmutableSet.of("n9632518"),
              "inhabitant", ImmutableSet.of("n9620078")));

  static final Kinds WORDS =
      new Kinds(
          ImmutableMap.of(
              "animal", ImmutableSet.of("n15388"),
              "plant", ImmutableSet.of("n17222"),
              "person", ImmutableSet.of("n7846"),
              "artifact", ImmutableSet.of("n21939"),
              "place", ImmutableSet.of("n27167"),
              "substance", ImmutableSet.of("n20090"),
              "act", ImmutableSet.of("n30358"),
              "state", ImmutableSet.of("n24720")));

  /** Names of the topics in WordNet that belong to a field. */
  static final ImmutableMap<String, ImmutableSet<String>> FIELDS =
      ImmutableMap.<String, ImmutableSet<String>>builder()
          .put("law", ImmutableSet.of("law", "jurisprudence", "crime"))
          .put("military", ImmutableSet.of("military", "terrorism"))
          .put(
              "physics",
              ImmutableSet.of(
                  "physics",
                  "chemistry",
                  "astronomy",
                  "geology",
                  "electricity",
                  "electronics",
                  "meteorology",
                  "chemical element"))
          .put(
              "biology",
              ImmutableSet.of(
                  "biology",
                  "genetics",
                  "botany",
                  "zoology",
                  "physiology",
                  "biochemistry",
                  "anatomy",
                  "plant",
                  "animal"))
          .put(
              "computing",
              ImmutableSet.of(
                  "computer science",
                  "computer",
                  "mathematics",
                  "statistics",
                  "logic",
                  "geometry",
                  "arithmetic"))
          .put(
              "religion",
              ImmutableSet.of(
                  "Roman Catholic",
                  "Judaism",
                  "Christianity",
                  "Old Testament",
                  "New Testament",
                  "Greek mythology",
                  "Roman mythology",
                  "Norse mythology",
                  "religion",
                  "Hinduism",
                  "Bible",
                  "Islam",
                  "mythology",
                  "theology"))
          .put(
              "arts",
              ImmutableSet.of(
                  "music",
                  "art",
                  "theater",
                  "film",
                  "poetry",
                  "literature",
                  "painting",
                  "dance",
                  "drama",
                  "dramaturgy",
                  "performing arts",
                  "photography",
                  "architecture"))
          .put(
              "sport",
              ImmutableSet.of(
                  "baseball",
                  "sport",
                  "golf",
                  "football",
                  "American football",
                  "tennis",
                  "boxing",
                  "chess",
                  "basketball",
                  "ice hockey",
                  "card game",
                  "game",
                  "cricket",
                  "soccer"))
          .put(
              "medicine",
              ImmutableSet.of(
                  "medicine",
                  "surgery",
                  "psychiatry",
                  "pathology",
                  "dentistry",
                  "pharmacology",
                  "psychology",
                  "psychoanalysis"))
          .put(
              "business",
              ImmutableSet.of(
                  "commerce",
                  "finance",
                  "economics",
                  "accounting",
                  "banking",
                  "industry",
                  "stock exchange",
                  "business",
                  "commercial enterprise"))
          .buildOrThrow();

  /**
   * Returns the class of a synset with these ancestors (including itself), if there is exactly one.
   */
  Optional<String> of(Set<String> ancestors) {
    List<String> found = new ArrayList<>();
    roots.forEach(
        (kind, of) -> {
          if (of.stream().anyMatch(ancestors::contains)) {
            found.add(kind);
          }
        });
    return found.size() == 1 ? Optional.of(found.get(0)) : Optional.empty();
  }
}
