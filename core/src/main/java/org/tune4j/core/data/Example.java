package org.tune4j.core.data;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.OptionalInt;
import org.tune4j.core.text.ChatOptions;
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
 * @param completionStart of a conversation that the data divides into a prompt and a completion,
 *     the completion's first message: everything before it is the prompt
 * @param options what the conversation's chat template is given beside the messages
 * @param origin where it was read, such as {@code train.jsonl, line 12}; for messages
 */
public record Example(
    String prompt,
    String completion,
    ImmutableList<Message> messages,
    ImmutableList<Boolean> learned,
    OptionalInt completionStart,
    ChatOptions options,
    String origin) {
  /** Checks that flags and places fit the messages. */
  public Example {
    checkArgument(
        learned.isEmpty() || learned.size() == messages.size(),
        "%s flags for %s messages",
        learned.size(),
        messages.size());
    checkArgument(
        completionStart.isEmpty()
            || (completionStart.getAsInt() >= 0 && completionStart.getAsInt() < messages.size()),
        "a completion from message %s on, of %s",
        completionStart.orElse(0),
        messages.size());
    checkArgument(
        !options.addGenerationPrompt(), "a conversation to learn ends without a generation prompt");
  }

  /** A conversation that the data does not divide, rendered with nothing beside the messages. */
  public Example(
      String prompt,
      String completion,
      ImmutableList<Message> messages,
      ImmutableList<Boolean> learned,
      String origin) {
    this(
        prompt, completion, messages, learned, OptionalInt.empty(), ChatOptions.defaults(), origin);
  }

  /** An example that does not say which of its messages are learned. */
  public Example(String prompt, String completion, ImmutableList<Message> messages, String origin) {
    this(prompt, completion, messages, ImmutableList.of(), origin);
  }

  /** Returns a prompt with its completion. */
  public static Example of(String prompt, String completion) {
    return new Example(prompt, completion, ImmutableList.of(), "");
  }

  /** Returns a text without a prompt: all of it is learned. */
  public static Example text(String text) {
    return of("", text);
  }

  /** Returns a conversation, of which the assistant's part is learned. */
  public static Example conversation(Message... messages) {
    return new Example("", "", ImmutableList.copyOf(messages), "");
  }

  /** Returns whether it is a conversation. */
  public boolean isConversation() {
    return !messages.isEmpty();
  }

  /** Returns the place of the assistant's last turn among the messages; -1 if there is none. */
  public int lastAnswer() {
    int last = messages.size() - 1;
    while (last >= 0 && !messages.get(last).role().equals("assistant")) {
      last--;
    }
    return last;
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
