package org.tune4j.core.text;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What a chat template is given besides the messages, as in transformers' {@code
 * apply_chat_template}. Values are represented as in {@link JsonValues}.
 *
 * @param tools JSON schemas of functions that the model may call; if absent, the template sees
 *     {@code none}
 * @param documents to answer from; if absent, the template sees {@code none}
 * @param variables the template's own variables, such as {@code enable_thinking} or {@code
 *     date_string}; one with the name of a special token replaces the tokenizer's
 * @param addGenerationPrompt whether the text ends where the assistant begins to answer
 * @param template which of several named templates; if absent, {@code tool_use} if there are tools
 *     and such a template, else {@code default}
 */
public record ChatOptions(
    Optional<List<Map<String, Object>>> tools,
    Optional<List<Map<String, Object>>> documents,
    Map<String, Object> variables,
    boolean addGenerationPrompt,
    Optional<String> template) {
  private static final ImmutableSet<String> RESERVED =
      ImmutableSet.of("messages", "tools", "documents", "add_generation_prompt");
  private static final ChatOptions NONE =
      new ChatOptions(Optional.empty(), Optional.empty(), Map.of(), false, Optional.empty());

  /**
   * Copies the values.
   *
   * @throws IllegalArgumentException if a value has no JSON equivalent, or a variable is named like
   *     one of the other inputs
   */
  public ChatOptions {
    tools = tools.map(ChatOptions::copyOf);
    documents = documents.map(ChatOptions::copyOf);
    variables = JsonValues.copyOf(variables);
    for (String name : RESERVED) {
      checkArgument(
          !variables.containsKey(name),
          "'%s' cannot be a variable: the template is given it otherwise",
          name);
    }
  }

  private static List<Map<String, Object>> copyOf(List<Map<String, Object>> maps) {
    return maps.stream().<Map<String, Object>>map(JsonValues::copyOf).toList();
  }

  /** Returns options without tools, documents or variables, and without a generation prompt. */
  public static ChatOptions defaults() {
    return NONE;
  }

  /** Returns a builder that starts from the defaults. */
  public static Builder builder() {
    return NONE.toBuilder();
  }

  /** Returns a builder that starts from these options. */
  public Builder toBuilder() {
    return new Builder(this);
  }

  /** Returns these options with or without a generation prompt. */
  public ChatOptions withGenerationPrompt(boolean add) {
    return add == addGenerationPrompt
        ? this
        : new ChatOptions(tools, documents, variables, add, template);
  }

  /** Builds options. */
  public static final class Builder {
    private Optional<List<Map<String, Object>>> tools;
    private Optional<List<Map<String, Object>>> documents;
    private final Map<String, Object> variables;
    private boolean addGenerationPrompt;
    private Optional<String> template;

    private Builder(ChatOptions from) {
      tools = from.tools;
      documents = from.documents;
      variables = new LinkedHashMap<>(from.variables);
      addGenerationPrompt = from.addGenerationPrompt;
      template = from.template;
    }

    /** Sets the tools; an empty list differs from none. */
    public Builder tools(List<Map<String, Object>> value) {
      tools = Optional.of(value);
      return this;
    }

    /** Sets the documents. */
    public Builder documents(List<Map<String, Object>> value) {
      documents = Optional.of(value);
      return this;
    }

    /** Sets one variable. */
    public Builder variable(String name, Object value) {
      variables.put(name, value);
      return this;
    }

    /** Sets several variables. */
    public Builder variables(Map<String, ?> values) {
      variables.putAll(values);
      return this;
    }

    /** Sets whether the text ends where the assistant begins to answer. */
    public Builder addGenerationPrompt(boolean value) {
      addGenerationPrompt = value;
      return this;
    }

    /** Sets which of several named templates renders. */
    public Builder template(String name) {
      template = Optional.of(name);
      return this;
    }

    /** Builds the options. */
    public ChatOptions build() {
      return new ChatOptions(tools, documents, variables, addGenerationPrompt, template);
    }
  }
}
