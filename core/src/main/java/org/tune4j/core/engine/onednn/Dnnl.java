package org.tune4j.core.engine.onednn;

import static org.bytedeco.dnnl.global.dnnl.*;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.dnnl.dnnl_engine;
import org.bytedeco.dnnl.dnnl_exec_arg_t;
import org.bytedeco.dnnl.dnnl_memory;
import org.bytedeco.dnnl.dnnl_memory_desc;
import org.bytedeco.dnnl.dnnl_post_ops;
import org.bytedeco.dnnl.dnnl_primitive;
import org.bytedeco.dnnl.dnnl_primitive_attr;
import org.bytedeco.dnnl.dnnl_primitive_desc;
import org.bytedeco.dnnl.dnnl_stream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.PointerPointer;
import org.tune4j.core.engine.nd4j.Address;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;

/**
 * A oneDNN CPU engine with its stream and a cache of primitives: creating one for a new shape costs
 * about a millisecond, running one about a microsecond. The least recently used are evicted.
 *
 * <p>It uses the C interface rather than the C++ one, as its arguments can be set up once; only
 * addresses change from call to call.
 */
final class Dnnl implements AutoCloseable {
  private static final int MAX_PRIMITIVES = 1500;

  private final dnnl_engine engine = new dnnl_engine();
  private final dnnl_stream stream = new dnnl_stream();
  private final Map<Spec, Op> ops =
      new LinkedHashMap<>(1024, 0.75f, true) {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Spec, Op> eldest) {
          if (size() <= MAX_PRIMITIVES) {
            return false;
          }
          eldest.getValue().close();
          return true;
        }
      };

  Dnnl() {
    check(dnnl_engine_create(engine, dnnl_cpu, 0), "engine");
    check(dnnl_stream_create(stream, engine, dnnl_stream_default_flags), "stream");
  }

  static void check(int status, Object what) {
    if (status != dnnl_success) {
      throw new IllegalStateException("oneDNN status " + status + " for " + what);
    }
  }

  /** Returns the primitive for a spec. */
  Op op(Spec spec) {
    Op op = ops.get(spec);
    if (op == null) {
      op = new Op(spec);
      ops.put(spec, op);
    }
    return op;
  }

  /** Runs a primitive; the addresses of its operands are in the order of its spec. */
  void run(Spec spec, long... addresses) {
    if (MisreadBatches.in(spec)) {
      MisreadBatches.runHalves(this, spec, addresses);
    } else if (SummedRow.in(spec)) {
      long[] swapped = addresses.clone();
      swapped[0] = addresses[1];
      swapped[1] = addresses[0];
      op(SummedRow.asColumn(spec)).run(swapped);
    } else {
      op(spec).run(addresses);
    }
  }

  /** A primitive descriptor, with the memory descriptors of its operands. */
  private final class Descriptor implements AutoCloseable {
    final dnnl_primitive_desc desc = new dnnl_primitive_desc();
    final List<dnnl_memory_desc> mds = new ArrayList<>();
    final List<dnnl_memory_desc> others = new ArrayList<>();

    Descriptor(Spec spec) {
      dnnl_primitive_attr attr = new dnnl_primitive_attr();
      check(dnnl_primitive_attr_create(attr), spec);
      spec.mds().forEach(md -> mds.add(md.create()));
      if (spec.kind() == Kind.MATMUL
          && spec.mds().get(1).type() == dnnl_s8
          && spec.mds().get(0).type() != dnnl_s8) {
        // convert the weights to the type of the other operand
        int mode =
            spec.mds().get(0).type() == dnnl_bf16 ? dnnl_fpmath_mode_bf16 : dnnl_fpmath_mode_strict;
        check(dnnl_primitive_attr_set_fpmath_mode_v2(attr, mode, 1), spec);
      }
      if (!spec.postOps().isEmpty()) {
        dnnl_post_ops post = new dnnl_post_ops();
        check(dnnl_post_ops_create(post), spec);
        for (PostOp p : spec.postOps()) {
          if (p.isSum()) {
            check(dnnl_post_ops_append_sum(post, p.a(), 0, 0), spec);
          } else if (p.md() != null) {
            dnnl_memory_desc other = p.md().create();
            others.add(other);
            check(dnnl_post_ops_append_binary(post, p.algorithm(), other), spec);
          } else {
            check(dnnl_post_ops_append_eltwise(post, p.algorithm(), p.a(), 0), spec);
          }
        }
        check(dnnl_primitive_attr_set_post_ops(attr, post), spec);
        dnnl_post_ops_destroy(post);
      }
      check(create(spec, attr), spec);
      dnnl_primitive_attr_destroy(attr);
    }

    private dnnl_memory_desc md(int i) {
      return mds.get(i);
    }

    private int create(Spec s, dnnl_primitive_attr attr) {
      int scaled = dnnl_use_scale;
      return switch (s.kind()) {
        case MATMUL ->
            dnnl_matmul_primitive_desc_create(
                desc,
                engine,
                md(0),
                md(1),
                mds.size() == 3 ? null : md(2),
                md(mds.size() - 1),
                attr);
        case ELTWISE ->
            dnnl_eltwise_forward_primitive_desc_create(
                desc, engine, dnnl_forward_training, s.algorithm(), md(0), md(1), s.a(), 0, attr);
        case ELTWISE_BACKWARD ->
            withHint(
                hint ->
                    dnnl_eltwise_forward_primitive_desc_create(
                        hint,
                        engine,
                        dnnl_forward_training,
                        s.algorithm(),
                        md(0),
                        md(0),
                        s.a(),
                        0,
                        null),
                hint ->
                    dnnl_eltwise_backward_primitive_desc_create(
                        desc, engine, s.algorithm(), md(2), md(1), md(0), s.a(), 0, hint, attr));
        case BINARY ->
            dnnl_binary_primitive_desc_create(
                desc, engine, s.algorithm(), md(0), md(1), md(2), attr);
        case SOFTMAX ->
            dnnl_softmax_forward_primitive_desc_create(
                desc,
                engine,
                dnnl_forward_training,
                s.algorithm(),
                md(0),
                md(1),
                s.mds().get(0).rank() - 1,
                attr);
        case SOFTMAX_BACKWARD ->
            withHint(
                hint ->
                    dnnl_softmax_forward_primitive_desc_create(
                        hint,
                        engine,
                        dnnl_forward_training,
                        s.algorithm(),
                        md(0),
                        md(0),
                        s.mds().get(0).rank() - 1,
                        null),
                hint ->
                    dnnl_softmax_backward_primitive_desc_create(
                        desc,
                        engine,
                        s.algorithm(),
                        md(2),
                        md(1),
                        md(0),
                        s.mds().get(0).rank() - 1,
                        hint,
                        attr));
        case LAYER_NORM ->
            dnnl_layer_normalization_forward_primitive_desc_create(
                desc,
                engine,
                dnnl_forward_training,
                md(0),
                md(5),
                md(1),
                s.a(),
                scaled | dnnl_use_shift,
                attr);
        case LAYER_NORM_BACKWARD ->
            withHint(
                hint ->
                    dnnl_layer_normalization_forward_primitive_desc_create(
                        hint,
                        engine,
                        dnnl_forward_training,
                        md(0),
                        md(4),
                        md(1),
                        s.a(),
                        scaled,
                        null),
                hint ->
                    dnnl_layer_normalization_backward_primitive_desc_create(
                        desc,
                        engine,
                        dnnl_backward, // 3.11 refuses a scale with backward_data
                        md(5),
                        md(4),
                        md(0),
                        md(1),
                        s.a(),
                        scaled,
                        hint,
                        attr));
        case RMS_NORM ->
            dnnl_layer_normalization_forward_primitive_desc_create(
                desc,
                engine,
                dnnl_forward_training,
                md(0),
                md(3),
                md(1),
                s.a(),
                scaled | dnnl_rms_norm,
                attr);
        case RMS_NORM_BACKWARD ->
            withHint(
                hint ->
                    dnnl_layer_normalization_forward_primitive_desc_create(
                        hint,
                        engine,
                        dnnl_forward_training,
                        md(0),
                        md(3),
                        md(1),
                        s.a(),
                        scaled | dnnl_rms_norm,
                        null),
                hint ->
                    dnnl_layer_normalization_backward_primitive_desc_create(
                        desc,
                        engine,
                        dnnl_backward, // 3.11 refuses a scale with backward_data
                        md(4),
                        md(3),
                        md(0),
                        md(1),
                        s.a(),
                        scaled | dnnl_rms_norm,
                        hint,
                        attr));
        case REORDER ->
            dnnl_reorder_primitive_desc_create(desc, md(0), engine, md(1), engine, attr);
        case MAX_POOL -> {
          long[] window = {1, s.mds().get(0).dim(3)};
          long[] none = {0, 0};
          yield dnnl_pooling_forward_primitive_desc_create(
              desc,
              engine,
              dnnl_forward_inference,
              dnnl_pooling_max,
              md(0),
              md(1),
              window,
              window,
              none,
              none,
              none,
              attr);
        }
      };
    }

    private interface Create {
      int apply(dnnl_primitive_desc hint);
    }

    private static int withHint(Create forward, Create backward) {
      dnnl_primitive_desc hint = new dnnl_primitive_desc();
      int status = forward.apply(hint);
      if (status == dnnl_success) {
        status = backward.apply(hint);
        dnnl_primitive_desc_destroy(hint);
      }
      return status;
    }

    String implementation() {
      try (PointerPointer<BytePointer> name = new PointerPointer<>(1)) {
        check(dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, name), "name");
        return name.get(BytePointer.class, 0).getString();
      }
    }

    @Override
    public void close() {
      mds.forEach(m -> dnnl_memory_desc_destroy(m));
      others.forEach(m -> dnnl_memory_desc_destroy(m));
      dnnl_primitive_desc_destroy(desc);
    }
  }

  /** A primitive with its arguments. */
  final class Op implements AutoCloseable {
    private final dnnl_primitive primitive = new dnnl_primitive();
    private final dnnl_memory[] memories;
    private final Address[] addresses;
    private final long[] set;
    private final dnnl_exec_arg_t args;
    private final String implementation;

    private Op(Spec spec) {
      Descriptor d = new Descriptor(spec);
      implementation = d.implementation();
      check(dnnl_primitive_create(primitive, d.desc), spec);
      int[] ids = spec.arguments();
      List<Integer> all = new ArrayList<>();
      List<dnnl_memory_desc> descs = new ArrayList<>();
      for (int i = 0; i < ids.length; i++) {
        all.add(ids[i]);
        descs.add(d.mds.get(i));
      }
      int other = 0;
      for (int p = 0; p < spec.postOps().size(); p++) {
        if (spec.postOps().get(p).md() != null) {
          all.add((DNNL_ARG_ATTR_MULTIPLE_POST_OP_BASE * (p + 1)) | DNNL_ARG_SRC_1);
          descs.add(d.others.get(other++));
        }
      }
      int n = all.size();
      memories = new dnnl_memory[n];
      addresses = new Address[n];
      set = new long[n];
      args = new dnnl_exec_arg_t(n);
      for (int i = 0; i < n; i++) {
        memories[i] = new dnnl_memory();
        addresses[i] = new Address();
        check(dnnl_memory_create(memories[i], descs.get(i), engine, addresses[i]), spec);
        args.position(i).arg(all.get(i));
        args.memory(memories[i]);
      }
      args.position(0);
      d.close();
    }

    String implementation() {
      return implementation;
    }

    void run(long... operands) {
      if (operands.length != memories.length) {
        throw new IllegalArgumentException(
            operands.length + " operands for " + memories.length + " arguments");
      }
      for (int i = 0; i < operands.length; i++) {
        if (set[i] != operands[i]) {
          set[i] = operands[i];
          dnnl_memory_set_data_handle(memories[i], addresses[i].at(operands[i]));
        }
      }
      int status = dnnl_primitive_execute(primitive, stream, operands.length, args);
      if (status != dnnl_success) {
        check(status, implementation);
      }
    }

    @Override
    public void close() {
      dnnl_primitive_destroy(primitive);
      for (dnnl_memory m : memories) {
        dnnl_memory_destroy(m);
      }
      args.deallocate();
    }
  }

  @Override
  public void close() {
    ops.values().forEach(Op::close);
    ops.clear();
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
  }
}
