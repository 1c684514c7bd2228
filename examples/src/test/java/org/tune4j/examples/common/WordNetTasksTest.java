package org.tune4j.examples.common;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import org.junit.jupiter.api.Test;

class WordNetTasksTest {
  @Test
  void eachIsReadByItsName() throws IOException {
    for (String name : WordNetTasks.NAMES) {
      assertThat(WordNetTasks.load(name).name()).isEqualTo(name);
    }
  }

  @Test
  void unknownTaskIsNamed() {
    assertThatThrownBy(() -> WordNetTasks.load("antonyms"))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'antonyms'")
        .hasMessageContaining("part-whole");
  }
}
