package org.tune4j.core.engine;

/**
 * A weight that is never trained, {@code [out, in]} as in {@code torch.nn.Linear}, in the layout
 * that its engine multiplies fastest, with an optional bias {@code [out]}. Made by {@link
 * Engine#freeze}; freed by {@link #close()}.
 */
public interface FrozenMatrix extends AutoCloseable {
  /** What a matrix is used for, so that an engine keeps only the layouts it needs. */
  enum Use {
    /** {@link Engine#linear} and {@link Engine#linearBackward}. */
    PROJECTION,
    /** {@link Engine#embed} only. */
    EMBEDDING,
    /** {@link Engine#headLoss} and {@link Engine#logits}. */
    HEAD,
    /** {@link #EMBEDDING} and {@link #HEAD}: tied weights. */
    EMBEDDING_AND_HEAD
  }

  /** Returns the output features. */
  int out();

  /** Returns the input features. */
  int in();

  /** Returns whether a bias is added by {@link Engine#linear}. */
  boolean hasBias();

  /** Returns what it was made from, before conversion; without the bias. */
  MatrixSource source();

  /** Returns the bytes that it holds outside the heap. */
  long bytes();

  @Override
  void close();
}
