package org.tune4j.examples.benchmark;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.datatype.guava.GuavaModule;
import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.MalformedFileException;

/**
 * Records in JSON lines files, to which several processes may append concurrently. An incomplete
 * last line, left by a process that was killed, is dropped.
 */
final class Lines {
  private static final ObjectMapper JSON =
      new ObjectMapper()
          .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
          .registerModule(new GuavaModule());

  private Lines() {}

  /** Returns the records of a file; none if it does not exist. */
  static <T> ImmutableList<T> read(Path file, Class<T> type) throws IOException {
    if (!Files.exists(file)) {
      return ImmutableList.of();
    }
    String text = Files.readString(file);
    List<String> lines = text.lines().toList();
    ImmutableList.Builder<T> all = ImmutableList.builder();
    for (int i = 0; i < lines.size(); i++) {
      try {
        all.add(JSON.readValue(lines.get(i), type));
      } catch (JsonProcessingException e) {
        if (i == lines.size() - 1 && !text.endsWith("\n")) {
          break;
        }
        throw new MalformedFileException(
            file, "line " + (i + 1), e.getOriginalMessage(), "a " + type.getSimpleName(), e);
      }
    }
    return all.build();
  }

  /** Appends a record and removes an incomplete last line. */
  static void append(Path file, Object record) throws IOException {
    byte[] line = (JSON.writeValueAsString(record) + "\n").getBytes(StandardCharsets.UTF_8);
    Files.createDirectories(file.toAbsolutePath().getParent());
    if (Files.exists(file) && !endsLine(file)) {
      String text = Files.readString(file);
      AtomicFiles.writeString(file, text.substring(0, text.lastIndexOf('\n') + 1));
    }
    try (FileChannel out =
        FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
      out.write(ByteBuffer.wrap(line)); // in one write, as other processes append too
    }
  }

  private static boolean endsLine(Path file) throws IOException {
    try (FileChannel in = FileChannel.open(file, StandardOpenOption.READ)) {
      ByteBuffer last = ByteBuffer.allocate(1);
      return in.size() == 0 || (in.read(last, in.size() - 1) == 1 && last.get(0) == '\n');
    }
  }
}
