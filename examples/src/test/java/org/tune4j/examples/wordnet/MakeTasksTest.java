package org.tune4j.examples.wordnet;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableSet;
import com.google.common.collect.Sets;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.examples.wordnet.Splits.Candidate;

/** On a small extract of the dictionary, whose pointers to what it lacks are left out. */
class MakeTasksTest {
  private static final Path EXTRACT = Path.of("src/test/resources/wordnet");
  private static final int[] ROWS = {40, 10, 20};

  @Test
  void readsSynsetsAndTheOrderOfSenses() throws IOException {
    WordNet wordNet = WordNet.read(EXTRACT);
    Synset entity = wordNet.synsets().get("n1740");
    assertThat(entity.words()).containsExactly("entity");
    assertThat(entity.category()).isEqualTo(3);
    assertThat(entity.gloss()).startsWith("that which is perceived or known");
    assertThat(entity.pointers("~").map(p -> wordNet.target(p).name()))
        .contains("physical entity", "abstraction");
    assertThat(wordNet.senses('n', "physical entity")).containsExactly("n1930");
    assertThat(wordNet.all('v')).isNotEmpty().allMatch(s -> !s.frames().isEmpty());
  }

  @Test
  void namesTheFileAndLineThatIsMalformed(@TempDir Path directory) throws IOException {
    for (String pos : List.of("noun", "verb", "adj", "adv")) {
      for (String name : List.of("data." + pos, "index." + pos, pos + ".exc")) {
        Files.copy(EXTRACT.resolve(name), directory.resolve(name));
      }
    }
    Path file = directory.resolve("data.verb");
    List<String> lines = Files.readAllLines(file);
    int last = lines.size() - 1;
    lines.set(last, lines.get(last).replaceFirst(" v \\d\\d ", " v 7f "));
    Files.write(file, lines);
    assertThatThrownBy(() -> WordNet.read(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("data.verb")
        .hasMessageContaining("line " + lines.size());
  }

  @Test
  void everyTaskIsDeterminedByTheSeedAndItsSplitsShareNothing() throws IOException {
    WordNet wordNet = WordNet.read(EXTRACT);
    for (String task : MakeTasks.names()) {
      List<Candidate> candidates = TaskMaker.candidates(wordNet, task, 1);
      assertThat(candidates).as(task).isNotEmpty();
      Splits splits = Splits.of(candidates, ROWS, 1);
      assertThat(Splits.of(TaskMaker.candidates(wordNet, task, 1), ROWS, 1)).isEqualTo(splits);
      assertDisjoint(task, splits);
      assertThat(candidates).allMatch(c -> c.prompt().length() <= TaskMaker.LONGEST_PROMPT);
    }
  }

  private static void assertDisjoint(String task, Splits splits) {
    List<ImmutableSet<String>> units =
        List.of(units(splits.train()), units(splits.validation()), units(splits.test()));
    assertThat(Sets.intersection(units.get(0), units.get(1))).as(task).isEmpty();
    assertThat(Sets.intersection(units.get(0), units.get(2))).as(task).isEmpty();
    assertThat(Sets.intersection(units.get(1), units.get(2))).as(task).isEmpty();
  }

  private static ImmutableSet<String> units(List<Candidate> candidates) {
    return candidates.stream()
        .flatMap(c -> c.units().stream())
        .collect(ImmutableSet.toImmutableSet());
  }

  @Test
  void classesGetEqualSharesAndAUnitStaysInItsSplit() {
    // a chain: each example shares a unit with the next
    List<Candidate> chain =
        IntStream.range(0, 1_000)
            .mapToObj(
                i ->
                    new Candidate(
                        "p" + i,
                        " c",
                        i % 3 == 0 ? "rare" : "common",
                        ImmutableSet.of("u" + i, "u" + (i + 1))))
            .collect(Collectors.toList());
    Splits splits = Splits.of(chain, ROWS, 7);
    assertDisjoint("chain", splits);
    assertThat(splits.train()).hasSize(40);
    assertThat(splits.test()).hasSize(20);
    assertThat(splits.test().stream().filter(c -> c.label().equals("rare"))).hasSize(10);
  }

  @Test
  void promptsThatDifferByCaseAloneAreOne() {
    List<Candidate> same =
        IntStream.range(0, 100)
            .mapToObj(
                i ->
                    new Candidate(
                        (i % 2 == 0 ? "Gloss " : "gloss ") + i / 2,
                        " c",
                        "c",
                        ImmutableSet.of("u" + i)))
            .toList();
    Splits splits = Splits.of(same, ROWS, 1);
    assertThat(splits.train().size() + splits.validation().size() + splits.test().size())
        .isEqualTo(50);
  }

  @Test
  void trainingGivesWayToValidationAndTestWhereCandidatesAreFew() {
    List<Candidate> few =
        IntStream.range(0, 3_000)
            .mapToObj(i -> new Candidate("p" + i, " c", "c", ImmutableSet.of("u" + i)))
            .toList();
    Splits splits = Splits.largest(few, 1);
    assertThat(splits.validation()).hasSizeBetween(360, 400);
    assertThat(splits.test()).hasSizeBetween(720, 800);
    assertThat(splits.train()).hasSizeBetween(1_800, 1_920);
  }
}
