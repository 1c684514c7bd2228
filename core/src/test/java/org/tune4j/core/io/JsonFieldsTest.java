package org.tune4j.core.io;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_16;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonFieldsTest {
  private static final Path FILE = Path.of("some", "config.json");

  @TempDir Path directory;

  /** Takes one field out of an object. */
  private interface Getter {
    Object get(JsonFields fields) throws IOException;
  }

  private static void refused(String value, Getter getter, String expected) throws IOException {
    JsonFields fields = JsonFields.parse("{\"a\": {\"f\": " + value + "}}", FILE).object("a");
    assertThatThrownBy(() -> getter.get(fields))
        .as(value)
        .isInstanceOf(MalformedFileException.class)
        .hasMessage("%s, field 'a.f': found '%s', expected %s".formatted(FILE, value, expected));
  }

  @Test
  void nothingIsConverted() throws Exception {
    for (String value : new String[] {"\"7\"", "7.0", "true", "2147483648", "[7]", "{}", "1.5"}) {
      refused(value, f -> f.integer("f", 1), "an integer");
    }
    refused("0", f -> f.integer("f", 1, 1, Integer.MAX_VALUE), "a positive integer");
    refused("11", f -> f.integer("f", 1, 2, 10), "an integer from 2 to 10");
    for (String value : new String[] {"\"7\"", "0", "-1", "NaN", "Infinity", "false", "1e400"}) {
      if (!value.equals("NaN") && !value.equals("Infinity") && !value.equals("1e400")) {
        refused(value, f -> f.positive("f", 1), "a positive number");
      } else {
        JsonFields fields = JsonFields.parse("{\"f\": " + value + "}", FILE);
        assertThatThrownBy(() -> fields.positive("f", 1)).hasMessageContaining("a positive number");
        assertThatThrownBy(() -> fields.number("f", 1)).hasMessageContaining("finite");
      }
    }
    refused("1", f -> f.flag("f", true), "true or false");
    refused("true", f -> f.text("f", ""), "a string");
    refused("[1,\"2\"]", f -> f.integers("f", "token ids"), "token ids");
    refused("[\"x\",2]", f -> f.strings("f"), "an array of strings");
    refused("[1,\"2\"]", f -> f.numbers("f"), "an array of numbers");
    refused("1", f -> f.numbers("f"), "an array of numbers");
    refused("[]", f -> f.object("f"), "an object");
    refused("null", f -> f.object("f"), "an object");
  }

  @Test
  void whatHasNoDefaultIsNeeded() throws Exception {
    for (Getter getter :
        List.<Getter>of(
            f -> f.text("f"),
            f -> f.flag("f"),
            f -> f.integer("f"),
            f -> f.longInteger("f"),
            f -> f.number("f"),
            f -> f.object("f"),
            f -> f.objects("f"),
            f -> f.numbersByName("f"),
            f -> f.integersByName("f"))) {
      JsonFields none = JsonFields.parse("{\"f\": null}", FILE);
      assertThatThrownBy(() -> getter.get(none))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining("field 'f': found 'null', expected ");
      JsonFields empty = JsonFields.parse("{}", FILE);
      assertThatThrownBy(() -> getter.get(empty))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining("field 'f': found nothing, expected ");
    }
    refused("9223372036854775808", f -> f.longInteger("f"), "an integer");
    JsonFields wrong =
        JsonFields.parse("{\"o\": [{}, 1], \"n\": {\"x\": \"1\"}, \"i\": {\"x\": 1.5}}", FILE);
    assertThatThrownBy(() -> wrong.objects("o"))
        .hasMessageContaining("field 'o[1]': found '1', expected an object");
    assertThatThrownBy(() -> wrong.numbersByName("n"))
        .hasMessageContaining("field 'n.x': found '\"1\"', expected a finite number");
    assertThatThrownBy(() -> wrong.integersByName("i"))
        .hasMessageContaining("field 'i.x': found '1.5', expected an integer");
    JsonFields f =
        JsonFields.parse(
            "{\"l\": 9223372036854775807, \"o\": [{\"x\": 1}, {\"x\": 2}], \"m\": {\"b\": 1, \"a\": 2.5}}",
            FILE);
    assertThat(f.longInteger("l")).isEqualTo(Long.MAX_VALUE);
    assertThat(f.objects("o").get(1).integer("x")).isEqualTo(2);
    assertThatThrownBy(() -> f.objects("o").get(1).text("x"))
        .hasMessageContaining("field 'o[1].x': found '2', expected a string");
    assertThat(f.numbersByName("m").entrySet()).extracting("key").containsExactly("b", "a");
  }

  @Test
  void linesOfAFileAreNamed() throws Exception {
    assertThatThrownBy(() -> JsonFields.parseLine("{\"a\":", FILE, 12))
        .hasMessageStartingWith(FILE + ", line 12: found no valid JSON (");
    assertThatThrownBy(() -> JsonFields.parseLine("[]", FILE, 12))
        .hasMessageStartingWith(FILE + ", line 12: found no JSON object but []");
    assertThatThrownBy(() -> JsonFields.parseLine("{\"a\": 1}", FILE, 12).text("a"))
        .hasMessage(FILE + ", line 12, field 'a': found '1', expected a string");
  }

  @Test
  void fieldsThatAreThereTwiceCanBeRefused() throws Exception {
    Path file = Files.writeString(directory.resolve("twice.json"), "{\"a\": 1, \"a\": 2}");
    assertThat(JsonFields.read(file).integer("a")).isEqualTo(2);
    assertThatThrownBy(() -> JsonFile.readUnique(file, 100))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(file.toString())
        .hasMessageContaining("'a'");
  }

  @Test
  void absentAndNullHaveTheDefault() throws Exception {
    JsonFields f =
        JsonFields.parse("{\"n\": null, \"x\": 7, \"s\": \"t\", \"d\": 2, \"b\": true}", FILE);
    assertThat(f.integer("n", 3)).isEqualTo(f.integer("absent", 3)).isEqualTo(3);
    assertThat(f.integer("x", 3)).isEqualTo(7);
    assertThat(f.positive("d", 1)).isEqualTo(2);
    assertThat(f.text("n", "u")).isEqualTo("u");
    assertThat(f.text("s", "u")).isEqualTo("t");
    assertThat(f.flag("b", false)).isTrue();
    assertThat(f.integers("x", "")).containsExactly(7);
    assertThat(f.integers("n", "")).isEmpty();
    assertThat(f.present("n")).isTrue();
    assertThat(f.has("n")).isFalse();
    assertThatThrownBy(() -> f.refuseNull("x", "n"))
        .hasMessageContaining("'n'")
        .hasMessageContaining("'null'");
    f.refuse("n", "");
    assertThatThrownBy(() -> f.refuse("x", "none"))
        .hasMessageContaining("found '7', expected none");
  }

  @Test
  void longValuesAreCut() throws Exception {
    JsonFields f = JsonFields.parse("{\"f\": \"" + "x".repeat(100_000) + "\"}", FILE);
    assertThatThrownBy(() -> f.integer("f", 1)).message().hasSizeLessThan(400).contains("xx…");
  }

  @Test
  void pythonsNumbersAndRepeatedNamesAreRead() throws Exception {
    JsonFields f = JsonFields.parse("{\"a\": NaN, \"b\": [-Infinity], \"c\": 1, \"c\": 2}", FILE);
    assertThat(f.integer("c", 0)).isEqualTo(2);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", " ", "{", "[1]", "null", "{} {}", "{\"a\": }", "{'a': 1}", "7"})
  void whatIsNoObjectIsNamed(String text) throws Exception {
    Path file = Files.writeString(directory.resolve("config.json"), text);
    assertThatThrownBy(() -> JsonFields.read(file))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(file.toString());
  }

  @Test
  void deepNestingIsAnErrorAndNoOverflow() throws Exception {
    Path file =
        Files.writeString(directory.resolve("deep.json"), "{\"a\":" + "[".repeat(2_000_000));
    assertThatThrownBy(() -> JsonFields.read(file))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(file.toString())
        .hasMessageContaining("depth");
  }

  @Test
  void otherEncodingsAreNamed() throws Exception {
    String text = "{\"a\": 1,\n \"ä\": \"ß\"}";
    Path file = directory.resolve("config.json");
    for (Charset charset : new Charset[] {ISO_8859_1, UTF_16}) {
      Files.writeString(file, text, charset);
      assertThatThrownBy(() -> JsonFields.read(file))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining(file.toString())
          .hasMessageContaining("not UTF-8");
    }
    Files.writeString(file, text, ISO_8859_1);
    assertThatThrownBy(() -> JsonFields.read(file))
        .hasMessageContaining("line 2")
        .hasMessageContaining("0xE4 (at 11)");
    Files.writeString(file, "\uFEFF" + text, UTF_8);
    assertThat(JsonFields.read(file).text("ä", "")).isEqualTo("ß");
  }

  @Test
  void filesAreMeasuredBeforeTheyAreRead() throws Exception {
    Path file = Files.write(directory.resolve("large.json"), new byte[1 << 20]);
    assertThatThrownBy(() -> JsonFile.read(file, 1000))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(file.toString())
        .hasMessageContaining("1048576 bytes")
        .hasMessageContaining("at most 1000");
    assertThatThrownBy(() -> JsonFile.read(directory.resolve("none")))
        .isInstanceOf(NoSuchFileException.class)
        .hasMessageContaining("none");
    assertThatThrownBy(() -> JsonFile.read(directory))
        .isInstanceOf(NoSuchFileException.class)
        .hasMessageContaining("not a file");
  }

  @Test
  void interruptedThreadsRead() throws Exception {
    Path file = Files.writeString(directory.resolve("config.json"), "{}");
    Thread.currentThread().interrupt();
    try {
      assertThat(JsonFields.read(file).node().isEmpty()).isTrue();
    } finally {
      assertThat(Thread.interrupted()).isTrue();
    }
  }
}
