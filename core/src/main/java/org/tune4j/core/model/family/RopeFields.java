package org.tune4j.core.model.family;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import com.google.common.collect.Iterables;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/**
 * Reads rotary embedding from a {@code config.json} as transformers 5 does ({@code
 * RotaryEmbeddingConfigMixin}): {@code rope_scaling} of version 4 takes precedence over {@code
 * rope_parameters} of version 5, a {@code rope_theta} inside of these over one beside them, and
 * {@code type} replaces an absent {@code rope_type}. Missing required keys are refused; unused keys
 * are logged as warnings.
 */
final class RopeFields {
  private static final Logger LOG = LoggerFactory.getLogger(RopeFields.class);
  private static final String ORIGINAL = "original_max_position_embeddings";

  private final JsonFields config;
  private final int positions;
  private final int headDim;
  private final JsonFields rope;
  private final double theta;
  private final Dialect dialect;

  private RopeFields(
      JsonFields config, JsonFields rope, int positions, int headDim, Dialect dialect)
      throws MalformedFileException {
    this.config = config;
    this.rope = rope;
    this.positions = positions;
    this.headDim = headDim;
    rope.refuseNull("rope_theta");
    theta = rope.positive("rope_theta", config.positive("rope_theta", dialect.theta));
    this.dialect = dialect;
  }

  /**
   * Family-specific defaults.
   *
   * @param theta default base
   * @param original default context before scaling; 0 for {@code max_position_embeddings}
   * @param longropeOnly whether longrope is the only scaling, for which earlier files say {@code
   *     su} or {@code yarn}
   */
  record Dialect(double theta, int original, boolean longropeOnly) {
    static final Dialect COMMON = new Dialect(10000, 0, false);
  }

  static RopeScaling read(JsonFields config, int positions, int headDim, Dialect dialect)
      throws MalformedFileException {
    refusePartial(config);
    for (String field : ImmutableList.of("rope_scaling", "rope_parameters")) {
      JsonNode node = config.node().path(field);
      if (!config.has(field) || (node.isContainerNode() && node.isEmpty())) {
        continue;
      }
      return new RopeFields(config, config.object(field), positions, headDim, dialect).scaling();
    }
    return RopeScaling.plain(config.positive("rope_theta", dialect.theta));
  }

  private static void refusePartial(JsonFields f) throws MalformedFileException {
    if (f.positive("partial_rotary_factor", 1.0) != 1.0) {
      throw f.bad("partial_rotary_factor", f.node().get("partial_rotary_factor").toString(), "1.0");
    }
  }

  private RopeScaling scaling() throws MalformedFileException {
    for (String name : rope.names()) {
      if (rope.node().get(name).isObject()) {
        throw rope.bad(name, rope.node().get(name).toString(), "one scaling for all layers");
      }
    }
    refusePartial(rope);
    rope.refuseNull("rope_type");
    String field = rope.present("rope_type") || !rope.present("type") ? "rope_type" : "type";
    rope.refuseNull(field);
    String type = rope.text(field, "default");
    if (dialect.longropeOnly && !type.equals("default")) {
      if (!ImmutableSet.of("longrope", "su", "yarn").contains(type)) {
        throw rope.bad(field, type, "default or longrope");
      }
      type = "longrope";
    }
    return switch (type) {
      case "default" -> {
        warnOfUnused();
        yield RopeScaling.plain(theta);
      }
      case "linear" -> {
        warnOfUnused("factor");
        yield new RopeScaling(theta, RopeScaling.Type.LINEAR, factor(), 0, 0, 0);
      }
      case "dynamic" -> {
        warnOfUnused("factor");
        if (headDim < 4) {
          throw config.bad("head_dim", String.valueOf(headDim), "4 or more with dynamic scaling");
        }
        yield new RopeScaling(theta, RopeScaling.Type.DYNAMIC, factor(), 0, 0, positions);
      }
      case "llama3" -> llama3();
      case "yarn" -> yarn();
      case "longrope" -> longrope();
      default ->
          throw rope.bad(field, type, "one of default, linear, dynamic, yarn, longrope, llama3");
    };
  }

  private RopeScaling llama3() throws MalformedFileException {
    warnOfUnused("factor", "low_freq_factor", "high_freq_factor", ORIGINAL);
    double low = required("low_freq_factor");
    double high = required("high_freq_factor");
    if (high <= low) {
      LOG.warn(
          "{}: high_freq_factor {} should be more than low_freq_factor {}",
          config.origin(),
          high,
          low);
    }
    return new RopeScaling(theta, RopeScaling.Type.LLAMA3, factor(), low, high, original());
  }

