package org.tune4j.core.engine.onednn;

import static org.bytedeco.dnnl.global.dnnl.*;

import java.util.Optional;
import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.EngineProvider;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.nd4j.Nd4jEngineProvider;
import org.tune4j.core.engine.onednn.Spec.Kind;

/** Provides {@link OneDnnEngine} where oneDNN's libraries are on the class path. */
public final class OneDnnEngineProvider implements EngineProvider {
  @Override
  public String name() {
    return "onednn";
  }

  @Override
  public int priority() {
    return 10;
  }

  @Override
  public Optional<String> unavailable(Precision precision) {
    Optional<String> backend = Nd4jEngineProvider.backendProblem();
    if (backend.isPresent()) {
      return backend;
    }
    if (!Nd4j.getBackend().getClass().getSimpleName().contains("Cpu")) {
      return Optional.of("ND4J's arrays are not in the processor's memory");
    }
    try (Dnnl dnnl = new Dnnl()) {
      if (precision != Precision.F32) {
        Md md = Md.of(dnnl_bf16, 64, 64, 64, 1);
        if (dnnl.op(Spec.of(Kind.MATMUL, md, md, md)).implementation().startsWith("ref")) {
          return Optional.of("this processor has no bfloat16 products");
        }
      }
      return Optional.empty();
    } catch (LinkageError | RuntimeException e) {
      return Optional.of(
          "oneDNN could not be loaded (add org.bytedeco:dnnl and opencl with your platform's classifier): "
              + Nd4jEngineProvider.cause(e));
    }
  }

  @Override
  public Engine create(Precision precision) {
    return new OneDnnEngine(precision);
  }
}
