package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.DoubleNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.Safetensors;
import org.tune4j.testing.ParityCheck;

/** Whether the comparison sees what is wrong with a case, and only that. */
class ParityCheckTest {
  private static final String GRADIENT =
      "grad.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";

  @TempDir Path folder;
  private Path directory;

  @BeforeEach
  void copyCase() throws IOException {
    directory = CaseFiles.copy(CaseFiles.GOLDEN.resolve("qwen2"), folder.resolve("case"));
  }

  private interface Edit {
    void apply(Path directory) throws IOException;
  }

  private static Arguments edit(String name, String problem, Edit edit) {
    return Arguments.of(name, problem, edit);
  }

  private static Edit floats(String tensor) {
    return d ->
        CaseFiles.editFloats(
            d.resolve("io.safetensors"),
            tensor,
            v -> {
              for (int i = 0; i < v.length; i += 7) {
                v[i] *= 1.01f;
              }
            });
  }

  private static Edit without(String tensor) {
    return d -> CaseFiles.rename(d.resolve("io.safetensors"), n -> n.equals(tensor) ? null : n);
  }

  private static Edit number(String array, int index, double factor) {
    return d ->
        CaseFiles.editJson(
            d.resolve("case.json"),
            root -> {
              ArrayNode values = (ArrayNode) root.at(array);
              values.set(index, DoubleNode.valueOf(values.get(index).asDouble() * factor));
            });
  }

  private static final List<Edit> VALUES =
      List.of(
          floats("base.logits"),
          floats("base.last_hidden"),
          floats("adapter.logits"),
          floats("trained.logits"),
          floats(GRADIENT),
          number("/loss/steps", 6, 1.01),
          number("/grad_norm", 2, 0.99),
          d ->
              CaseFiles.editLongs(
                  d.resolve("io.safetensors"),
                  "adapter.greedy",
                  v -> v[v.length - 1] = (v[v.length - 1] + 1) % 300),
          d ->
              CaseFiles.editFloats(
                  d.resolve("adapter_trained").resolve(PeftFormat.WEIGHTS),
                  "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight",
                  v -> v[3] += 0.1f));

  @Test
  void everyValueThatIsOffIsNamed() throws IOException {
    for (Edit edit : VALUES) {
      edit.apply(directory);
    }
    ParityCheck.Report report = ParityCheck.run(directory, "");
    assertThat(report.problems())
        .satisfiesExactlyInAnyOrder(
            p -> assertThat(p).startsWith("base.logits: relative error"),
            p -> assertThat(p).startsWith("base.last_hidden: relative error"),
            p -> assertThat(p).startsWith("adapter.logits: relative error"),
            p -> assertThat(p).startsWith("trained.logits: relative error"),
            p -> assertThat(p).startsWith(GRADIENT + ": relative error"),
            p -> assertThat(p).startsWith("loss of step 7: relative error"),
            p -> assertThat(p).startsWith("gradient norm of step 3: relative error"),
            p -> assertThat(p).startsWith("adapter.greedy: continued with"),
            p ->
                assertThat(p)
                    .startsWith("model.layers.1.self_attn.q_proj.lora_B.weight: relative error"));
    assertThat(report.toString()).endsWith("  FAILED");
  }

  @Test
  void everythingMissingIsNamed() throws IOException {
    without(GRADIENT).apply(directory);
    without("adapter.logits").apply(directory);
    without("base.greedy").apply(directory);
    CaseFiles.editFloats(directory.resolve("io.safetensors"), "base.logits", v -> v[0] = Float.NaN);
    CaseFiles.editJson(
        directory.resolve("case.json"), r -> ((ObjectNode) r.path("loss")).remove("base"));
    AtomicFiles.deleteRecursively(directory.resolve("adapter_trained"));
    ParityCheck.Report report = ParityCheck.run(directory, "");
    assertThat(report.problems())
        .satisfiesExactlyInAnyOrder(
            p ->
                assertThat(p)
                    .isEqualTo(
                        "no gradient of model.layers.0.self_attn.q_proj.lora_A.weight is recorded"),
            p -> assertThat(p).contains("tensor 'adapter.logits': found nothing"),
            p -> assertThat(p).contains("tensor 'base.greedy': found nothing"),
            p -> assertThat(p).startsWith("base.logits: relative error NaN"),
            p -> assertThat(p).startsWith("case.json has no base loss"),
            p -> assertThat(p).contains("adapter_trained", "no such adapter configuration"));
    assertThat(report.errors()).containsKeys("loss", "gradients", "training curve");
  }

  static Stream<Arguments> unusable() {
    return Stream.of(
        edit("no input", "tensor 'input_ids': found nothing", without("input_ids")),
        edit(
            "no learning rate",
            "field 'optimizer.lr': found nothing, expected a finite number",
            d ->
                CaseFiles.editJson(
                    d.resolve("case.json"), r -> ((ObjectNode) r.path("optimizer")).remove("lr"))),
        edit(
            "fewer norms",
            "field 'grad_norm': found '19 values', expected 20",
            d ->
                CaseFiles.editJson(
                    d.resolve("case.json"), r -> ((ArrayNode) r.path("grad_norm")).remove(0))),
        edit(
            "no adapter",
            "no such adapter configuration",
            d -> AtomicFiles.deleteRecursively(d.resolve("adapter"))),
        edit("no model", "config.json", d -> AtomicFiles.deleteRecursively(d.resolve("model"))),
        edit("no case.json", "case.json", d -> Files.delete(d.resolve("case.json"))),
        edit(
            "a truncated file",
            "io.safetensors",
            d -> {
              Path io = d.resolve("io.safetensors");
              byte[] bytes = Files.readAllBytes(io);
              Files.write(io, Arrays.copyOf(bytes, bytes.length - 100));
            }),
        edit("no directory", "no such case directory", AtomicFiles::deleteRecursively));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("unusable")
  void aCaseThatCannotBeUsedFails(String name, String problem, Edit edit) throws IOException {
    edit.apply(directory);
    ParityCheck.Report report = ParityCheck.run(directory, "");
    assertThat(report.passed()).isFalse();
    assertThat(report.problems()).anyMatch(p -> p.contains(problem), problem);
    assertThat(report.toString()).contains(problem).endsWith("  FAILED");
  }

  @Test
  void paddedPositionsAreIgnored() throws IOException {
    Safetensors io = Safetensors.open(directory.resolve("io.safetensors"));
    long[] mask = io.longs("attention_mask");
    assertThat(mask).contains(0);
    CaseFiles.editFloats(
        directory.resolve("io.safetensors"),
        "adapter.logits",
        v -> {
          int columns = v.length / mask.length;
          for (int i = 0; i < v.length; i++) {
            if (mask[i / columns] == 0) {
              v[i] = Float.NaN;
            }
          }
        });
    assertThat(ParityCheck.run(directory, "").problems()).isEmpty();
  }
}
