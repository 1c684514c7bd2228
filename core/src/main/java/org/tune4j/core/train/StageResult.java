package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.nio.file.Path;
import org.tune4j.core.model.Adapter;

/**
 * A stage that is done.
 *
 * @param stage what was done
 * @param index from 0
 * @param steps optimizer steps
 * @param examples run
 * @param tokens run, filler not counted
 * @param seconds of training
 * @param validationLoss the last measured, by task; may be empty. Of a task that is served by less
 *     than was trained, or by a combined adapter, with what serves it
 * @param gains of optional adapters, by name, kept or not
 * @param saved where each adapter trained or combined in this stage was saved, in PEFT's format,
 *     kept or not
 * @param serving live adapters to use for each task from now on; valid until the next stage trains
 *     them
 */
public record StageResult(
    Stage stage,
    int index,
    int steps,
    long examples,
    long tokens,
    double seconds,
    ImmutableMap<String, Double> validationLoss,
    ImmutableMap<String, Gain> gains,
    ImmutableMap<String, Path> saved,
    ImmutableMap<String, ImmutableList<Adapter>> serving) {}
