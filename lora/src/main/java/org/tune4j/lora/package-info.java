/** LoRA adapters: configuration, forward and backward pass, PEFT's format, merging, combining. */
package org.tune4j.lora;
