package org.tune4j.examples.benchmark;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Option;

/** The part of the work that one process does. */
final class Portion {
  @Option(
      names = "--scenario",
      paramLabel = "ID",
      description = "Only scenarios whose id starts with this; may be given several times.")
  private List<String> ids = new ArrayList<>();

  @Option(
      names = "--shard",
      paramLabel = "I/N",
      defaultValue = "1/1",
      description =
          "Only every N-th run, starting with the I-th, to divide the work among processes.")
  private String shard;

  /** Returns the scenarios whose ids start with one of the prefixes; all if there are none. */
  List<Scenario> scenarios() throws IOException {
    List<Scenario> wanted =
        Scenarios.all().stream()
            .filter(s -> ids.isEmpty() || ids.stream().anyMatch(s.id()::startsWith))
            .toList();
    if (wanted.isEmpty()) {
      throw new IllegalArgumentException(
          "no scenario's id starts with any of %s; 'scenarios' lists them".formatted(ids));
    }
    return wanted;
  }

  /** Returns every N-th element, starting with the I-th. */
  <T> List<T> of(List<T> all) {
    Matcher m = Pattern.compile("([1-9][0-9]{0,3})/([1-9][0-9]{0,3})").matcher(shard);
    int first = m.matches() ? Integer.parseInt(m.group(1)) : 1;
    int step = m.matches() ? Integer.parseInt(m.group(2)) : 0;
    if (first > step) {
      throw new IllegalArgumentException(
          "the shard is '%s'; expected I/N with I from 1 to N, such as 1/2".formatted(shard));
    }
    List<T> part = new ArrayList<>();
    for (int i = first - 1; i < all.size(); i += step) {
      part.add(all.get(i));
    }
    return part;
  }
}
