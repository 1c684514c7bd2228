package org.tune4j.eval.affinity;

import com.google.common.collect.ImmutableList;

/**
 * What one task's sample comes to at the common adapter.
 *
 * @param draws examples of the task that a whole training draws
 * @param onward examples of it that the common adapter was trained on further, all tasks together
 * @param after loss of {@code validation} after that, in nats per learned token
 * @param train the sample to learn from; not empty
 * @param validation the sample to predict the loss of; not empty
 */
record Outputs(
    String task,
    long draws,
    long onward,
    double after,
    ImmutableList<Tangent.Output> train,
    ImmutableList<Tangent.Output> validation) {}
