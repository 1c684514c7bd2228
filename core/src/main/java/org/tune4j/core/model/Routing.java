package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.engine.ProjectionAdapter;

/**
 * Which adapters work on which rows of a batch: each slice of rows has a stack of adapters, applied
 * in order; rows in no slice see the base model alone.
 *
 * @param slices disjoint, ascending
 */
public record Routing(ImmutableList<Slice> slices) {
  /** The base model alone. */
  public static final Routing BASE = new Routing(ImmutableList.of());

  /**
   * Adapters on rows {@code [from, from + count)}.
   *
   * @param from first row
   * @param count rows
   * @param adapters applied in order
   */
  public record Slice(int from, int count, ImmutableList<Adapter> adapters) {}

  /** Checks that slices are disjoint and ascending. */
  public Routing {
    int end = 0;
    for (Slice s : slices) {
      checkArgument(
          s.from() >= end && s.count() > 0,
          "slice %s+%s begins before row %s",
          s.from(),
          s.count(),
          end);
      end = s.from() + s.count();
    }
  }

  /** Returns all {@code rows} rows on one stack of adapters. */
  public static Routing all(int rows, List<Adapter> adapters) {
    return adapters.isEmpty()
        ? BASE
        : new Routing(ImmutableList.of(new Slice(0, rows, ImmutableList.copyOf(adapters))));
  }

  /** Returns all adapters, each once. */
  ImmutableSet<Adapter> adapters() {
    return slices.stream()
        .flatMap(s -> s.adapters().stream())
        .collect(ImmutableSet.toImmutableSet());
  }

  /** Returns what is applied to a group's output. */
  public List<ProjectionAdapter.Slice> on(ProjectionGroup group) {
    List<ProjectionAdapter.Slice> found = new ArrayList<>();
    for (Slice s : slices) {
      for (Adapter a : s.adapters()) {
        a.on(group).ifPresent(p -> found.add(new ProjectionAdapter.Slice(s.from(), s.count(), p)));
      }
    }
    return found;
  }
}
