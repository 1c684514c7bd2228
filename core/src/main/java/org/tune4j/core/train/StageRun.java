package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import java.util.List;
import org.tune4j.core.model.Adapter;

/**
 * A stage in progress.
 *
 * @param index from 0
 * @param lanes the adapters in training
 */
record StageRun(Stage stage, int index, ImmutableList<Lane> lanes) implements AutoCloseable {
  /** Returns the number of steps of the longest lane. */
  int steps() {
    return lanes.stream().mapToInt(Lane::steps).max().orElse(0);
  }

  /** Returns the lanes that take part in the next step. */
  List<Lane> running() {
    return lanes.stream().filter(Lane::running).toList();
  }

  /** Returns the adapter stack of each lane. */
  ImmutableList<ImmutableList<Adapter>> stacks() {
    return lanes.stream().map(Lane::stack).collect(ImmutableList.toImmutableList());
  }

  /** Starts the stage; under the engine's lock. */
  void begin() {
    lanes.forEach(Lane::begin);
  }

  @Override
  public void close() {
    lanes.forEach(Lane::close);
  }
}
