package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.engine.EmbeddingAdapter;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tape;

/**
 * Assigns adapters to rows of a batch: each slice of rows has a stack of adapters, applied in
 * order; rows in no slice use the base model alone.
 *
 * @param slices disjoint, ascending
 */
public record Routing(ImmutableList<Slice> slices) {
  /** The base model alone. */
  public static final Routing BASE = new Routing(ImmutableList.of());

  /** Adapters on rows {@code [from, from + count)}, applied in order. */
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

  /** Returns a routing of rows {@code [0, rows)} to one stack of adapters. */
  public static Routing all(int rows, List<Adapter> adapters) {
    return adapters.isEmpty()
        ? BASE
        : new Routing(ImmutableList.of(new Slice(0, rows, ImmutableList.copyOf(adapters))));
  }

  ImmutableSet<Adapter> adapters() {
    return slices.stream()
        .flatMap(s -> s.adapters().stream())
        .collect(ImmutableSet.toImmutableSet());
  }

  /**
   * Returns the lookup of rows of an embedding, with its adapters.
   *
   * @param table an embedding's group
   * @param ids one for each row of the batch
   */
  public Tape.Lookup lookup(ProjectionGroup table, int[] ids) {
    List<EmbeddingAdapter.Slice> found = new ArrayList<>();
    for (Slice s : slices) {
      int before = found.size();
      for (Adapter a : s.adapters()) {
        a.onRows(table)
            .ifPresent(
                e -> {
                  checkFirst(!e.replacesRows() || found.size() == before, a, table);
                  found.add(new EmbeddingAdapter.Slice(s.from(), s.count(), e));
                });
      }
    }
    return new Tape.Lookup(table.weights(), ids, found);
  }

  /**
   * Returns the routing of a selection of rows.
   *
   * @param rows ascending
   */
  Routing select(int[] rows) {
    List<Slice> found = new ArrayList<>();
    int at = 0;
    for (Slice s : slices) {
      while (at < rows.length && rows[at] < s.from()) {
        at++;
      }
      int from = at;
      while (at < rows.length && rows[at] < s.from() + s.count()) {
        at++;
      }
      if (at > from) {
        found.add(new Slice(from, at - from, s.adapters()));
      }
    }
    return new Routing(ImmutableList.copyOf(found));
  }

  /**
   * Returns the adapters of a group's output.
   *
   * @throws IllegalArgumentException if one that replaces the output is not the first in its stack
   */
  public List<ProjectionAdapter.Slice> on(ProjectionGroup group) {
    List<ProjectionAdapter.Slice> found = new ArrayList<>();
    for (Slice s : slices) {
      int before = found.size();
      for (Adapter a : s.adapters()) {
        a.on(group)
            .ifPresent(
                p -> {
                  checkFirst(!p.replacesOutput() || found.size() == before, a, group);
                  found.add(new ProjectionAdapter.Slice(s.from(), s.count(), p));
                });
      }
    }
    return found;
  }

  private static void checkFirst(boolean first, Adapter adapter, ProjectionGroup group) {
    checkArgument(
        first,
        "adapter '%s' replaces %s, which an adapter below it in the stack changes: it must come first",
        adapter.name(),
        group.members().get(0).name());
  }
}
