package org.tune4j.dl4j;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.assertj.core.data.Offset;
import org.deeplearning4j.nn.api.Model;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;

/** Dense layers of both classes of networks. */
class DenseTest {
  private static Model network(boolean graph, DataType type, long seed) {
    return graph ? Networks.branches(type, seed) : Networks.dense(type, seed);
  }

  private static Dl4jModel model(boolean graph, DataType type, long seed) {
    return Dl4jModel.of(
        network(graph, type, seed), Networks.task("a", type, 4, 6), Networks.task("b", type, 3, 6));
  }

  @Property(tries = 6)
  void gradientsAreThoseOfCentralDifferences(
      @ForAll boolean graph, @ForAll @IntRange(min = 1, max = 9) int rank, @ForAll short seed) {
    try (Dl4jModel model = model(graph, DataType.DOUBLE, seed)) {
      Gradients.check(model, Dl4jLora.rank(rank), List.of("a", "b"), seed);
      Gradients.check(model, Dl4jLora.rank(rank), List.of("b"), seed);
    }
  }

  @Property(tries = 6)
  void aNewAdapterSaysWhatDl4jSays(@ForAll boolean graph, @ForAll short seed) {
    try (Dl4jModel model = model(graph, DataType.FLOAT, seed);
        Dl4jAdapter adapter = Dl4jLora.rank(3).create(model, "new", seed)) {
      INDArray inputs = Networks.random(DataType.FLOAT, seed, 5, 6);
      INDArray expected = Networks.output(model.network(), inputs);
      // task a has as many classes as the network: it begins with the network's own output layer
      assertThat(difference(model.output("a", List.of(adapter), inputs), expected))
          .isLessThan(1e-6);
      assertThat(difference(model.output("a", List.of(), inputs), expected)).isLessThan(1e-6);
    }
  }

  @Property(tries = 6)
  void aMergedNetworkSaysWhatTheAdapterSays(@ForAll boolean graph, @ForAll short seed) {
    try (Dl4jModel model = model(graph, DataType.FLOAT, seed);
        Dl4jAdapter first = Dl4jLora.rank(3).create(model, "first", seed);
        Dl4jAdapter second = Dl4jLora.rank(2).withRslora().create(model, "second", seed)) {
      Gradients.shake(first, seed);
      Gradients.shake(second, seed + 1);
      INDArray inputs = Networks.random(DataType.FLOAT, seed, 5, 6);
      INDArray base = model.network().params().dup();
      for (String task : List.of("a", "b")) {
        INDArray expected = model.output(task, List.of(first, second), inputs);
        Model merged = model.merged(task, List.of(first, second));
        assertThat(merged).isInstanceOf(model.network().getClass());
        assertThat(difference(Networks.output(merged, inputs), expected)).isLessThan(1e-6);
        assertThat(expected.size(1)).isEqualTo(task.equals("a") ? 4 : 3);
      }
      assertThat(model.network().params()).as("bit for bit").isEqualTo(base);
      assertThat(
              difference(
                  model.output("a", List.of(), inputs), Networks.output(model.network(), inputs)))
          .isLessThan(1e-6);
    }
  }

  @Example
  void differencesAreSeen() {
    INDArray one = Networks.random(DataType.FLOAT, 1, 2, 2);
    assertThat(difference(one, one.add(1))).isCloseTo(1, Offset.offset(1e-6));
  }

  static double difference(INDArray a, INDArray b) {
    assertThat(a.shape()).isEqualTo(b.shape());
    return a.sub(b).amaxNumber().doubleValue();
  }
}