  private RopeScaling yarn() throws MalformedFileException {
    warnOfUnused(
        "factor",
        ORIGINAL,
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
        "truncate");
    if (theta == 1) {
      throw config.bad("rope_theta", "1", "a base other than 1 with yarn scaling");
    }
    int original = original();
    double factor =
        rope.present("factor") && !rope.has("factor") ? (double) positions / original : factor();
    double implied = (double) positions / original;
    if (implied != factor && implied != 1) {
      LOG.warn(
          "{}: factor {} differs from {}, the ratio of {} to {} positions; the factor is used",
          config.origin(),
          factor,
          implied,
          positions,
          original);
    }
    double mscale = rope.number("mscale", 0);
    double mscaleAllDim = rope.number("mscale_all_dim", 0);
    double attention =
        mscale != 0 && mscaleAllDim != 0
            ? mscaleFactor(factor, mscale) / mscaleFactor(factor, mscaleAllDim)
            : mscaleFactor(factor, 1);
    boolean truncate = !rope.present("truncate") || rope.flag("truncate", false);
    return new RopeScaling(
        theta,
        RopeScaling.Type.YARN,
        factor,
        0,
        0,
        original,
        rope.number("attention_factor", attention),
        new RopeScaling.Ramp(orElse("beta_fast", 32), orElse("beta_slow", 1), truncate),
        ImmutableList.of(),
        ImmutableList.of());
  }

  private static double mscaleFactor(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
  }

  /** Returns a positive number; 0 means the default, as in Python's {@code or}. */
  private double orElse(String field, double defaultValue) throws MalformedFileException {
    double value = rope.number(field, defaultValue, 0, Double.MAX_VALUE, "a positive number");
    return value == 0 ? defaultValue : value;
  }

  private RopeScaling longrope() throws MalformedFileException {
    warnOfUnused("factor", ORIGINAL, "attention_factor", "short_factor", "long_factor");
    int original = original();
    if (original < 2) {
      throw rope.bad(ORIGINAL, String.valueOf(original), "2 or more");
    }
    double factor = rope.has("factor") ? factor() : (double) positions / original;
    double attention = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
    return new RopeScaling(
        theta,
        RopeScaling.Type.LONGROPE,
        factor,
        0,
        0,
        original,
        rope.number("attention_factor", attention),
        null,
        factors("short_factor"),
        factors("long_factor"));
  }

  private ImmutableList<Double> factors(String field) throws MalformedFileException {
    ImmutableList<Double> factors = rope.numbers(field);
    if (factors.size() != headDim / 2 || factors.contains(0.0)) {
      throw rope.bad(
          field,
          rope.node().path(field).toString(),
          headDim / 2 + " numbers, none of them 0, for head_dim = " + headDim);
    }
    return factors;
  }

  private double factor() throws MalformedFileException {
    double factor = required("factor");
    if (factor < 1) {
      LOG.warn(
          "{}: rotary embedding is scaled by {}, which is less than 1", config.origin(), factor);
    }
    return factor;
  }

  private double required(String field) throws MalformedFileException {
    if (!rope.has(field)) {
      throw rope.bad(field, "", "a positive number");
    }
    return rope.positive(field, 1.0);
  }

  /** Returns the original context; a field beside the scaling takes precedence over one inside. */
  private int original() throws MalformedFileException {
    if (config.has(ORIGINAL) || dialect.original != 0) {
      int defaultValue = dialect.original == 0 ? positions : dialect.original;
      return config.integer(ORIGINAL, defaultValue, 1, Integer.MAX_VALUE);
    }
    rope.refuseNull(ORIGINAL);
    return rope.integer(ORIGINAL, positions, 1, Integer.MAX_VALUE);
  }

  private void warnOfUnused(String... read) {
    Set<String> known =
        ImmutableSet.<String>builder()
            .add("rope_type", "type", "rope_theta", "partial_rotary_factor")
            .add(read)
            .build();
    Iterable<String> others = Iterables.filter(rope.names(), n -> !known.contains(n));
    if (!Iterables.isEmpty(others)) {
      LOG.warn(
          "{}: {} is not used by the rotary embedding of type {}",
          config.origin(),
          ImmutableList.copyOf(others),
          rope.node().path("rope_type").asText(rope.node().path("type").asText("default")));
    }
  }
}
