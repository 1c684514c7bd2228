package org.tune4j.core.data;

/**
 * The formats of task files, in UTF-8. JSON formats may be one object a line or one array; {@code
 * .json} files are looked into to tell which.
 */
public enum DataFormat {
  /** {@code {"prompt", "completion"}}. */
  PROMPT_COMPLETION,
  /** {@code {"text"}}. */
  TEXT,
  /** {@code {"messages": [{"role", "content"}]}}. */
  MESSAGES,
  /** {@code {"instruction", "input", "output"}}; input is optional. */
  ALPACA,
  /** {@code {"conversations": [{"from", "value"}]}}. */
  SHAREGPT,
  /**
   * {@code text,label}, with a header line; other columns are ignored. JSON with these two fields
   * is understood alike.
   */
  CSV
}
