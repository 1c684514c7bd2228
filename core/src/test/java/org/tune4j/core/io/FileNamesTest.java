package org.tune4j.core.io;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;

class FileNamesTest {
  @Provide
  Arbitrary<String> names() {
    return Arbitraries.oneOf(
        Arbitraries.strings().withChars("a/.%\\: é数~").ofMinLength(1).ofMaxLength(4),
        Arbitraries.strings().withCharRange('a', 'c').ofMinLength(98).ofMaxLength(300));
  }

  @Property(tries = 1000)
  void differentNamesGiveDifferentOneLevelNames(
      @ForAll("names") String first, @ForAll("names") String second) throws IOException {
    String name = FileNames.of(first);
    assertThat(name.equals(FileNames.of(second))).isEqualTo(first.equals(second));
    assertThat(name).matches("[A-Za-z0-9_.+%~-]{1,100}");
    Path parent = Path.of("/parent");
    assertThat(parent.resolve(name).normalize().getParent()).isEqualTo(parent);
  }

  @Example
  void plainNamesStay() {
    assertThat(FileNames.of("part-of_speech.2+3")).isEqualTo("part-of_speech.2+3");
    assertThat(FileNames.of("a/b c")).isEqualTo("a%2Fb%20c");
    assertThat(FileNames.of("..")).isEqualTo("%2E%2E");
    assertThat(FileNames.of("é")).isEqualTo("%C3%A9");
  }
}
