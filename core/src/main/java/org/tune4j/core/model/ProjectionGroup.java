package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;

/**
 * Projections of the same input, run as one product: their weights are stacked, so that output
 * columns {@code [column(i), column(i) + members[i].out)} belong to member {@code i}. Query, key
 * and value are one group, gate and up another; a single projection is a group of one.
 *
 * <p>Merging an adapter replaces the frozen weights; {@link #restore()} reads the original ones
 * again. Groups of a model and of those {@linkplain LanguageModel#withMerged derived from it} share
 * frozen weights until one of them replaces its own.
 */
public final class ProjectionGroup implements AutoCloseable {
  /** The use of the weights in the model. */
  public enum Use {
    /** A linear layer of the decoder. */
    PROJECTION,
    /** An embedding: its projection has the table {@code [in, out]} as its source. */
    EMBEDDING,
    /** The output head, whose weights may be an embedding's. */
    HEAD
  }

  private final Engine engine;
  private final ImmutableList<Projection> members;
  private final Use use;
  private final int[] columns;
  private ProjectionGroup tied; // shares its weights as long as neither is merged; may be null
  private SharedWeights weights;
  private ImmutableList<MatrixSource> sources;
  private boolean merged;

  /** Frozen weights and the number of groups that use them; guarded by the engine's lock. */
  private static final class SharedWeights {
    final FrozenMatrix matrix;
    int users = 1;

    SharedWeights(FrozenMatrix matrix) {
      this.matrix = matrix;
    }

    void release() {
      if (--users == 0) {
        matrix.close();
      }
    }
  }

  /** Converts the members' weights. */
  public ProjectionGroup(Engine engine, List<Projection> members) {
    this(engine, members, Use.PROJECTION, null);
  }

  /**
   * Converts the weights of an embedding or an output head.
   *
   * @param tied the embedding whose weights it shares, or null
   */
  ProjectionGroup(Engine engine, Projection table, Use use, ProjectionGroup tied) {
    this(engine, ImmutableList.of(table), use, tied);
    if (tied != null) {
      tied.tied = this;
    }
  }

  private ProjectionGroup(Engine engine, List<Projection> members, Use use, ProjectionGroup tied) {
    checkArgument(!members.isEmpty(), "a group needs at least one member");
    this.engine = engine;
    this.use = use;
    this.tied = tied;
    this.members = ImmutableList.copyOf(members);
    columns = new int[members.size() + 1];
    boolean bias = members.get(0).bias() != null;
    for (int i = 0; i < members.size(); i++) {
      Projection p = members.get(i);
      checkArgument(p.in() == members.get(0).in(), "%s has another input size", p.name());
      checkArgument((p.bias() != null) == bias, "%s differs in having a bias", p.name());
      columns[i + 1] = columns[i] + p.out();
    }
    restore();
  }

  private ProjectionGroup(ProjectionGroup other) {
    engine = other.engine;
    members = other.members;
    use = other.use;
    columns = other.columns;
    weights = other.weights;
    weights.users++;
    sources = other.sources;
    merged = other.merged;
  }

  /** Returns a copy that shares the frozen weights as long as neither replaces them. */
  ProjectionGroup share() {
    return new ProjectionGroup(this);
  }

  /** Returns a group of the same projections with other weights, one source per member. */
  ProjectionGroup withSources(List<MatrixSource> sources) {
    List<Projection> own = new ArrayList<>();
    for (int i = 0; i < members.size(); i++) {
      own.add(members.get(i).withSource(sources.get(i)));
    }
    return new ProjectionGroup(engine, own, use, null);
  }

  /** Returns the projections, in the order of their columns. */
  public ImmutableList<Projection> members() {
    return members;
  }

  public Use use() {
    return use;
  }

  /** Returns the first output column of a member. */
  public int column(int member) {
    return columns[member];
  }

  /** Returns the number of input features, which is the same for all members. */
  public int in() {
    return members.get(0).in();
  }

  /** Returns the total number of output features. */
  public int out() {
    return columns[members.size()];
  }

  /** Returns the stacked weights: {@code [out, in]}. */
  public FrozenMatrix weights() {
    return weights.matrix;
  }

  /** Returns the source of each member's current weights: its own, or the merged one. */
  public ImmutableList<MatrixSource> sources() {
    return sources;
  }

  /** Returns whether {@link #merge} replaced the weights. */
  public boolean merged() {
    return merged;
  }

  /**
   * Replaces the stacked weights; {@code sources} has one entry per member, of the member's shape.
   */
  public void merge(List<MatrixSource> sources) {
    freeze(sources);
    merged = true;
  }

  /** Undoes all merges by reading the weights again. */
  public void restore() {
    if (tied != null && !tied.merged && tied.weights != null) {
      tied.weights.users++;
      take(tied.weights, members.stream().map(Projection::source).toList());
    } else {
      freeze(members.stream().map(Projection::source).toList());
    }
    merged = false;
  }

  private void freeze(List<MatrixSource> parts) {
    float[] bias = null;
    if (members.get(0).bias() != null) {
      bias = new float[out()];
      for (int i = 0; i < members.size(); i++) {
        System.arraycopy(members.get(i).bias(), 0, bias, columns[i], members.get(i).out());
      }
    }
    MatrixSource source = use == Use.EMBEDDING ? parts.get(0) : new Stacked(parts, columns, in());
    take(new SharedWeights(engine.freeze(source, bias)), parts);
  }

  private void take(SharedWeights fresh, List<MatrixSource> parts) {
    if (weights != null) {
      weights.release();
    }
    weights = fresh;
    sources = ImmutableList.copyOf(parts);
  }

  private record Stacked(List<MatrixSource> parts, int[] starts, int cols) implements MatrixSource {
    @Override
    public int rows() {
      return starts[parts.size()];
    }

    @Override
    public void read(int row, int count, float[] into) {
      int done = 0;
      for (int i = 0; i < parts.size() && done < count; i++) {
        int from = Math.max(row + done, starts[i]);
        int to = Math.min(row + count, starts[i + 1]);
        if (from < to) {
          if (done == 0) {
            parts.get(i).read(from - starts[i], to - from, into);
          } else {
            float[] part = new float[(to - from) * cols];
            parts.get(i).read(from - starts[i], to - from, part);
            System.arraycopy(part, 0, into, done * cols, part.length);
          }
          done += to - from;
        }
      }
    }
  }

  @Override
  public void close() {
    if (weights != null) {
      weights.release();
      weights = null;
    }
  }
}
