package org.tune4j.core.engine;

/**
 * A weight that is never trained, {@code [out, in]} as in {@code torch.nn.Linear}, in its engine's
 * preferred layout, with an optional bias {@code [out]}. Created by {@link Engine#freeze}; freed by
 * {@link #close()}.
 */
public interface FrozenMatrix extends AutoCloseable {
  /** Returns the number of output features: the rows. */
  int out();

  /** Returns the number of input features: the columns, without padding. */
  int in();

  /** Returns the source that it was converted from, without the bias. */
  MatrixSource source();

  @Override
  void close();
}
