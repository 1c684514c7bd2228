package org.tune4j.dl4j;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.preprocessor.DataNormalization;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.ProjectionGroup;

/**
 * LoRA on a DL4J network, with the output layers of the tasks that it learned. Made by {@link
 * Dl4jLora} or loaded by {@link #load}.
 *
 * <p>Its parameters are named like PEFT's: {@code <layer>.<parameter>.lora_A.weight} {@code [r,
 * in]}, {@code ….lora_B.weight} {@code [out, r]}, and {@code heads.<task>.<parameter>} in DL4J's
 * shape. They are F32, whatever the network's type.
 */
public final class Dl4jAdapter implements Adapter {
  private final Dl4jModel model;
  private final Dl4jLora config;
  private final String name;
  private final ImmutableList<AdaptedMatrix> matrices;
  private final ImmutableMap<String, OutputHead> heads;
  private final ImmutableMap<String, Dl4jTaskInfo> infos;
  private final Parameters parameters;
  private boolean trainable = true;
  private int read = -1; // version of what is in values
  private INDArray values; // flat, of the network's type
  private INDArray gradients; // flat, F32

  private Dl4jAdapter(
      Dl4jModel model,
      Dl4jLora config,
      String name,
      List<AdaptedMatrix> matrices,
      Map<String, OutputHead> heads,
      Map<String, Dl4jTaskInfo> infos) {
    this.model = model;
    this.config = config;
    this.name = name;
    this.matrices = ImmutableList.copyOf(matrices);
    this.heads = ImmutableMap.copyOf(heads);
    this.infos = ImmutableMap.copyOf(infos);
    Parameters.Builder builder = Parameters.builder(model.engine());
    for (AdaptedMatrix m : matrices) {
      builder.add(a(m), config.rankOf(m), m.in());
      builder.add(b(m), m.out(), config.rankOf(m));
    }
    heads.forEach(
        (task, head) ->
            head.parameters()
                .forEach(
                    (key, p) -> {
                      int rows = p.rank() == 2 ? Math.toIntExact(p.size(0)) : 1;
                      builder.add(head(task, key), rows, Math.toIntExact(p.length() / rows));
                    }));
    parameters = builder.build(true);
  }

  static String a(AdaptedMatrix m) {
    return m.name() + ".lora_A.weight";
  }

  static String b(AdaptedMatrix m) {
    return m.name() + ".lora_B.weight";
  }

  static String head(String task, String key) {
    return "heads." + task + "." + key;
  }

  /** Returns a new adapter, which changes nothing. */
  static Dl4jAdapter create(
      Dl4jModel model, Dl4jLora config, String name, Set<String> tasks, long seed) {
    Map<String, OutputHead> heads = new LinkedHashMap<>();
    Map<String, Dl4jTaskInfo> infos = new LinkedHashMap<>();
    for (String task : tasks) {
      heads.put(task, model.head(task));
      infos.put(task, model.info(task));
    }
    Engine engine = model.engine();
    engine.lock().lock();
    try {
      Dl4jAdapter made = new Dl4jAdapter(model, config, name, config.of(model), heads, infos);
      SplittableRandom random = new SplittableRandom(seed);
      for (AdaptedMatrix m : made.matrices) {
        float bound = (float) (1 / Math.sqrt(m.in()));
        float[] drawn = new float[config.rankOf(m) * m.in()];
        for (int i = 0; i < drawn.length; i++) {
          drawn[i] = (2 * random.nextFloat() - 1) * bound;
        }
        made.set(a(m), drawn);
      }
      made.setHeads();
      made.parameters.changed();
      return made;
    } finally {
      engine.lock().unlock();
    }
  }

  /**
   * Returns one to be filled with what a file holds.
   *
   * @param matrices that it adapts, by its configuration, or none
   */
  static Dl4jAdapter empty(
      Dl4jModel model,
      Dl4jLora config,
      String name,
      List<AdaptedMatrix> matrices,
      Map<String, OutputHead> heads,
      Map<String, Dl4jTaskInfo> infos) {
    return new Dl4jAdapter(model, config, name, matrices, heads, infos);
  }

  /** Returns one that adapts nothing, and has the output layers that a model's tasks begin with. */
  static Dl4jAdapter ofHeads(Dl4jModel model) {
    Map<String, Dl4jTaskInfo> infos = new LinkedHashMap<>();
    model.heads().keySet().forEach(task -> infos.put(task, model.info(task)));
    Dl4jAdapter made =
        new Dl4jAdapter(model, Dl4jLora.rank(1), "heads", List.of(), model.heads(), infos);
    made.setHeads();
    made.parameters.changed();
    return made;
  }

  private void setHeads() {
    heads.forEach((task, h) -> h.initial().forEach((key, v) -> set(head(task, key), v)));
  }

  /** Takes over all values that another has, too. */
  Dl4jAdapter from(Dl4jAdapter other) {
    model.engine().lock().lock();
    try {
      for (String parameter : other.parameters.names()) {
        set(parameter, other.values(parameter));
      }
      parameters.changed();
    } finally {
      model.engine().lock().unlock();
    }
    return this;
  }

  /** Sets a parameter; {@link Parameters#changed()} is the caller's. */
  void set(String parameter, float[] to) {
    model.engine().write(parameters.weight(parameters.slot(parameter)), to);
  }

  /** Returns the values of a parameter, row-major. */
  public float[] values(String parameter) {
    return model.engine().read(parameters.weight(parameters.slot(parameter)));
  }

