package org.tune4j.core.data;

/**
 * The formats of task files, in UTF-8. JSON formats may have one object per line or one array. A
 * field whose value is null counts as absent.
 */
public enum DataFormat {
  /** {@code {"prompt", "completion"}}: two texts, or lists of turns as in {@link #MESSAGES}. */
  PROMPT_COMPLETION,
  /** {@code {"text"}}. */
  TEXT,
  /**
   * {@code {"messages": [{"role", "content"}]}}, optionally with {@code tools}, {@code documents},
   * {@code chat_template_kwargs} and {@code system}, and any field of a turn that the chat template
   * reads.
   */
  MESSAGES,
  /** {@code {"instruction", "input", "output"}}; input is optional. */
  ALPACA,
  /** {@code {"conversations": [{"from", "value"}]}}, otherwise like {@link #MESSAGES}. */
  SHAREGPT,
  /**
   * {@code text,label}, with a header line; other columns are not used. JSON with these two fields
   * is read in the same way.
   */
  CSV
}
