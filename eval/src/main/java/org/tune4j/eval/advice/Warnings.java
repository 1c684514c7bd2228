package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.List;

/** What to look after, collected while advice is made. */
final class Warnings {
  private final List<String> sentences = new ArrayList<>();

  void add(String format, Object... values) {
    sentences.add(Explanation.say(format, values));
  }

  void addAll(List<String> more) {
    sentences.addAll(more);
  }

  ImmutableList<String> all() {
    return ImmutableList.copyOf(sentences);
  }
}
