package org.tune4j.lora;

import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.tune4j.core.model.Projection;
import org.tune4j.core.model.ProjectionGroup;

/**
 * LoRA as in the paper (Hu et al. 2021, section 4.1): {@code s B A x} is added to a linear layer's
 * output, and {@code s B a_i} to row {@code i} of an embedding.
 */
public class PlainLora extends LoraVariant {
  private static final String A = "lora_A.weight";
  private static final String B = "lora_B.weight";
  private static final String EMBEDDING_A = "lora_embedding_A";
  private static final String EMBEDDING_B = "lora_embedding_B";

  /** For {@link java.util.ServiceLoader}. */
  public PlainLora() {}

  @Override
  public String name() {
    return "LoRA";
  }

  @Override
  Optional<String> field() {
    return Optional.empty();
  }

  @Override
  ImmutableSet<String> endings() {
    return ImmutableSet.of(A, B, EMBEDDING_A, EMBEDDING_B);
  }

  static String aName(Target t) {
    return t.name() + "." + (t.embedding() ? EMBEDDING_A : A);
  }

  static String bName(Target t) {
    return t.name() + "." + (t.embedding() ? EMBEDDING_B : B);
  }

  /** The A's of a group are adjacent, so that one product of their common input serves all. */
  @Override
  List<Declared> parameters(LoraConfig config, List<Target> targets) {
    List<Declared> all = new ArrayList<>();
    for (Target t : targets) {
      Projection p = t.projection();
      Declared a = Declared.of(p, t.embedding() ? EMBEDDING_A : A, 0, t.rank(), p.in());
      all.add(t.embedding() ? a.heldTransposed() : a);
    }
    for (Target t : targets) {
      Projection p = t.projection();
      all.add(
          Declared.of(p, t.embedding() ? EMBEDDING_B : B, 1, p.out(), t.rank())
              .frozen(config.initialisation().freezesB()));
      all.addAll(additional(t));
    }
    return all;
  }

  /** Returns a module's parameters besides A and B. */
  List<Declared> additional(Target target) {
    return List.of();
  }

  @Override
  Part on(LoraAdapter adapter, ProjectionGroup group, List<Target> targets) {
    return targets.get(0).embedding()
        ? new EmbeddingLora(adapter, targets.get(0))
        : new GroupLora(adapter, group, targets);
  }
}
