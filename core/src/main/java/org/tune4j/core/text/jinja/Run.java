package org.tune4j.core.text.jinja;

import java.time.Clock;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/** One rendering: its output, and what it has used of its limits. */
final class Run {
  private static final ThreadLocal<Run> CURRENT = new ThreadLocal<>();

  /** Approximate bytes that a step allocates besides strings and lists. */
  private static final int SMALL_OBJECTS = 64;

  private final Limits limits;
  final Clock clock;
  final StringBuilder output = new StringBuilder();

  /** The current output: {@link #output}, or a captured string. */
  StringBuilder out = output;

  final List<Template.Span> spans = new ArrayList<>();

  /** Whether a generation block was rendered into something other than the output. */
  boolean spansLost;

  /** The current position, for errors. */
  Token at;

  private long steps;
  private long visits;
  private long produced;
  private int depth;

  Run(Limits limits, Clock clock) {
    this.limits = limits;
    this.clock = clock;
  }

  /** Returns the current rendering of this thread. */
  static Run now() {
    return CURRENT.get();
  }

  /** Sets the thread's current rendering, and returns the previous one, which may be null. */
  static Run makeCurrent(Run run) {
    Run before = CURRENT.get();
    if (run == null) {
      CURRENT.remove();
    } else {
      CURRENT.set(run);
    }
    return before;
  }

  /** Counts a statement, an iteration or a call, and its small allocations. */
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
          "more than %d bytes of texts, lists and other values allocated in total",
          limits.produced());
    }
    if (steps > limits.steps()) {
      throw Failure.limit("more than %d steps (statements, iterations and calls)", limits.steps());
    }
    if (Thread.currentThread().isInterrupted()) {
      throw Failure.of(Kind.INTERRUPTED, "the thread was interrupted");
    }
  }

  /** Counts a scan of a string. */
  void scanned(long characters) {
    if (characters >= 64) {
      steps += characters >> 6;
      check();
    }
  }

  /** Counts the allocation of a string and of the object that holds it. */
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

  /** Runs something and returns its output as a string. */
  <T> T capture(StringBuilder into, Supplier<T> body) {
    StringBuilder before = out;
    out = into;
    try {
      return body.get();
    } finally {
      out = before;
    }
  }

  /** Runs a call whose body has {@code levels} of nesting, and returns its output. */
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
