package org.tune4j.core.engine.onednn;

import static org.bytedeco.dnnl.global.dnnl.*;

import java.util.Arrays;
import org.bytedeco.dnnl.dnnl_memory_desc;

/** A memory descriptor: type, sizes and strides in elements, outermost first. */
final class Md {
  private final int type;
  private final long[] dims;
  private final long[] strides;
  private final int hash;

  private Md(int type, long[] dims, long[] strides) {
    this.type = type;
    this.dims = dims;
    this.strides = strides;
    this.hash = (type * 31 + Arrays.hashCode(dims)) * 31 + Arrays.hashCode(strides);
  }

  static Md of(int type, long[] dims, long[] strides) {
    return new Md(type, dims, strides);
  }

  static Md of(int type, long rows, long cols, long rowStride, long colStride) {
    return of(type, new long[] {rows, cols}, new long[] {rowStride, colStride});
  }

  int rank() {
    return dims.length;
  }

  long dim(int d) {
    return dims[d];
  }

  long stride(int d) {
    return strides[d];
  }

  int type() {
    return type;
  }

  long elementBytes() {
    return dnnl_data_type_size(type);
  }

  /** Returns the descriptor of the transposed matrices. */
  Md transposed() {
    long[] d = dims.clone();
    long[] s = strides.clone();
    int last = d.length - 1;
    d[last] = dims[last - 1];
    d[last - 1] = dims[last];
    // a single column's stride is arbitrary: choose the contiguous one
    s[last] = d[last] == 1 ? 1 : strides[last - 1];
    s[last - 1] = strides[last];
    return new Md(type, d, s);
  }

  /** Returns the matrix as a batch of one: only then can a product's result be scaled by row. */
  Md asBatch() {
    long all = Math.max(dims[0] * strides[0], dims[1] * strides[1]);
    return of(type, new long[] {1, dims[0], dims[1]}, new long[] {all, strides[0], strides[1]});
  }

  /** Returns a descriptor with another size of one dimension and the same strides. */
  Md withDim(int d, long size) {
    long[] changed = dims.clone();
    changed[d] = size;
    return new Md(type, changed, strides);
  }

  dnnl_memory_desc create() {
    dnnl_memory_desc desc = new dnnl_memory_desc();
    Dnnl.check(dnnl_memory_desc_create_with_strides(desc, dims.length, dims, type, strides), this);
    return desc;
  }

  @Override
  public boolean equals(Object o) {
    return o instanceof Md m
        && m.hash == hash
        && m.type == type
        && Arrays.equals(m.dims, dims)
        && Arrays.equals(m.strides, strides);
  }

  @Override
  public int hashCode() {
    return hash;
  }

  @Override
  public String toString() {
    return (type == dnnl_f32 ? "f32" : type == dnnl_bf16 ? "bf16" : "type " + type)
        + Arrays.toString(dims)
        + Arrays.toString(strides);
  }
}
