package org.tune4j.lora;

import static com.google.common.collect.MoreCollectors.onlyElement;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.List;
import java.util.Optional;
import java.util.ServiceLoader;
import org.tune4j.core.model.ProjectionGroup;

/**
 * A kind of LoRA: which parameters an adapter has in the modules that it targets, and what they do
 * there. Chosen by {@link LoraConfig.Builder#variant}.
 *
 * <p>A variant is a file: this class, and a {@link Part} for what it does in a group of modules.
 * {@link PlainLora} and {@link Dora} are two, and whoever is like one of them extends it. It is
 * found by a line in {@code META-INF/services/org.tune4j.lora.LoraVariant}. One object stands for
 * all of its uses.
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

  /** Returns all that are registered. */
  public static ImmutableList<LoraVariant> all() {
    return Registered.ALL;
  }

  /** Returns LoRA itself. */
  public static LoraVariant plain() {
    return Registered.PLAIN;
  }

  /** Returns {@link Dora}. */
  public static LoraVariant dora() {
    return Registered.DORA;
  }

  /** Returns its name, as papers write it. */
  public abstract String name();

  /**
   * Returns the field of {@code adapter_config.json} that is true for adapters of this kind;
   * nothing for {@link PlainLora}, which is what there is without any.
   */
  abstract Optional<String> field();

  /**
   * Returns how the names of its parameters end in PEFT's files, after the module's: {@code
   * lora_A.weight}, or {@code lora_magnitude_vector} for what is stored without {@code .weight}.
   */
  abstract ImmutableSet<String> endings();

  /**
   * Returns its parameters in a group, in the order in which they lie in memory: neighbours with
   * equal columns can be read as one matrix.
   *
   * @param targets in the group, at least one
   */
  abstract List<Declared> parameters(LoraConfig config, List<Target> targets);

  /**
   * Returns what it does in a group.
   *
   * @param adapter which has the parameters: {@link LoraAdapter#weight}
   * @param targets as given to {@link #parameters}
   */
  abstract Part on(LoraAdapter adapter, ProjectionGroup group, List<Target> targets);

  @Override
  public final String toString() {
    return name();
  }
}
