package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.List;

/**
 * Modules of a model: all linear layers, those of some names, or those whose name an expression
 * matches; PEFT's {@code target_modules} and {@code exclude_modules}. How names are compared is
 * PEFT's, too: a module has a name if it is its own, or what follows one of its dots.
 *
 * @param names the names, or the one expression; empty for none
 * @param expression whether it is an expression of Python's, which matches the whole name
 */
public record TargetModules(ImmutableList<String> names, boolean expression) {
  /** What stands for every linear layer but the output head. */
  public static final String ALL_LINEAR = "all-linear";

  private static final int SHOWN = 300;

  /** Checks that {@link #ALL_LINEAR} stands alone, and an expression, too. */
  public TargetModules {
    checkArgument(
        expression || names.size() == 1 || !names.contains(ALL_LINEAR),
        "target_modules %s: '%s' stands alone",
        names,
        ALL_LINEAR);
    checkArgument(
        !expression || names.size() == 1, "%s expressions; there must be one", names.size());
  }

  /** Returns every linear layer but the output head. */
  public static TargetModules allLinear() {
    return named(ALL_LINEAR);
  }

  /** Returns the modules of full names, or of suffixes such as {@code q_proj}. */
  public static TargetModules named(List<String> names) {
    return new TargetModules(ImmutableList.copyOf(names), false);
  }

  /** Like {@link #named(List)}. */
  public static TargetModules named(String... names) {
    return named(List.of(names));
  }

  /** Returns the modules whose whole name an expression of Python's matches. */
  public static TargetModules matching(String expression) {
    return new TargetModules(ImmutableList.of(expression), true);
  }

  /** Returns no module. */
  public static TargetModules none() {
    return named();
  }

  /** Returns whether it is {@link #allLinear}. */
  public boolean isAllLinear() {
    return !expression && names.contains(ALL_LINEAR);
  }

  /** Returns whether it is {@link #none}. */
  public boolean isNone() {
    return names.isEmpty();
  }

  /** Returns the names, or the expression in quotation marks, shortened. */
  @Override
  public String toString() {
    String text = expression ? "'" + names.get(0) + "'" : names.toString();
    return text.length() <= SHOWN ? text : text.substring(0, SHOWN) + "…";
  }
}
