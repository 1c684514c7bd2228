package org.tune4j.core.data;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import org.tune4j.core.text.Message;

/**
 * One example of a task: a prompt with its completion, a free text (then the prompt is empty), or a
 * conversation.
 *
 * @param prompt what the model is given; carries no loss by default
 * @param completion what it is to produce
 * @param messages the conversation, if it is one; else empty
 * @param learned for each message whether it is learned; empty if the data does not say, then the
 *     assistant's turns are, as {@link LearnedTurns} chooses
 * @param origin where it was read, such as {@code train.jsonl, line 12}; for messages
 */
public record Example(
    String prompt,
    String completion,
    ImmutableList<Message> messages,
    ImmutableList<Boolean> learned,
    String origin) {
  /** Checks that the flags, if there are any, are one for each message. */
  public Example {
    checkArgument(
        learned.isEmpty() || learned.size() == messages.size(),
        "%s flags for %s messages",
        learned.size(),
        messages.size());
  }

  /** An example that does not say which of its messages are learned. */
  public Example(String prompt, String completion, ImmutableList<Message> messages, String origin) {
    this(prompt, completion, messages, ImmutableList.of(), origin);
  }

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
