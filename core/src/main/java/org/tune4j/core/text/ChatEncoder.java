package org.tune4j.core.text;

import com.google.common.base.Supplier;
import com.google.common.base.Suppliers;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.text.Rendered.Span;
import org.tune4j.core.text.jinja.TemplateException;

/**
 * Turns conversations into tokens and marks the answers among them. The chat template's output is
 * tokenized as a whole, so that training and generation see the same tokens.
 *
 * <p>Where the template marks what the assistant generates ({@code {% generation %}}), that is the
 * answer. Otherwise an answer starts where the generation prompt of the preceding turns ends, and
 * ends with the first end token after its content: that is what generation has to produce. Template
 * text after it, such as ChatML's line break, is not part of the answer.
 *
 * <p>Which token ends a turn is derived from what the template puts after an answer. If that does
 * not begin with a special token, the text between an answer and the next question ends a turn.
 *
 * <p>Thread-safe.
 */
public final class ChatEncoder {
  /** Private-use characters, so that no conversation begins with it. */
  private static final String MARK = "\uE0F1\uE0F2\uE0F3";

  /** Errors that no single turn causes, so that rendering fewer turns would not help. */
  private static final ImmutableSet<TemplateException.Kind> UNRELATED_TO_TURNS =
      ImmutableSet.of(
          TemplateException.Kind.SYNTAX,
          TemplateException.Kind.LIMIT,
          TemplateException.Kind.INTERRUPTED);

  private static final String QUESTION = "qvquestion";
  private static final String ANSWER = "qvanswer";

  /**
   * What ends a turn of the assistant; any of these does.
   *
   * @param tokens the template's own and the tokenizer's end tokens
   * @param texts where the template has no token for it
   */
  public record TurnEnd(ImmutableSet<Integer> tokens, ImmutableList<String> texts) {}

  /**
   * A conversation as tokens.
   *
   * @param ids tokens
   * @param learned whether each token is part of a learned turn
   */
  public record Encoded(int[] ids, boolean[] learned) {}

  private final ChatTemplate template;
  private final Tokenizer tokenizer;
  private final ReadFields readFields;
  private final Supplier<TurnEnd> turnEnd = Suppliers.memoize(this::findTurnEnd);

  /** Combines a template with a tokenizer. */
  public ChatEncoder(ChatTemplate template, Tokenizer tokenizer) {
    this.template = template;
    this.tokenizer = tokenizer;
    this.readFields = new ReadFields(template);
  }

  /** Returns what ends a turn of the assistant. */
  public TurnEnd turnEnd() {
    return turnEnd.get();
  }

  /**
   * Returns the text that the assistant is to continue.
   *
   * @throws IllegalArgumentException if the template refuses the conversation (the message names
   *     the turn), or ignores tools, calls, reasoning or other fields
   */
  public String prompt(List<Message> messages, ChatOptions options) {
    String text = render(messages, options.withGenerationPrompt(true)).text();
    readFields.require(messages, options);
    return text;
  }

  /**
   * Encodes a conversation.
   *
   * @param turns whether each message is learned
   * @throws IllegalArgumentException if the template refuses the conversation, ignores tools,
   *     calls, reasoning or other fields, or does not reveal where a learned turn is
   */
  public Encoded encode(List<Message> messages, ChatOptions options, boolean[] turns) {
    Rendered rendered = render(messages, options.withGenerationPrompt(false));
    readFields.require(messages, options);
    TokenizedText tokens = tokenizer.tokenize(rendered.text(), false);
    Turns derived = new Turns(messages, options, rendered.text(), tokens);
    List<Span> spans = new ArrayList<>();
    boolean[] unmarked = turns.clone();
    if (rendered.hasGenerationBlocks()) {
      spans.addAll(marked(messages, options, turns, rendered));
      for (int i = 0; i < turns.length; i++) {
        unmarked[i] &= !isAnswer(messages.get(i));
      }
    }
    spans.addAll(derived.spans(unmarked));
    boolean[] learned = new boolean[tokens.ids().length];
    for (int i = 1; i < learned.length; i++) { // the first token is never predicted
      for (Span s : spans) {
        learned[i] |= tokens.covers(i, s.start(), s.end());
      }
    }
    return new Encoded(tokens.ids(), learned);
  }

