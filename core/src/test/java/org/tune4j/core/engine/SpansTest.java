package org.tune4j.core.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.primitives.Ints;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

class SpansTest {
  @Property(tries = 50)
  void segmentsAttendToThemselves(
      @ForAll @Size(min = 1, max = 10) List<@IntRange(min = 1, max = 9) Integer> drawn) {
    int[] lengths = Ints.toArray(drawn);
    int[] starts = new int[lengths.length + 1];
    for (int s = 0; s < lengths.length; s++) {
      starts[s + 1] = starts[s] + lengths[s];
    }
    Spans spans = Spans.causal(starts);
    assertThat(spans.count()).isEqualTo(lengths.length);
    assertThat(spans.queryLength()).isEqualTo(lengths).isEqualTo(spans.keyLength());
    assertThat(spans.queryStart()).isEqualTo(spans.keyStart());
    assertThat(starts).startsWith(spans.queryStart());
    assertThat(spans.branch()).isNull();
    int[] branch = new int[starts[lengths.length]];
    assertThat(Spans.tree(starts, branch).branch()).isSameAs(branch);
  }

  @Test
  void thereMayBeNoSpan() {
    assertThat(Spans.causal(new int[] {0}).count()).isZero();
  }

  @Test
  void lengthsAgree() {
    assertThatThrownBy(
            () -> new Spans(new int[2], new int[] {1, 1}, new int[1], new int[] {1, 1}, null))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("spans of different lengths: 2, 2, 1, 2");
  }

  @Test
  void aSpanHasQueriesAndAtLeastAsManyKeys() {
    assertThatThrownBy(() -> Spans.causal(new int[] {0, 3, 3}))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("span 1 has 0 queries over 0 keys");
    assertThatThrownBy(() -> new Spans(new int[1], new int[] {4}, new int[1], new int[] {3}, null))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("span 0 has 4 queries over 3 keys");
  }

  @Test
  void headsDivideEvenlyOverKeyHeads() {
    AttentionShape shape = new AttentionShape(6, 2, 5, 1, 0);
    assertThat(shape.queryCols()).isEqualTo(30);
    assertThat(shape.kvCols()).isEqualTo(10);
    assertThatThrownBy(() -> new AttentionShape(6, 4, 5, 1, 0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("6 heads over 4 key/value heads");
    assertThatThrownBy(() -> new AttentionShape(0, 1, 5, 1, 0))
        .hasMessage("0 heads over 1 key/value heads");
    assertThatThrownBy(() -> new AttentionShape(2, 0, 5, 1, 0))
        .hasMessage("2 heads over 0 key/value heads");
    assertThatThrownBy(() -> new AttentionShape(2, 1, 0, 1, 0))
        .hasMessage("head dimension 0, window 0");
    assertThatThrownBy(() -> new AttentionShape(2, 1, 4, 1, -1))
        .hasMessage("head dimension 4, window -1");
  }
}
