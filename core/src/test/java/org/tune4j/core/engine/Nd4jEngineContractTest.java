package org.tune4j.core.engine;

import java.util.List;

class Nd4jEngineContractTest extends EngineContract {
  @Override
  Engine create(Precision precision) {
    return Engines.create("nd4j", precision);
  }

  @Override
  List<Precision> precisions() {
    return available("nd4j");
  }
}
