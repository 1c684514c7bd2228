package org.tune4j.core.data;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import com.google.common.collect.Sets;

/** The fields that the formats know, and what a file calls them. */
record Columns(ImmutableMap<String, String> renamed) {
  /** Fields of a row that are read. */
  static final ImmutableSet<String> ROW =
      ImmutableSet.of(
          "prompt",
          "completion",
          "text",
          "label",
          "messages",
          "instruction",
          "input",
          "output",
          "conversations",
          "system",
          "history",
          "tools",
          "documents",
          "chat_template_kwargs");

  /** Fields of a turn that are read; any other goes to the chat template as it stands. */
  static final ImmutableSet<String> TURN =
      ImmutableSet.of(
          "role",
          "content",
          "from",
          "value",
          "name",
          "tool_calls",
          "tool_call_id",
          "reasoning_content",
          "thinking",
          "weight",
          "train");

  /** Fields of rows for other kinds of training or other models. */
  static final ImmutableSet<String> FOREIGN =
      ImmutableSet.of("chosen", "rejected", "functions", "image", "images", "videos", "audios");

  static final Columns NONE = new Columns(ImmutableMap.of());

  /** Returns these with one more field renamed. */
  Columns with(String field, String nameInFile) {
    checkArgument(
        ROW.contains(field) || TURN.contains(field),
        "no format has a field '%s'; there are %s",
        field,
        Sets.union(ROW, TURN));
    return new Columns(
        ImmutableMap.<String, String>builder()
            .putAll(renamed)
            .put(field, nameInFile)
            .buildKeepingLast());
  }

  /** Returns what the file calls a field. */
  String name(String field) {
    return renamed.getOrDefault(field, field);
  }

  /** Returns which of the fields a name in a file stands for; nothing if none. */
  String field(String nameInFile, ImmutableSet<String> of) {
    for (String field : of) {
      if (name(field).equals(nameInFile)) {
        return field;
      }
    }
    return "";
  }
}
