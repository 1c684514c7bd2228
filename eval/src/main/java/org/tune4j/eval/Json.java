package org.tune4j.eval;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.deser.std.StdDeserializer;
import com.fasterxml.jackson.databind.module.SimpleModule;
import com.fasterxml.jackson.databind.ser.std.ToStringSerializer;
import com.fasterxml.jackson.datatype.guava.GuavaModule;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Function;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.AdapterCombination;
import org.tune4j.core.model.AdapterFactory;
import org.tune4j.core.train.GradientHook;

/** Reads and writes this package's records as JSON files. */
final class Json {
  private static final ObjectMapper MAPPER =
      new ObjectMapper()
          // missing or rounded values would silently change results
          .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
          .registerModule(new GuavaModule())
          .registerModule(
              new SimpleModule()
                  .addSerializer(Path.class, ToStringSerializer.instance)
                  .addDeserializer(Path.class, new PathDeserializer())
                  .addSerializer(GradientHook.class, ToStringSerializer.instance)
                  .addDeserializer(
                      GradientHook.class, new Recorded<>(GradientHook.class, RecordedHook::new))
                  .addSerializer(AdapterCombination.class, ToStringSerializer.instance)
                  .addDeserializer(
                      AdapterCombination.class,
                      new Recorded<>(AdapterCombination.class, RecordedCombination::new)));

  private Json() {}

  private static final class PathDeserializer extends StdDeserializer<Path> {
    private static final long serialVersionUID = 1L;

    PathDeserializer() {
      super(Path.class);
    }

    @Override
    public Path deserialize(JsonParser parser, DeserializationContext context) throws IOException {
      return Path.of(parser.getValueAsString(""));
    }
  }

  /** A hook of an earlier run, of which only the description is known. */
  private record RecordedHook(String name) implements GradientHook {
    @Override
    public State start(Parameters parameters) {
      throw new UnsupportedOperationException(
          "gradient hook '%s' was read from a file as a description only, and cannot be used"
              .formatted(name));
    }

    @Override
    public String toString() {
      return name;
    }
  }

  /** A combination of an earlier run, of which only the description is known. */
  private record RecordedCombination(String name) implements AdapterCombination {
    @Override
    public void require(AdapterFactory factory) {
      throw descriptionOnly();
    }

    @Override
    public Adapter combine(String adapter, List<? extends Adapter> adapters, double... weights) {
      throw descriptionOnly();
    }

    private UnsupportedOperationException descriptionOnly() {
      return new UnsupportedOperationException(
          "combination '%s' was read from a file as a description only, and cannot be used"
              .formatted(name));
    }

    @Override
    public String toString() {
      return name;
    }
  }

  /** Reads a value that was written as its {@code toString}. */
  private static final class Recorded<T> extends StdDeserializer<T> {
    private static final long serialVersionUID = 1L;

    private final transient Function<String, T> of;

    Recorded(Class<T> type, Function<String, T> of) {
      super(type);
      this.of = of;
    }

    @Override
    public T deserialize(JsonParser parser, DeserializationContext context) throws IOException {
      return of.apply(parser.getText());
    }
  }

  static void write(Path file, Object value) throws IOException {
    AtomicFiles.write(
        file, out -> out.write(MAPPER.writerWithDefaultPrettyPrinter().writeValueAsBytes(value)));
  }

  /**
   * Reads what {@link #write} wrote.
   *
   * @throws MalformedFileException if it is anything else
   */
  static <T> T read(Path file, Class<T> type) throws IOException {
    byte[] bytes = Files.readAllBytes(file);
    T value;
    try {
      value = MAPPER.readValue(bytes, type);
    } catch (JsonProcessingException e) {
      String place =
          e.getLocation() == null
              ? ""
              : "line " + e.getLocation().getLineNr() + ", column " + e.getLocation().getColumnNr();
      throw new MalformedFileException(
          file, place, e.getOriginalMessage(), "a saved " + type.getSimpleName(), e);
    }
    if (value == null) {
      throw new MalformedFileException(file, "", "null", "a saved " + type.getSimpleName());
    }
    return value;
  }
}
