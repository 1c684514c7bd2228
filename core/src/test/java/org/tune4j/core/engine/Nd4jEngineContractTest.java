package org.tune4j.core.engine;

import java.util.List;

class Nd4jEngineContractTest extends EngineContract {
  @Override
  List<EnginePath> paths() {
    return EnginePath.nd4j();
  }
}
