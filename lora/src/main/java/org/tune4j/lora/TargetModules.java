package org.tune4j.lora;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.List;

/**
 * A choice of modules: all linear layers, those with given names, or those whose names match an
 * expression; PEFT's {@code target_modules} and {@code exclude_modules}. As in PEFT, a name matches
 * a module whose full name equals it or ends in it after a dot.
 *
 * @param names the names, or the single expression; empty for none
 * @param expression whether it is a Python expression that must match the whole name
 */
public record TargetModules(ImmutableList<String> names, boolean expression) {
  /** Stands for every linear layer except the output head. */
  public static final String ALL_LINEAR = "all-linear";

  private static final int MAX_SHOWN = 300;

  /** Checks that {@link #ALL_LINEAR} and an expression stand alone. */
  public TargetModules {
    checkArgument(
        expression || names.size() == 1 || !names.contains(ALL_LINEAR),
        "target_modules %s: '%s' must stand alone",
        names,
        ALL_LINEAR);
    checkArgument(
        !expression || names.size() == 1, "%s expressions; there must be one", names.size());
  }

  /** Returns every linear layer except the output head. */
  public static TargetModules allLinear() {
    return named(ALL_LINEAR);
  }

  /** Returns the modules with these full names, or suffixes such as {@code q_proj}. */
  public static TargetModules named(List<String> names) {
    return new TargetModules(ImmutableList.copyOf(names), false);
  }

  /** Like {@link #named(List)}. */
  public static TargetModules named(String... names) {
    return named(List.of(names));
  }

  /** Returns the modules whose whole name matches a Python expression. */
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

  /** Returns the names, or the expression in quotes, shortened. */
  @Override
  public String toString() {
    String text = expression ? "'" + names.get(0) + "'" : names.toString();
    return text.length() <= MAX_SHOWN ? text : text.substring(0, MAX_SHOWN) + "…";
  }
}
