/**
 * For extending the library: the contracts of engines, adapters and training strategies as abstract
 * tests, and the comparison with recorded runs of transformers and PEFT.
 */
package org.tune4j.testing;
