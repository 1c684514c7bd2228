package org.tune4j.core.data;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.OptionalInt;
import org.tune4j.core.text.ChatOptions;
import org.tune4j.core.text.Message;

/**
 * One example of a task: a prompt with its completion, a text (then the prompt is empty), or a
 * conversation.
 *
 * @param prompt the model's input; carries no loss by default
 * @param completion the text to produce
 * @param messages the conversation, if it is one; else empty
 * @param learned whether each message is learned; empty if the data does not say, then {@link
 *     LearnedTurns} chooses among the assistant's turns
 * @param completionStart if the data divides the conversation into a prompt and a completion, the
 *     index of the completion's first message
 * @param options what the chat template is given besides the messages
 * @param origin where it was read, such as {@code train.jsonl, line 12}; for error messages
 */
public record Example(
    String prompt,
    String completion,
    ImmutableList<Message> messages,
    ImmutableList<Boolean> learned,
    OptionalInt completionStart,
    ChatOptions options,
    String origin) {
  /** Checks the flags and the start of the completion against the messages. */
  public Example {
    checkArgument(
        learned.isEmpty() || learned.size() == messages.size(),
        "%s flags for %s messages",
        learned.size(),
        messages.size());
    checkArgument(
        completionStart.isEmpty()
            || (completionStart.getAsInt() >= 0 && completionStart.getAsInt() < messages.size()),
        "the completion starts at message %s of %s",
        completionStart.orElse(0),
        messages.size());
    checkArgument(
        !options.addGenerationPrompt(), "a conversation to learn ends without a generation prompt");
  }

  /** Creates an example without a division of the conversation and without chat options. */
  public Example(
      String prompt,
      String completion,
      ImmutableList<Message> messages,
      ImmutableList<Boolean> learned,
      String origin) {
    this(
        prompt, completion, messages, learned, OptionalInt.empty(), ChatOptions.defaults(), origin);
  }

  /** Creates an example that does not say which of its messages are learned. */
  public Example(String prompt, String completion, ImmutableList<Message> messages, String origin) {
    this(prompt, completion, messages, ImmutableList.of(), origin);
  }

  /** Returns a prompt with its completion. */
  public static Example of(String prompt, String completion) {
    return new Example(prompt, completion, ImmutableList.of(), "");
  }

  /** Returns a text without a prompt, all of which is learned. */
  public static Example text(String text) {
    return of("", text);
  }

  /** Returns a conversation, in which the assistant's turns are learned. */
  public static Example conversation(Message... messages) {
    return new Example("", "", ImmutableList.copyOf(messages), "");
  }

  /** Returns whether it is a conversation. */
  public boolean isConversation() {
    return !messages.isEmpty();
  }

  /** Returns the index of the assistant's last message; -1 if there is none. */
  public int lastAnswer() {
    int last = messages.size() - 1;
    while (last >= 0 && !messages.get(last).role().equals("assistant")) {
      last--;
    }
    return last;
  }

  /** Returns all text of the example, for comparing and counting words. */
  public String allText() {
    if (!isConversation()) {
      return prompt + completion;
    }
    StringBuilder all = new StringBuilder();
    messages.forEach(m -> all.append(m.content()).append('\n'));
    return all.toString();
  }
}
