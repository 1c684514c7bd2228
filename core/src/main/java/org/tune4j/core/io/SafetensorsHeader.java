package org.tune4j.core.io;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The header of a safetensors file. It is read token by token, so that even a header of a hundred
 * megabytes costs only the memory of what is kept of it.
 */
record SafetensorsHeader(Map<String, Safetensors.Entry> entries, Map<String, String> metadata) {
  /** Most bytes of a header, as the format defines. */
  static final long LIMIT = 100_000_000;

  /** Most tensors and metadata entries; the largest models in use have ninety thousand. */
  private static final int MAX_ENTRIES = 200_000;

  /** Most characters of all names and metadata together. */
  private static final long MAX_CHARACTERS = 16L << 20;

  private static final int MAX_DIMENSIONS = 64;

  private static final JsonFactory JSON =
      JsonFactory.builder()
          .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
          .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
          .build();

  /**
   * Reads a header.
   *
   * @param in the header's bytes
   * @param data where the data begins in the file
   * @param size bytes of the file
   */
  static SafetensorsHeader read(Path file, InputStream in, long data, long size)
      throws IOException {
    try (JsonParser p = JSON.createParser(new InputStreamReader(in, UTF_8.newDecoder()))) {
      return new Reader(file, p, data, size).header();
    } catch (CharacterCodingException e) {
      throw new MalformedFileException(file, "header", "bytes that are not UTF-8", "JSON", e);
    } catch (JsonProcessingException e) {
      throw new MalformedFileException(file, "header", JsonFile.problem(e), "JSON", e);
    }
  }

  private static final class Reader {
    private final Path file;
    private final JsonParser p;
    private final long data;
    private final long size;
    private final Map<String, Safetensors.Entry> entries = new LinkedHashMap<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();
    private long characters;

    Reader(Path file, JsonParser p, long data, long size) {
      this.file = file;
      this.p = p;
      this.data = data;
      this.size = size;
    }

    SafetensorsHeader header() throws IOException {
      if (p.nextToken() != JsonToken.START_OBJECT) {
        throw new MalformedFileException(file, "header", "JSON that is not an object", "an object");
      }
      boolean hasMetadata = false;
      while (p.nextToken() != JsonToken.END_OBJECT) {
        String name = p.currentName();
        p.nextToken();
        if (name.equals("__metadata__")) {
          if (hasMetadata) {
            throw twice(name);
          }
          hasMetadata = true;
          readMetadata();
        } else if (entries.put(counted(name), entry(name)) != null) {
          throw twice(name);
        }
      }
      if (p.nextToken() != null) {
        throw new MalformedFileException(file, "header", "more after the object", "its end");
      }
      return new SafetensorsHeader(entries, metadata);
    }

    private MalformedFileException twice(String name) {
      return new MalformedFileException(
          file, "header", "Duplicate field '" + truncated(name) + "'", "each name once");
    }

    private String counted(String text) throws MalformedFileException {
      characters += text.length();
      if (characters > MAX_CHARACTERS || entries.size() + metadata.size() >= MAX_ENTRIES) {
        throw new MalformedFileException(
            file,
            "header",
            characters > MAX_CHARACTERS
                ? "more than " + MAX_CHARACTERS + " characters of names and metadata"
                : "more than " + MAX_ENTRIES + " tensors and entries of metadata",
            "a header of a model (up to " + MAX_ENTRIES + " entries)");
      }
      return text;
    }

    private void readMetadata() throws IOException {
      if (p.currentToken() != JsonToken.START_OBJECT) {
        throw new MalformedFileException(
            file, "header, __metadata__", truncated(p.getText()), "an object");
      }
      while (p.nextToken() != JsonToken.END_OBJECT) {
        String key = counted(p.currentName());
        JsonToken value = p.nextToken();
        if (value.isStructStart()) {
          throw new MalformedFileException(
              file, "header, __metadata__, " + truncated(key), "a structure", "a string");
        }
        metadata.put(key, counted(p.getText()));
      }
    }

