/** LoRA adapters for language models. */
package org.tune4j.lora;
