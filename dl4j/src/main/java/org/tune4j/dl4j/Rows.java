package org.tune4j.dl4j;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Examples of a split, each a {@link MultiDataSet} of one row with one array of labels, in memory.
 * Time series may differ in length: those of a batch are padded and masked.
 */
final class Rows {
  private final List<MultiDataSet> rows = new ArrayList<>();

  /** Takes the examples of a minibatch. */
  void add(MultiDataSet batch, String origin) {
    checkArgument(
        batch.getFeatures() != null
            && batch.getFeatures().length > 0
            && batch.getFeatures(0) != null,
        "%s: a minibatch without features",
        origin);
    checkArgument(
        batch.getLabels() != null && batch.getLabels().length == 1 && batch.getLabels(0) != null,
        "%s: %s arrays of labels; a task has one output layer, which takes one",
        origin,
        batch.getLabels() == null ? 0 : batch.getLabels().length);
    int count = Math.toIntExact(batch.getFeatures(0).size(0));
    INDArray labels = batch.getLabels(0);
    checkArgument(
        labels.size(0) == count,
        "%s: features of %s examples %s, labels of %s %s",
        origin,
        count,
        Arrays.toString(batch.getFeatures(0).shape()),
        labels.size(0),
        Arrays.toString(labels.shape()));
    for (int i = 0; i < count; i++) {
      int row = i;
      Function<INDArray[], INDArray[]> own =
          all ->
              all == null || Arrays.stream(all).allMatch(a -> a == null)
                  ? null
                  : Arrays.stream(all)
                      .map(a -> a == null ? null : copy(a, row))
                      .toArray(INDArray[]::new);
      rows.add(
          new org.nd4j.linalg.dataset.MultiDataSet(
              own.apply(batch.getFeatures()),
              own.apply(batch.getLabels()),
              own.apply(batch.getFeaturesMaskArrays()),
              own.apply(batch.getLabelsMaskArrays())));
    }
  }

  private static INDArray copy(INDArray of, int row) {
    INDArray part = Backbone.part(of, row, row + 1);
    return part == of ? of.dup() : part;
  }

  int size() {
    return rows.size();
  }

  /** Returns an example, a batch of one. */
  MultiDataSet get(int row) {
    return rows.get(row);
  }

  /** Returns the examples from one to before another as one batch. */
  MultiDataSet batch(int from, int to) {
    return batch(rows.subList(from, to));
  }

  /** Returns examples as one batch. */
  static MultiDataSet batch(List<MultiDataSet> of) {
    if (of.size() == 1) {
      return of.get(0);
    }
    MultiDataSet first = of.get(0);
    if (of.stream().allMatch(r -> alike(r, first))) {
      return new org.nd4j.linalg.dataset.MultiDataSet(
          concat(of, MultiDataSet::getFeatures),
          concat(of, MultiDataSet::getLabels),
          concat(of, MultiDataSet::getFeaturesMaskArrays),
          concat(of, MultiDataSet::getLabelsMaskArrays));
    }
    return org.nd4j.linalg.dataset.MultiDataSet.merge(of);
  }

  private static INDArray[] concat(
      List<MultiDataSet> of, Function<MultiDataSet, INDArray[]> arrays) {
    INDArray[] first = arrays.apply(of.get(0));
    if (first == null) {
      return null;
    }
    INDArray[] all = new INDArray[first.length];
    for (int i = 0; i < all.length; i++) {
      int index = i;
      all[i] =
          first[i] == null
              ? null
              : Nd4j.concat(
                  0, of.stream().map(r -> arrays.apply(r)[index]).toArray(INDArray[]::new));
    }
    return all;
  }

  private static boolean alike(MultiDataSet a, MultiDataSet b) {
    return alike(a.getFeatures(), b.getFeatures())
        && alike(a.getLabels(), b.getLabels())
        && alike(a.getFeaturesMaskArrays(), b.getFeaturesMaskArrays())
        && alike(a.getLabelsMaskArrays(), b.getLabelsMaskArrays());
  }

  private static boolean alike(INDArray[] a, INDArray[] b) {
    return Arrays.deepEquals(shapes(a), shapes(b));
  }

  /** Returns the shapes of arrays, null where there is none. */
  private static long[][] shapes(INDArray[] of) {
    return of == null
        ? null
        : Arrays.stream(of).map(a -> a == null ? null : a.shape()).toArray(long[][]::new);
  }

  /** Mixes the bits of all values into a hash, to tell data apart. */
  long hash() {
    long hash = 17;
    for (MultiDataSet r : rows) {
      for (INDArray[] arrays :
          Arrays.asList(
              r.getFeatures(), r.getLabels(), r.getFeaturesMaskArrays(), r.getLabelsMaskArrays())) {
        if (arrays != null) {
          for (INDArray a : arrays) {
            hash = hash * 31 + (a == null ? 0 : hash(a));
          }
        }
      }
    }
    return hash;
  }

  /** Mixes the bits of an array's values. */
  static long hash(INDArray of) {
    long hash = Arrays.hashCode(of.shape());
    for (double v : of.dup('c').data().asDouble()) {
      long bits = Double.doubleToLongBits(v) * 0x9E3779B185EBCA87L;
      hash = Long.rotateLeft(hash + bits, 31) * 0xC2B2AE3D27D4EB4FL;
    }
    return hash;
  }
}