  /** Returns the gradient of a parameter, row-major. */
  public float[] gradient(String parameter) {
    return model.engine().read(parameters.gradient(parameters.slot(parameter)));
  }

  /** Loads an adapter that {@link #save} wrote, frozen; see {@link AdapterFiles#load}. */
  public static Dl4jAdapter load(Dl4jModel model, String name, Path directory) throws IOException {
    return AdapterFiles.load(model, name, directory);
  }

  Dl4jLora config() {
    return config;
  }

  ImmutableList<AdaptedMatrix> matrices() {
    return matrices;
  }

  ImmutableMap<String, OutputHead> heads() {
    return heads;
  }

  Dl4jTaskInfo info(String task) {
    return infos.get(task);
  }

  /** Returns the names of the tasks that it has output layers of. */
  public ImmutableSet<String> tasks() {
    return heads.keySet();
  }

  /**
   * Returns the names of a task's classes, in the order of the labels; empty unless it has classes.
   */
  public ImmutableList<String> labels(String task) {
    return known(task).labels();
  }

  /** Returns the normaliser of a task's data, which inputs have to go through. */
  public Optional<DataNormalization> normalizer(String task) {
    return known(task).normalizer();
  }

  private Dl4jTaskInfo known(String task) {
    Dl4jTaskInfo found = infos.get(task);
    checkArgument(
        found != null,
        "adapter '%s' has no output layer of a task '%s'; it has those of %s",
        name,
        task,
        infos.keySet());
    return found;
  }

  // ---- what a pass works with

  private INDArray flat() {
    if (read != parameters.version()) {
      values = model.engine().toArray(parameters.flat()).castTo(model.type());
      read = parameters.version();
    }
    return values;
  }

  private INDArray slot(INDArray flat, String parameter) {
    Parameters.Slot s = parameters.slot(parameter);
    long size = (long) s.rows() * s.cols();
    return flat.reshape(flat.length())
        .get(NDArrayIndex.interval(s.offset(), s.offset() + size))
        .reshape('c', s.rows(), s.cols());
  }

  /** Returns a parameter's values in the network's type; not to be changed. */
  INDArray array(String parameter) {
    return slot(flat(), parameter);
  }

  /** Returns what it adds to a matrix's weights, with its values as they are. */
  Update.Factors factors(AdaptedMatrix m) {
    return new Update.Factors(this, array(a(m)), array(b(m)), config.scaleOf(m));
  }

  /** Returns the parameters of a task's output layer by DL4J's key. */
  Map<String, INDArray> headValues(String task) {
    Map<String, INDArray> all = new LinkedHashMap<>();
    for (String key : heads.get(task).parameters().keySet()) {
      all.put(key, array(head(task, key)));
    }
    return all;
  }

  /**
   * Adds gradients of the factors of a matrix.
   *
   * @param ofA {@code [r, in]}
   * @param ofB {@code [out, r]}
   */
  void addGradient(AdaptedMatrix m, INDArray ofA, INDArray ofB) {
    add(a(m), ofA);
    add(b(m), ofB);
  }

  /** Adds gradients of a task's output layer. */
  void addGradient(String task, Map<String, INDArray> ofParameters, double factor) {
    ofParameters.forEach((key, g) -> add(head(task, key), g.mul(factor)));
  }

  private void add(String parameter, INDArray gradient) {
    if (gradients == null) {
      gradients = Nd4j.zeros(DataType.FLOAT, parameters.size());
    }
    INDArray to = slot(gradients, parameter);
    to.addi(gradient.castTo(DataType.FLOAT).reshape('c', to.shape()));
  }

  /** Adds what was collected to the gradients that the optimizer reads. */
  void flushGradients() {
    if (gradients != null) {
      Engine engine = model.engine();
      Tensor step = engine.allocate(1, parameters.size(), DType.F32);
      engine.write(step, gradients.reshape(1, gradients.length()));
      engine.add(step, parameters.flatGradients());
      engine.release(step);
      gradients = null;
    }
  }

  // ---- what a trainer asks

  @Override
  public String name() {
    return name;
  }

  @Override
  public Dl4jModel model() {
    return model;
  }

  @Override
  public Parameters parameters() {
    return parameters;
  }

  /** DL4J's layers apply it by themselves. */
  @Override
  public Optional<ProjectionAdapter> on(ProjectionGroup group) {
    return Optional.empty();
  }

  @Override
  public boolean trainable() {
    return trainable;
  }

  @Override
  public void setTrainable(boolean value) {
    trainable = value;
  }

  @Override
  public void save(Path directory) throws IOException {
    AdapterFiles.save(this, directory);
  }

  /** Merging makes a network of its own: {@link Dl4jModel#merged}. */
  @Override
  public void mergeIntoModel() {
    throw new UnsupportedOperationException(
        "a DL4J network is not merged into in place; Dl4jModel.merged(task, adapters) returns a merged one");
  }

  static Dl4jAdapter of(Adapter adapter) {
    checkArgument(
        adapter instanceof Dl4jAdapter,
        "adapter '%s' is a %s; a DL4J network takes those of Dl4jLora",
        adapter.name(),
        adapter.getClass().getSimpleName());
    return (Dl4jAdapter) adapter;
  }

  @Override
  public void close() {
    model.engine().lock().lock();
    try {
      parameters.close();
    } finally {
      model.engine().lock().unlock();
    }
  }

  @Override
  public String toString() {
    return name + ": " + config + ", " + parameters.size() + " parameters";
  }
}
