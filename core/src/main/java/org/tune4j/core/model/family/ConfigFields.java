package org.tune4j.core.model.family;

import com.google.common.collect.ImmutableList;
import java.util.Locale;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/** Fields of a {@code config.json} that all families read, with the family's defaults. */
final class ConfigFields {
  // far above any existing model, and low enough that no product of sizes exceeds 63 bits
  static final int MAX_LAYERS = 4096;
  static final int MAX_HIDDEN = 1 << 20;
  static final int MAX_INNER = 1 << 24;
  static final int MAX_TOKENS = 1 << 24;
  static final int MAX_HEADS = 1 << 16;

  private ConfigFields() {}

  static int size(JsonFields f, String field, int defaultValue, int max)
      throws MalformedFileException {
    return f.integer(field, defaultValue, 1, max);
  }

  static float initializerRange(JsonFields f) throws MalformedFileException {
    return (float) f.number("initializer_range", 0.02, 0, 1e6, "a number from 0 on");
  }

  /** Returns the end tokens, given as one or a list, or the default if the key is absent. */
  static ImmutableList<Integer> endTokens(JsonFields f, ImmutableList<Integer> defaultValue)
      throws MalformedFileException {
    return f.present("eos_token_id") ? f.integers("eos_token_id", "token ids") : defaultValue;
  }

  /** Returns the type of the stored weights, such as {@code bfloat16}. */
  static String dtype(JsonFields f) throws MalformedFileException {
    String dtype = f.has("dtype") ? f.text("dtype", "") : f.text("torch_dtype", "");
    return dtype.replaceFirst("^torch\\.", "").toLowerCase(Locale.ROOT);
  }
}
