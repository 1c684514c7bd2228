package org.tune4j.dl4j;

import com.google.common.collect.ImmutableList;
import java.util.Optional;
import org.nd4j.linalg.dataset.api.preprocessor.DataNormalization;

/**
 * What is saved of a task beside its output layer.
 *
 * @param labels names of its classes; empty unless it has classes
 * @param normalizer of its data
 */
record Dl4jTaskInfo(ImmutableList<String> labels, Optional<DataNormalization> normalizer) {}
