package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.Map;

/**
 * Values for modules that differ from the others; PEFT's {@code rank_pattern} and {@code
 * alpha_pattern}. A key matches a module whose name has the form {@code (.*\.)?(key)$}. The first
 * match counts, so patterns in another order are not equal.
 *
 * @param entries keys and values, in order
 */
public record ModulePattern<V>(ImmutableList<Map.Entry<String, V>> entries) {
  /** Returns a pattern with the entries of a map, in its order. */
  public static <V> ModulePattern<V> of(Map<String, V> values) {
    return new ModulePattern<>(
        values.entrySet().stream()
            .map(e -> Map.entry(e.getKey(), e.getValue()))
            .collect(ImmutableList.toImmutableList()));
  }

  /** Returns the values by key, in order. */
  public ImmutableMap<String, V> asMap() {
    return ImmutableMap.copyOf(entries);
  }

  /** Returns whether no module differs. */
  public boolean isEmpty() {
    return entries.isEmpty();
  }

  @Override
  public String toString() {
    return asMap().toString();
  }
}