  private Rendered render(List<Message> messages, ChatOptions options) {
    try {
      return template.render(messages, options);
    } catch (TemplateException e) {
      if (UNRELATED_TO_TURNS.contains(e.kind())) {
        throw e;
      }
      int turn = messages.size();
      for (int n = 1; n < messages.size() && turn == messages.size(); n++) {
        if (renderOrNull(messages.subList(0, n), options) == null) {
          turn = n;
        }
      }
      throw turn == 0
          ? e
          : new IllegalArgumentException(
              "%s: %s".formatted(describe(messages, turn - 1), e.getMessage()), e);
    }
  }

  private static boolean isAnswer(Message message) {
    return message.role().equals("assistant");
  }

  private static String describe(List<Message> messages, int turn) {
    return "messages[%d] (%s)".formatted(turn, messages.get(turn).role());
  }

  /** Null if the template refuses the conversation. */
  private String renderOrNull(List<Message> messages, ChatOptions options) {
    try {
      return template.render(messages, options).text();
    } catch (TemplateException e) {
      if (UNRELATED_TO_TURNS.contains(e.kind())) {
        throw e;
      }
      return null;
    }
  }

  // ---- spans marked by the template

  private List<Span> marked(
      List<Message> messages, ChatOptions options, boolean[] turns, Rendered rendered) {
    List<Span> spans = rendered.assistantSpans();
    List<Integer> answers = new ArrayList<>();
    boolean all = true;
    for (int i = 0; i < messages.size(); i++) {
      if (isAnswer(messages.get(i))) {
        answers.add(i);
        all &= turns[i];
      }
    }
    if (all) {
      return spans;
    }
    List<Span> chosen = new ArrayList<>();
    for (int s = 0; s < spans.size(); s++) {
      int turn =
          spans.size() == answers.size()
              ? answers.get(s)
              : turnAt(messages, options, answers, rendered.text(), spans.get(s).start());
      if (turn >= 0 && turns[turn]) {
        chosen.add(spans.get(s));
      }
    }
    return chosen;
  }

  /** Returns the last answer that starts at or before an offset; -1 if there is none. */
  private int turnAt(
      List<Message> messages, ChatOptions options, List<Integer> answers, String text, int at) {
    int turn = -1;
    for (int i : answers) {
      String before = renderOrNull(messages.subList(0, i), options);
      if (before != null && commonPrefix(text, before) <= at) {
        turn = i;
      }
    }
    return turn;
  }

  private static int commonPrefix(String a, String b) {
    int n = 0;
    while (n < a.length() && n < b.length() && a.charAt(n) == b.charAt(n)) {
      n++;
    }
    return n;
  }

  private static List<Message> withMark(List<Message> messages, int turn) {
    List<Message> marked = new ArrayList<>(messages);
    marked.set(turn, messages.get(turn).with("content", MARK));
    return marked;
  }

  // ---- spans derived from how the text grows turn by turn

  /** Locates the turns of a conversation in its text. */
  private final class Turns {
    private final List<Message> messages;
    private final ChatOptions options;
    private final String text;
    private final TokenizedText tokens;

    Turns(List<Message> messages, ChatOptions options, String text, TokenizedText tokens) {
      this.messages = messages;
      this.options = options.withGenerationPrompt(false);
      this.text = text;
      this.tokens = tokens;
    }

    List<Span> spans(boolean[] turns) {
      List<Span> spans = new ArrayList<>();
      int from = 0;
      for (int i = 0; i < messages.size(); i++) {
        if (turns[i]) {
          int start = start(i);
          if (start < from) {
            throw unclear(i);
          }
          from = end(i, start);
          spans.add(new Span(start, from));
        }
      }
      return spans;
    }

