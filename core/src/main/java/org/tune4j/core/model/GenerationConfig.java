package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * How text is generated. The default is greedy: up to 128 tokens, each the likeliest.
 *
 * <p>With a temperature above 0, tokens are sampled from {@code softmax(logits / temperature)},
 * restricted first to the {@code topK} likeliest tokens, then to the fewest whose total probability
 * is {@code topP} (nucleus sampling, Holtzman et al. 2020), in the order of transformers.
 *
 * @param maxNewTokens most tokens to generate
 * @param temperature 0 for greedy
 * @param topK 0 for no restriction
 * @param topP 1 for no restriction
 * @param stop texts that end generation; they are not part of the result
 * @param seed determines the samples; each of several prompts has its own random stream
 * @param endTokens tokens that end generation; if absent, the model's own
 */
public record GenerationConfig(
    int maxNewTokens,
    double temperature,
    int topK,
    double topP,
    ImmutableList<String> stop,
    long seed,
    Optional<ImmutableSet<Integer>> endTokens) {

  /** Checks ranges. */
  public GenerationConfig {
    checkArgument(maxNewTokens > 0, "maxNewTokens %s: at least 1", maxNewTokens);
    checkArgument(
        temperature >= 0 && temperature < Double.POSITIVE_INFINITY,
        "temperature %s: 0 or more",
        temperature);
    checkArgument(topK >= 0, "topK %s: 0 or more", topK);
    checkArgument(topP > 0 && topP <= 1, "topP %s: above 0, at most 1", topP);
    checkArgument(
        temperature > 0 || (topK == 0 && topP == 1),
        "topK %s and topP %s need a temperature above 0",
        (Integer) topK,
        (Double) topP);
    checkArgument(stop.stream().noneMatch(String::isEmpty), "a stop sequence is empty");
  }

  /** Returns this configuration with other end tokens and additional stop sequences. */
  GenerationConfig endingWith(Set<Integer> tokens, List<String> texts) {
    return toBuilder()
        .stop(ImmutableList.<String>builder().addAll(stop).addAll(texts).build())
        .endTokens(tokens)
        .build();
  }

  /** Returns greedy generation of up to {@code maxNewTokens} tokens. */
  public static GenerationConfig greedy(int maxNewTokens) {
    return builder().maxNewTokens(maxNewTokens).build();
  }

  /** Returns a builder with the defaults. */
  public static Builder builder() {
    return new Builder();
  }

  /** Returns a builder with these values. */
  public Builder toBuilder() {
    return new Builder(this);
  }

  /** Builds a {@link GenerationConfig}. */
  public static final class Builder {
    private int maxNewTokens = 128;
    private double temperature;
    private int topK;
    private double topP = 1;
    private ImmutableList<String> stop = ImmutableList.of();
    private long seed;
    private Optional<ImmutableSet<Integer>> endTokens = Optional.empty();

    private Builder() {}

    private Builder(GenerationConfig c) {
      maxNewTokens = c.maxNewTokens;
      temperature = c.temperature;
      topK = c.topK;
      topP = c.topP;
      stop = c.stop;
      seed = c.seed;
      endTokens = c.endTokens;
    }

    /** Sets the most tokens to generate. */
    public Builder maxNewTokens(int value) {
      maxNewTokens = value;
      return this;
    }

    /** Sets the temperature; 0 is greedy. */
    public Builder temperature(double value) {
      temperature = value;
      return this;
    }

    /** Keeps the likeliest {@code value} tokens. */
    public Builder topK(int value) {
      topK = value;
      return this;
    }

    /** Keeps the fewest tokens of total probability {@code value}. */
    public Builder topP(double value) {
      topP = value;
      return this;
    }

    /** Sets texts that end generation. */
    public Builder stop(String... values) {
      return stop(List.of(values));
    }

    /** Sets texts that end generation. */
    public Builder stop(List<String> values) {
      stop = ImmutableList.copyOf(values);
      return this;
    }

    /** Sets the seed of sampling. */
    public Builder seed(long value) {
      seed = value;
      return this;
    }

    /** Sets tokens that end generation, in place of the model's own. */
    public Builder endTokens(Set<Integer> values) {
      endTokens = Optional.of(ImmutableSet.copyOf(values));
      return this;
    }

    /** Builds the configuration. */
    public GenerationConfig build() {
      return new GenerationConfig(maxNewTokens, temperature, topK, topP, stop, seed, endTokens);
    }
  }
}
