package org.tune4j.dl4j;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.conf.layers.ConvolutionLayer;
import org.deeplearning4j.nn.conf.layers.Deconvolution2D;
import org.deeplearning4j.nn.conf.layers.DepthwiseConvolution2D;
import org.deeplearning4j.nn.conf.layers.SeparableConvolution2D;
import org.deeplearning4j.nn.graph.vertex.GraphVertex;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * A parameter of a layer that is a matrix, and how LoRA reads it: as {@code [out, in]}, whatever
 * way round and in how many dimensions DL4J keeps it. A convolution's kernels are a matrix whose
 * rows are filters; an LSTM's four gates lie side by side in one.
 *
 * @param layer name of the layer, as its network's configuration has it
 * @param parameter DL4J's key, such as {@code W} or {@code RW}
 * @param vertex index of the layer's vertex
 * @param in inputs
 * @param out outputs
 * @param outputsFirst whether DL4J's first dimension (or two, of attention's heads) counts outputs
 * @param shape DL4J's
 */
record AdaptedMatrix(
    String layer,
    String parameter,
    int vertex,
    int in,
    int out,
    boolean outputsFirst,
    List<Long> shape) {
  /** Keys of weights in DL4J's layers; those of the two directions of wrappers have f and b. */
  private static final Set<String> WEIGHTS =
      Set.of("W", "RW", "Wq", "Wk", "Wv", "Wo", "fW", "fRW", "bW", "bRW", "WF", "RWF", "WB", "RWB");

  /** Returns its name, under which an adapter keeps what belongs to it. */
  String name() {
    return layer + "." + parameter;
  }

  /** Returns the matrices of a vertex; none if it has nothing that can be adapted. */
  static List<AdaptedMatrix> of(GraphVertex vertex) {
    List<AdaptedMatrix> found = new ArrayList<>();
    Layer layer = vertex.getLayer();
    Map<String, INDArray> parameters = vertex.paramTable(false);
    if (parameters == null || (layer != null && !isAdaptable(layer.conf().getLayer()))) {
      return found;
    }
    parameters.forEach(
        (key, values) -> {
          if (WEIGHTS.contains(key) && values.rank() >= 2) {
            found.add(of(vertex, key, values.shape(), isConvolution(layer)));
          }
        });
    return found;
  }

  private static boolean isConvolution(Layer layer) {
    return layer != null
        && layer.conf().getLayer() instanceof ConvolutionLayer c
        && !(c instanceof Deconvolution2D);
  }

  /** Kernels of depthwise convolutions are no matrices. */
  private static boolean isAdaptable(org.deeplearning4j.nn.conf.layers.Layer layer) {
    return !(layer instanceof DepthwiseConvolution2D || layer instanceof SeparableConvolution2D);
  }

  private static AdaptedMatrix of(
      GraphVertex vertex, String key, long[] shape, boolean convolution) {
    long all = 1;
    for (long d : shape) {
      all *= d;
    }
    // attention's [heads, size, in] has its outputs in the first two dimensions
    boolean heads = shape.length == 3 && !convolution;
    long first = heads ? shape[0] * shape[1] : shape[0];
    boolean outputsFirst = convolution || heads;
    int in = Math.toIntExact(outputsFirst ? all / first : first);
    int out = Math.toIntExact(outputsFirst ? first : all / first);
    List<Long> dimensions = new ArrayList<>();
    for (long d : shape) {
      dimensions.add(d);
    }
    return new AdaptedMatrix(
        vertex.getVertexName(),
        key,
        vertex.getVertexIndex(),
        in,
        out,
        outputsFirst,
        List.copyOf(dimensions));
  }

  private long[] dimensions() {
    return shape.stream().mapToLong(Long::longValue).toArray();
  }

  /**
   * Returns {@code scale B A} in DL4J's shape.
   *
   * @param a {@code [r, in]}
   * @param b {@code [out, r]}
   */
  INDArray update(INDArray a, INDArray b, double scale) {
    INDArray product = a.transpose().mmul(b.transpose()).muli(scale); // [in, out], 'f'
    return shape.size() == 2 && !outputsFirst
        ? product
        : (outputsFirst ? product.transpose() : product).reshape('c', dimensions());
  }

  /** Returns a parameter's values, or their gradient, as {@code [out, in]}. */
  INDArray matrix(INDArray values) {
    if (shape.size() == 2 && !outputsFirst) {
      return values.transpose();
    }
    INDArray flat = values.reshape('c', outputsFirst ? new long[] {out, in} : new long[] {in, out});
    return outputsFirst ? flat : flat.transpose();
  }
}
