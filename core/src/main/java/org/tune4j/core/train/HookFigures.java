package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;

/**
 * What a gradient hook found out about the training of an adapter.
 *
 * @param hook its {@linkplain GradientHook#name() name}
 */
public record HookFigures(
    String hook, String adapter, ImmutableList<GradientHook.Figure> figures) {}
