package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.nio.file.Path;
import org.tune4j.core.model.Adapter;

/**
 * The result of a completed stage.
 *
 * @param index from 0
 * @param steps optimizer steps
 * @param examples number of examples run
 * @param tokens number of tokens run, without filler
 * @param seconds of training
 * @param validationLoss last validation loss by task, in nats per learned token; may be empty. If a
 *     task is served by other adapters than it was trained with (after dropping or combining), with
 *     those that serve it
 * @param gains of optional adapters, by name, kept or not
 * @param saved where each adapter trained or combined in this stage was saved, in PEFT's format,
 *     kept or not
 * @param serving live adapters for each task from now on; valid until the next stage trains them
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