    private IllegalArgumentException unclear(int turn) {
      return new IllegalArgumentException(
          "%s: the chat template does not reveal where this turn's text is"
              .formatted(describe(messages, turn)));
    }

    /**
     * Returns where a turn starts: where generation would start, or, if the template renders
     * earlier turns differently once later ones follow, where its content starts.
     */
    private int start(int turn) {
      if (isAnswer(messages.get(turn))) {
        String before = renderOrNull(messages.subList(0, turn), options.withGenerationPrompt(true));
        if (before != null && !before.isEmpty() && text.startsWith(before)) {
          return before.length();
        }
      }
      int at = contentStart(turn);
      if (at == text.length()) {
        throw unclear(turn);
      }
      return at;
    }

    /**
     * Returns where the text would differ if a turn had other content; the text's end if nowhere.
     */
    private int contentStart(int turn) {
      String other = renderOrNull(withMark(messages, turn), options);
      return other == null ? text.length() : commonPrefix(text, other);
    }

    private int end(int turn, int start) {
      boolean last = turn + 1 == messages.size();
      String upTo = last ? text : renderOrNull(messages.subList(0, turn + 1), options);
      boolean grows = upTo != null && upTo.length() >= start && text.startsWith(upTo);
      int bound = grows ? upTo.length() : Math.max(start, contentStart(turn + 1));
      String content = messages.get(turn).content().strip();
      int at = content.isEmpty() ? -1 : text.indexOf(content, start);
      int contentEnd = at < 0 || at + content.length() > bound ? start : at + content.length();
      for (int i = 0; i < tokens.ids().length && tokens.start()[i] < bound; i++) {
        if (tokens.start()[i] >= start
            && tokens.end()[i] > contentEnd
            && turnEnd().tokens().contains(tokens.ids()[i])) {
          return tokens.end()[i];
        }
      }
      return grows || contentEnd == start ? bound : contentEnd;
    }
  }

  // ---- what ends a turn

  private TurnEnd findTurnEnd() {
    ImmutableSet.Builder<Integer> ends = ImmutableSet.<Integer>builder().addAll(tokenizer.eos());
    List<Message> answered = List.of(Message.user(QUESTION), Message.assistant(ANSWER));
    String text = renderOrNull(answered, ChatOptions.defaults());
    int at = text == null ? -1 : text.lastIndexOf(ANSWER);
    if (at < 0) {
      return new TurnEnd(ends.build(), ImmutableList.of());
    }
    int end = at + ANSWER.length();
    TokenizedText tokens = tokenizer.tokenize(text, false);
    for (int i = 0; i < tokens.ids().length; i++) {
      if (tokens.end()[i] <= end) {
        continue;
      }
      int id = tokens.ids()[i];
      if (tokenizer.isMark(id) || tokenizer.eos().contains(id)) {
        return new TurnEnd(ends.add(id).build(), ImmutableList.of());
      }
      if (!text.substring(Math.max(end, tokens.start()[i]), tokens.end()[i]).isBlank()) {
        break;
      }
    }
    return new TurnEnd(ends.build(), textAfterAnswer(answered));
  }

  private ImmutableList<String> textAfterAnswer(List<Message> answered) {
    List<Message> more = new ArrayList<>(answered);
    more.add(Message.user(MARK));
    String text = renderOrNull(more, ChatOptions.defaults());
    int from = text == null ? -1 : text.indexOf(ANSWER);
    int to = text == null ? -1 : text.indexOf(MARK);
    if (from < 0 || to < from) {
      return ImmutableList.of();
    }
    String between = text.substring(from + ANSWER.length(), to).stripTrailing();
    return between.isEmpty() ? ImmutableList.of() : ImmutableList.of(between);
  }
}
