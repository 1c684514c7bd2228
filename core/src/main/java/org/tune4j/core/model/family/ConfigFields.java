package org.tune4j.core.model.family;

import com.google.common.collect.ImmutableList;
import java.util.Locale;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/** Fields of a {@code config.json} that families read alike, each with defaults of its own. */
final class ConfigFields {
  // far above every model there is, and low enough that no product of sizes exceeds 63 bits
  static final int MOST_LAYERS = 4096;
  static final int MOST_HIDDEN = 1 << 20;
  static final int MOST_INNER = 1 << 24;
  static final int MOST_TOKENS = 1 << 24;
  static final int MOST_HEADS = 1 << 16;

  private ConfigFields() {}

  static int size(JsonFields f, String field, int otherwise, int most)
      throws MalformedFileException {
    return f.integer(field, otherwise, 1, most);
  }

  static float initializerRange(JsonFields f) throws MalformedFileException {
    return (float) f.number("initializer_range", 0.02, 0, 1e6, "a number from 0 on");
  }

  /** Returns the tokens that end a text: one or a list; {@code otherwise} if the key is absent. */
  static ImmutableList<Integer> endTokens(JsonFields f, ImmutableList<Integer> otherwise)
      throws MalformedFileException {
    return f.present("eos_token_id") ? f.integers("eos_token_id", "token ids") : otherwise;
  }

  /** Returns the type of the stored weights, such as {@code bfloat16}. */
  static String dtype(JsonFields f) throws MalformedFileException {
    String dtype = f.has("dtype") ? f.text("dtype", "") : f.text("torch_dtype", "");
    return dtype.replaceFirst("^torch\\.", "").toLowerCase(Locale.ROOT);
  }
}
