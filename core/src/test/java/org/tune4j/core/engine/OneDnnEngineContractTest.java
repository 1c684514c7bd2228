package org.tune4j.core.engine;

import java.util.List;

class OneDnnEngineContractTest extends EngineContract {
  @Override
  List<EnginePath> paths() {
    return EnginePath.oneDnn();
  }
}
