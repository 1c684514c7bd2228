package org.tune4j.core.text.jinja;

import java.time.Clock;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/** One rendering: its output, and what it has used of its limits. */
final class Run {
  private static final ThreadLocal<Run> CURRENT = new ThreadLocal<>();

  /** Bytes of what a step makes beside texts and lists, about. */
  private static final int SMALL_OBJECTS = 64;

  private final Limits limits;
  final Clock clock;
  final StringBuilder output = new StringBuilder();

  /** Where output goes: {@link #output}, or a text that is captured. */
  StringBuilder out = output;

  final List<Template.Span> spans = new ArrayList<>();

  /** Whether a generation block was rendered into something other than the output. */
  boolean spansLost;

  /** What runs, for the place of an error. */
  Token at;

  private long steps;
  private long visits;
  private long produced;
  private int depth;

  Run(Limits limits, Clock clock) {
    this.limits = limits;
    this.clock = clock;
  }

  /** Returns the rendering that runs in this thread. */
  static Run now() {
    return CURRENT.get();
  }

  /** Makes this the thread's rendering, and returns the one before, which may be null. */
  static Run makeCurrent(Run run) {
    Run before = CURRENT.get();
    if (run == null) {
      CURRENT.remove();
    } else {
      CURRENT.set(run);
    }
    return before;
  }

  /** Counts a statement, an iteration or a call, and the small objects that one makes. */
  void step() {
    produced += SMALL_OBJECTS;
    if ((++steps & 255) == 0) {
      check();
    }
  }

  /** Counts a part of a value that is printed, compared or hashed. */
  void visit() {
    if ((++visits & 3) == 0 && (++steps & 255) == 0) {
      check();
    }
  }

  private void check() {
    if (produced > limits.produced()) {
      throw Failure.limit(
          "more than %d bytes of texts, lists and other values made in all", limits.produced());
    }
    if (steps > limits.steps()) {
      throw Failure.limit("more than %d steps (statements, iterations and calls)", limits.steps());
    }
    if (Thread.currentThread().isInterrupted()) {
      throw Failure.of(Kind.INTERRUPTED, "the thread was interrupted");
    }
  }

  /** Counts reading through a text. */
  void scanned(long characters) {
    if (characters >= 64) {
      steps += characters >> 6;
      check();
    }
  }

  /** Counts a text that is about to be made, or was made, and the object that holds it. */
  void made(long characters) {
    checkSize(characters);
    count(characters + 40);
  }

  /** Counts elements added to a list that now has {@code size}. */
  void madeElements(long elements, long size) {
    checkSize(size);
    count(4 * elements);
  }

  private void count(long characters) {
    produced += characters;
    if (produced > limits.produced()) {
      check();
    }
    scanned(characters);
  }

  void checkSize(long size) {
    if (size > limits.value()) {
      throw Failure.limit(
          "a text or list of %d elements; at most %d are allowed", size, limits.value());
    }
  }

  /** Appends to the output or to a captured text. */
  void write(String text) {
    out.append(text);
    if (out != output) {
      checkSize(out.length());
    } else if (out.length() > limits.output()) {
      throw Failure.limit("more than %d characters of output", limits.output());
    }
    count(text.length());
  }

  /** Runs something whose output goes into a text. */
  <T> T capture(StringBuilder into, Supplier<T> body) {
    StringBuilder before = out;
    out = into;
    try {
      return body.get();
    } finally {
      out = before;
    }
  }

  /** Runs a call whose body is {@code levels} high, and returns its output. */
  String call(int levels, Runnable body) {
    step();
    depth += levels;
    if (depth > limits.depth()) {
      throw Failure.limit("calls are nested more than %d levels deep", limits.depth());
    }
    StringBuilder text = new StringBuilder();
    capture(
        text,
        () -> {
          body.run();
          return null;
        });
    depth -= levels;
    return text.toString();
  }
}
