package org.tune4j.dl4j;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.graph.vertex.GraphVertex;
import org.deeplearning4j.nn.graph.vertex.impl.LayerVertex;
import org.deeplearning4j.nn.params.DefaultParamInitializer;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.activations.IActivation;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * A dense layer on the rows of several lanes: one product with the frozen weights for all, and the
 * small ones of each lane's adapters on its rows. No gradient is formed for the frozen weights.
 */
final class DenseRows {
  private static final LayerWorkspaceMgr MEMORY = LayerWorkspaceMgr.noWorkspaces();

  private final LayerVertex vertex;
  private final Optional<AdaptedMatrix> matrix;
  private final INDArray weights; // [in, out]
  private final INDArray x; // [rows, in]
  private final int rows;
  private final List<Backbone.Lane> lanes;
  private final IActivation activation;
  private INDArray z; // [rows, out], before the activation

  /**
   * Prepares it.
   *
   * @param matrix what is adapted of it, if anything is
   * @param weights frozen, {@code [in, out]}
   * @param input before the vertex's preprocessor
   * @param rows of the batch
   */
  DenseRows(
      LayerVertex vertex,
      Optional<AdaptedMatrix> matrix,
      INDArray weights,
      INDArray input,
      int rows,
      List<Backbone.Lane> lanes) {
    this.vertex = vertex;
    this.matrix = matrix;
    this.weights = weights;
    this.rows = rows;
    this.lanes = lanes;
    INDArray prepared =
        vertex.getLayerPreProcessor() == null
            ? input
            : vertex.getLayerPreProcessor().preProcess(input, rows, MEMORY);
    x = prepared.castTo(weights.dataType());
    activation = ((DenseLayer) vertex.getLayer().conf().getLayer()).getActivationFn();
  }

  /**
   * Returns whether a vertex is a plain dense layer whose rows are examples: those of time series
   * lie step by step, so that lanes' rows are not together.
   */
  static boolean canRun(GraphVertex v) {
    return v instanceof LayerVertex l
        && l.getLayer() instanceof org.deeplearning4j.nn.layers.feedforward.dense.DenseLayer
        && l.getLayer().conf().getLayer() instanceof DenseLayer dense
        && !dense.hasLayerNorm()
        && !(l.getLayerPreProcessor() != null
            && l.getLayerPreProcessor().getClass().getSimpleName().contains("Rnn"));
  }

  private INDArray rowsOf(INDArray of, Backbone.Lane lane) {
    return lane.to() - lane.from() == rows
        ? of
        : of.get(NDArrayIndex.interval(lane.from(), lane.to()), NDArrayIndex.all());
  }

  private List<Update.Factors> factors(Backbone.Lane lane) {
    return matrix.map(m -> lane.update().factors(m)).orElse(List.of());
  }

  /** Returns the layer's output. */
  INDArray forward() {
    if (x.rank() != 2 || x.size(1) != weights.size(0)) {
      throw new IllegalArgumentException(
          "layer '%s' (DenseLayer) expects [examples, %d], found %s"
              .formatted(vertex.getVertexName(), weights.size(0), Arrays.toString(x.shape())));
    }
    z = x.mmul(weights);
    for (Backbone.Lane lane : lanes) {
      for (Update.Factors f : factors(lane)) {
        INDArray small = rowsOf(x, lane).mmul(f.a().transpose()).muli(f.scale()); // [n, r]
        rowsOf(z, lane).addi(small.mmul(f.b().transpose()));
      }
    }
    INDArray bias = vertex.paramTable(false).get(DefaultParamInitializer.BIAS_KEY);
    if (bias != null) {
      z.addiRowVector(bias);
    }
    return activation.getActivation(z.dup(), true);
  }

  /**
   * Adds the gradients of the adapters in training; called once.
   *
   * @param epsilon by the output
   * @param goesOn whether the gradient by the input is wanted
   * @return the gradient by the input, or null
   */
  INDArray backward(INDArray epsilon, boolean goesOn) {
    INDArray delta = activation.backprop(z, epsilon).getFirst(); // [rows, out]
    INDArray below = goesOn ? delta.mmul(weights.transpose()) : null;
    for (Backbone.Lane lane : lanes) {
      INDArray own = rowsOf(delta, lane);
      INDArray input = rowsOf(x, lane);
      for (Update.Factors f : factors(lane)) {
        INDArray small = own.mmul(f.b()).muli(f.scale()); // [n, r]
        if (f.adapter().trainable()) {
          INDArray ofA = small.transpose().mmul(input);
          INDArray ofB = own.transpose().mmul(input.mmul(f.a().transpose())).muli(f.scale());
          f.adapter().addGradient(matrix.orElseThrow(), ofA, ofB);
        }
        if (goesOn) {
          rowsOf(below, lane).addi(small.mmul(f.a()));
        }
      }
    }
    return below == null || vertex.getLayerPreProcessor() == null
        ? below
        : vertex.getLayerPreProcessor().backprop(below, rows, MEMORY);
  }
}
