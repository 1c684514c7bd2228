/** LoRA adapters: configuration, training mathematics, PEFT's format, merging, combining. */
package org.tune4j.lora;
