package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableList;
import java.time.Clock;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/**
 * A template that can be rendered any number of times, by any threads.
 *
 * <p>The language is that of Jinja 3.1 with {@code trim_blocks}, {@code lstrip_blocks}, loop
 * controls, {@code generation} blocks, {@code raise_exception}, {@code strftime_now} and {@code
 * tojson} as in transformers, in Jinja's immutable sandbox. Features that no prompt needs, such as
 * other templates ({@code include}, {@code import}, {@code extends}), are not supported and
 * rejected by name.
 *
 * <p>Values are data: a string that looks like a template is printed unchanged.
 */
public final class Template {
  private final String name;
  private final Limits limits;
  private final Parser.Parsed parsed;

  private Template(String source, String name, Limits limits) {
    this.name = name;
    this.limits = limits;
    if (source.length() > Limits.TEMPLATE) {
      throw Failure.limit(
          "a template of %d characters; at most %d are read", source.length(), Limits.TEMPLATE);
    }
    parsed = Parser.parse(Lexer.lex(source));
  }

  /**
   * Parses a template, in time proportional to its length.
   *
   * @param name for error messages, usually its file
   * @throws TemplateException if it is not well-formed or nested too deeply
   */
  public static Template compile(String source, String name, Limits limits) {
    try {
      return new Template(source, name, limits);
    } catch (Failure e) {
      throw located(name, e, e.at);
    } catch (StackOverflowError e) {
      throw new TemplateException(Kind.LIMIT, name, 1, 1, "it is nested too deeply", null);
    }
  }

  /** Returns whether the template marks what the assistant generates. */
  public boolean hasGenerationBlocks() {
    return parsed.generation();
  }

  /**
   * The result of rendering a template.
   *
   * @param spans the output of generation blocks, in UTF-16 offsets, in the order of rendering
   * @param spansComplete false if a generation block was rendered into a macro, a captured text or
   *     another one, so that its position is unknown
   */
  public record Result(String text, List<Span> spans, boolean spansComplete) {}

  /**
   * A range of text.
   *
   * @param start offset of the first character
   * @param end offset after the last character
   */
  public record Span(int start, int end) {}

  /**
   * Renders the template.
   *
   * @param variables values in the representation of {@link org.tune4j.core.text.JsonValues}
   * @param clock of {@code strftime_now}
   * @throws TemplateException if the template raises an exception or fails, a limit is reached, or
   *     the thread is interrupted
   */
  public Result render(Map<String, ?> variables, Clock clock) {
    Run run = new Run(limits, clock);
    Scope scope = Scope.top(run, variables);
    Run before = Run.makeCurrent(run);
    try {
      scope.begin(parsed.names());
      parsed.body().exec(scope);
    } catch (Failure e) {
      throw located(name, e, e.at == null ? run.at : e.at);
    } catch (StackOverflowError e) {
      throw located(name, Failure.limit("calls are nested too deeply for this thread"), run.at);
    } finally {
      Run.makeCurrent(before);
    }
    return new Result(run.output.toString(), ImmutableList.copyOf(run.spans), !run.spansLost);
  }

  private static TemplateException located(String name, Failure failure, Token at) {
    return new TemplateException(
        failure.kind,
        name,
        at == null ? 1 : at.line(),
        at == null ? 1 : at.column(),
        failure.getMessage(),
        null);
  }
}
