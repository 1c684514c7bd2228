package org.tune4j.lora;

import static com.google.common.collect.MoreCollectors.onlyElement;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.List;
import java.util.Optional;
import java.util.ServiceLoader;
import org.tune4j.core.model.ProjectionGroup;

/**
 * A kind of LoRA: which parameters an adapter has in its target modules, and their effect there.
 * Chosen by {@link LoraConfig.Builder#variant}.
 *
 * <p>A variant is one file: a subclass of this, and a {@link Part} with its effect on a group of
 * modules. Similar variants can extend {@link PlainLora} or {@link Dora}. Variants are registered
 * in {@code META-INF/services/org.tune4j.lora.LoraVariant}, and each has a single instance.
 */
public abstract class LoraVariant {
  private static final class Registered {
    static final ImmutableList<LoraVariant> ALL =
        ImmutableList.copyOf(
            ServiceLoader.load(LoraVariant.class, LoraVariant.class.getClassLoader()));
    static final LoraVariant PLAIN = only(PlainLora.class);
    static final LoraVariant DORA = only(Dora.class);

    private static LoraVariant only(Class<?> type) {
      return ALL.stream().filter(v -> v.getClass() == type).collect(onlyElement());
    }
  }

  LoraVariant() {}

  /** Returns all registered variants. */
  public static ImmutableList<LoraVariant> all() {
    return Registered.ALL;
  }

  /** Returns {@link PlainLora}. */
  public static LoraVariant plain() {
    return Registered.PLAIN;
  }

  /** Returns {@link Dora}. */
  public static LoraVariant dora() {
    return Registered.DORA;
  }

  /** Returns the name as written in papers. */
  public abstract String name();

  /**
   * Returns the field of {@code adapter_config.json} that is true for adapters of this kind; empty
   * for {@link PlainLora}, the default.
   */
  abstract Optional<String> field();

  /**
   * Returns the suffixes of its parameters' names in PEFT's files, after the module's name: {@code
   * lora_A.weight}, or {@code lora_magnitude_vector} for what is stored without {@code .weight}.
   */
  abstract ImmutableSet<String> endings();

  /**
   * Returns its parameters in a group, in their order in memory: neighbours with equal columns can
   * be read as one matrix.
   *
   * @param targets in the group, at least one
   */
  abstract List<Declared> parameters(LoraConfig config, List<Target> targets);

  /**
   * Returns its implementation for a group.
   *
   * @param adapter has the parameters: {@link LoraAdapter#weight}
   * @param targets as given to {@link #parameters}
   */
  abstract Part on(LoraAdapter adapter, ProjectionGroup group, List<Target> targets);

  @Override
  public final String toString() {
    return name();
  }
}