    private Safetensors.Entry entry(String name) throws IOException {
      String place = "tensor '" + truncated(name) + "'";
      String dtype = null;
      List<Long> shape = null;
      List<Long> offsets = null;
      if (p.currentToken() == JsonToken.START_OBJECT) {
        while (p.nextToken() != JsonToken.END_OBJECT) {
          String field = p.currentName();
          p.nextToken();
          switch (field) {
            case "dtype" -> {
              if (p.currentToken() != JsonToken.VALUE_STRING) {
                throw new MalformedFileException(
                    file, place + ", dtype", truncated(p.getText()), "a type's name");
              }
              dtype = truncated(p.getText());
            }
            case "shape" -> shape = sizes(place + ", shape", "sizes from 0 on");
            case "data_offsets" -> offsets = sizes(place + ", data_offsets", "[begin, end]");
            default -> p.skipChildren();
          }
        }
      } else {
        p.skipChildren();
      }
      if (dtype == null) {
        throw new MalformedFileException(file, place + ", dtype", "nothing", "a type's name");
      }
      if (shape == null) {
        throw new MalformedFileException(file, place + ", shape", "nothing", "an array");
      }
      if (offsets == null || offsets.size() != 2) {
        throw new MalformedFileException(
            file,
            place + ", data_offsets",
            offsets == null ? "nothing" : offsets.toString(),
            "[begin, end]");
      }
      return entry(name, place, dtype, shape, offsets);
    }

    private Safetensors.Entry entry(
        String name, String place, String dtype, List<Long> shape, List<Long> offsets)
        throws MalformedFileException {
      ElementType type = ElementType.of(dtype);
      long bits = type.bits();
      try {
        for (long d : shape) {
          bits = Math.multiplyExact(bits, d);
        }
      } catch (ArithmeticException e) {
        throw new MalformedFileException(
            file, place + ", shape", shape.toString(), "fewer than 2^63 bits", e);
      }
      long begin = offsets.get(0);
      long end = offsets.get(1);
      if (end < begin || end > size - data) {
        throw new MalformedFileException(
            file,
            place + ", data_offsets",
            offsets.toString(),
            "a range within the file's " + (size - data) + " data bytes");
      }
      if (type != ElementType.UNKNOWN && (bits % 8 != 0 || end - begin != bits / 8)) {
        throw new MalformedFileException(
            file,
            place,
            (end - begin) + " bytes",
            (bits % 8 == 0 ? bits / 8 + " bytes" : bits + " bits") + " for " + dtype + shape);
      }
      return new Safetensors.Entry(
          name,
          type == ElementType.UNKNOWN ? dtype : type.name(),
          type,
          List.copyOf(shape),
          data + begin,
          data + end);
    }

    /** Reads an array of non-negative integers. */
    private List<Long> sizes(String place, String expected) throws IOException {
      if (p.currentToken() != JsonToken.START_ARRAY) {
        throw new MalformedFileException(file, place, truncated(p.getText()), "an array");
      }
      List<Long> sizes = new ArrayList<>(4);
      while (p.nextToken() != JsonToken.END_ARRAY) {
        if (sizes.size() == MAX_DIMENSIONS) {
          throw new MalformedFileException(
              file, place, "more than " + MAX_DIMENSIONS + " numbers", expected);
        }
        if (p.currentToken() != JsonToken.VALUE_NUMBER_INT
            || p.getNumberType() == JsonParser.NumberType.BIG_INTEGER
            || p.getLongValue() < 0) {
          throw new MalformedFileException(file, place, truncated(p.getText()), expected);
        }
        sizes.add(p.getLongValue());
      }
      return sizes;
    }

    private static String truncated(String text) {
      return text.length() <= 200 ? text : text.substring(0, 200) + "…";
    }
  }
}
