package org.tune4j.eval;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.train.GradientHook;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.Combination;

/** Plans with gradient hooks and combined adapters in the files of an experiment. */
class HooksInFilesTest {
  private record Halving(int times) implements GradientHook {
    @Override
    public String name() {
      return "halving";
    }

    @Override
    public State start(Parameters parameters) {
      return g -> g.parameters().engine().scale(g.parameters().flatGradients(), 0.5f);
    }
  }

  @Test
  void aPlanThatIsKeptTellsItsHooks(@TempDir Path folder) throws IOException {
    Path file = folder.resolve("plan.json");
    TrainingPlan plan =
        TrainingPlan.of(
                "own",
                Stage.named("one")
                    .train("a", "x", 3)
                    .size("x", 0.5)
                    .combine("y", Combination.dareLinear(0.5, 3), Map.of("x", 0.25))
                    .serve("a", "x")
                    .build(),
                Stage.named("two").train("a", "x", 2).serve("a", "x").build())
            .withGradients(new Halving(3));
    Json.write(file, plan);
    TrainingPlan kept = Json.read(file, TrainingPlan.class);
    assertThat(kept.describe()).isEqualTo(plan.describe()).contains("Halving[times=3]");
    GradientHook hook = kept.stages().get(0).gradients().get(0);
    assertThatThrownBy(() -> hook.start(null))
        .isInstanceOf(UnsupportedOperationException.class)
        .hasMessageContaining("Halving[times=3]");
    Stage.Combined combined = kept.stages().get(0).combined().get(0);
    assertThat(combined).hasToString("y = dare_linear of density 0.5, seed 3 of {x=0.25}");
    assertThatThrownBy(() -> combined.how().combine("z", List.of()))
        .isInstanceOf(UnsupportedOperationException.class)
        .hasMessageContaining("dare_linear of density 0.5, seed 3");
  }
}
