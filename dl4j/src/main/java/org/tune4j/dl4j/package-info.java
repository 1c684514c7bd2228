/**
 * Fine-tuning of DeepLearning4J networks: {@code MultiLayerNetwork} and {@code ComputationGraph},
 * by the strategies that language models are fine-tuned by.
 */
package org.tune4j.dl4j;
