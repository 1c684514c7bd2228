package org.tune4j.core.data;

import com.google.common.collect.ImmutableList;
import org.tune4j.core.text.ChatTemplate.Message;

/**
 * One example of a task: a prompt with its completion, a free text (then the prompt is empty), or a
 * conversation.
 *
 * @param prompt what the model is given; carries no loss by default
 * @param completion what it is to produce
 * @param messages the conversation, if it is one; else empty
 * @param origin where it was read, such as {@code train.jsonl, line 12}; for messages
 */
public record Example(
    String prompt, String completion, ImmutableList<Message> messages, String origin) {
  /** Returns a prompt with its completion. */
  public static Example of(String prompt, String completion) {
    return new Example(prompt, completion, ImmutableList.of(), "");
  }

  /** Returns a free text. */
  public static Example text(String text) {
    return of("", text);
  }

  /** Returns whether it is a conversation. */
  public boolean isConversation() {
    return !messages.isEmpty();
  }

  /** Returns what is in it, for comparing and counting words. */
  public String allText() {
    if (!isConversation()) {
      return prompt + completion;
    }
    StringBuilder all = new StringBuilder();
    messages.forEach(m -> all.append(m.content()).append('\n'));
    return all.toString();
  }
}
