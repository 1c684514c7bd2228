package org.tune4j.examples;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import org.junit.jupiter.api.Test;
import org.tune4j.core.data.Task;

class WordNetTasksTest {
  @Test
  void tasksAreAsLargeAsWanted() throws IOException {
    for (String name : WordNetTasks.NAMES) {
      Task task = WordNetTasks.load(name);
      assertThat(task.name()).isEqualTo(name);
      assertThat(task.train().size()).as(name).isGreaterThanOrEqualTo(2_000);
      assertThat(task.validation().size()).as(name).isGreaterThanOrEqualTo(300);
      assertThat(task.test().size()).as(name).isGreaterThanOrEqualTo(500);
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
