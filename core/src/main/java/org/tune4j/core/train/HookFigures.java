package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;

/**
 * Figures that a gradient hook reports about the training of an adapter.
 *
 * @param hook the hook's {@linkplain GradientHook#name() name}
 */
public record HookFigures(
    String hook, String adapter, ImmutableList<GradientHook.Figure> figures) {}
