package org.tune4j.core.engine;

import java.util.List;
import org.tune4j.testing.EngineContract;
import org.tune4j.testing.EnginePath;

class Nd4jEngineContractTest extends EngineContract {
  @Override
  protected List<EnginePath> paths() {
    return EnginePaths.nd4j();
  }
}
