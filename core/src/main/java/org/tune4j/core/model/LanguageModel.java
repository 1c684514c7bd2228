package org.tune4j.core.model;

/** A decoder-only language model with frozen weights. */
public final class LanguageModel {
  private LanguageModel() {}
}
