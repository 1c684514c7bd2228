package org.tune4j.lora;

import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.model.Projection;
import org.tune4j.core.model.ProjectionGroup;

/**
 * A module that an adapter changes.
 *
 * @param group the module's group
 * @param member its index there
 * @param rank of the update
 * @param scale factor of the update
 */
record Target(ProjectionGroup group, int member, int rank, float scale) {
  Projection projection() {
    return group.members().get(member);
  }

  String name() {
    return projection().name();
  }

  /** Returns the source of its current weight; for an embedding the table, {@code [in, out]}. */
  MatrixSource source() {
    return group.sources().get(member);
  }

  /** Returns whether this is an embedding. */
  boolean embedding() {
    return group.use() == ProjectionGroup.Use.EMBEDDING;
  }
}
