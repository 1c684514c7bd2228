package org.tune4j.core.data;

/**
 * The formats of task files. JSON formats may be one object a line ({@code .jsonl}) or one array
 * ({@code .json}).
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
  /** {@code text,label}, with a header line. */
  CSV
}
