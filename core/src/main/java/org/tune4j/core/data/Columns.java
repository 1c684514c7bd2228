package org.tune4j.core.data;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import com.google.common.collect.Sets;

/** The fields of the formats, and the names that a file uses for renamed ones. */
record Columns(ImmutableMap<String, String> renamed) {
  /** Fields of a row that some format reads. */
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

  /** Fields of a turn that are interpreted; any other is passed to the chat template as it is. */
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

  /** Fields for other kinds of training or other models, which are refused. */
  static final ImmutableSet<String> FOREIGN =
      ImmutableSet.of("chosen", "rejected", "functions", "image", "images", "videos", "audios");

  static final Columns NONE = new Columns(ImmutableMap.of());

  /** Returns a copy with one more field renamed. */
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

  /** Returns the file's name for a field. */
  String name(String field) {
    return renamed.getOrDefault(field, field);
  }

  /** Returns the field that a name in the file stands for; empty if none. */
  String field(String nameInFile, ImmutableSet<String> of) {
    for (String field : of) {
      if (name(field).equals(nameInFile)) {
        return field;
      }
    }
    return "";
  }
}
