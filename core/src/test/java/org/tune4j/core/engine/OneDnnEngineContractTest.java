package org.tune4j.core.engine;

import java.util.List;

class OneDnnEngineContractTest extends EngineContract {
  @Override
  Engine create(Precision precision) {
    return Engines.create("onednn", precision);
  }

  @Override
  List<Precision> precisions() {
    return available("onednn");
  }
}
