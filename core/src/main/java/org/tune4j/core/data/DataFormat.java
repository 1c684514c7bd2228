package org.tune4j.core.data;

/**
 * The formats of task files, in UTF-8. JSON formats may be one object a line or one array. A field
 * whose value is null counts as absent.
 */
public enum DataFormat {
  /** {@code {"prompt", "completion"}}: two texts, or lists of turns as in {@link #MESSAGES}. */
  PROMPT_COMPLETION,
  /** {@code {"text"}}. */
  TEXT,
  /**
   * {@code {"messages": [{"role", "content"}]}}, with {@code tools}, {@code documents}, {@code
   * chat_template_kwargs} and {@code system} beside them, and whatever the chat template reads in a
   * turn.
   */
  MESSAGES,
  /** {@code {"instruction", "input", "output"}}; input is optional. */
  ALPACA,
  /** {@code {"conversations": [{"from", "value"}]}}, otherwise as {@link #MESSAGES}. */
  SHAREGPT,
  /**
   * {@code text,label}, with a header line; other columns are not used. JSON with these two fields
   * is understood alike.
   */
  CSV
}
