package org.tune4j.examples;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ArchRule;
import com.tngtech.archunit.lang.conditions.ArchConditions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The rules of CONTRIBUTING.md on what may know what. */
class ArchitectureTest {
  private static final JavaClasses ALL =
      new ClassFileImporter()
          .withImportOption(new ImportOption.DoNotIncludeTests())
          .importPackages("org.tune4j");

  private static void check(ArchRule rule) {
    rule.check(ALL);
  }

  @Test
  void everyModuleIsLookedAt() {
    for (String module : List.of("core", "lora", "strategies", "testing", "eval", "examples")) {
      assertThat(ALL.stream().anyMatch(c -> c.getPackageName().startsWith("org.tune4j." + module)))
          .as(module)
          .isTrue();
    }
  }

  @Test
  void modulesKnowOnlyThoseBeforeThem() {
    check(
        layeredArchitecture()
            .consideringOnlyDependenciesInLayers()
            .layer("core")
            .definedBy("org.tune4j.core..")
            .layer("lora")
            .definedBy("org.tune4j.lora..")
            .layer("strategies")
            .definedBy("org.tune4j.strategies..")
            .layer("testing")
            .definedBy("org.tune4j.testing..")
            .layer("eval")
            .definedBy("org.tune4j.eval..")
            .layer("examples")
            .definedBy("org.tune4j.examples..")
            .whereLayer("core")
            .mayOnlyBeAccessedByLayers("lora", "strategies", "testing", "eval", "examples")
            .whereLayer("lora")
            .mayOnlyBeAccessedByLayers("strategies", "testing", "eval", "examples")
            .whereLayer("strategies")
            .mayOnlyBeAccessedByLayers("testing", "eval", "examples")
            .whereLayer("testing")
            .mayOnlyBeAccessedByLayers("examples")
            .whereLayer("eval")
            .mayOnlyBeAccessedByLayers("examples")
            .whereLayer("examples")
            .mayNotBeAccessedByAnyLayer());
  }

  /** Within core: io, text, data and engine know no model, and no model knows the trainer. */
  @Test
  void coreIsLayered() {
    check(
        noClasses()
            .that(in("progress"))
            .should(know("io", "text", "data", "engine", "model", "train")));
    check(noClasses().that(in("io")).should(know("text", "data", "engine", "model", "train")));
    check(noClasses().that(in("text")).should(know("data", "engine", "model", "train")));
    check(noClasses().that(in("engine")).should(know("text", "data", "model", "train")));
    check(noClasses().that(in("data")).should(know("engine", "model", "train")));
    check(noClasses().that(in("model")).should(know("train")));
  }

  private static DescribedPredicate<JavaClass> in(String... parts) {
    return resideInAnyPackage(
        Stream.of(parts).map(p -> "org.tune4j.core." + p + "..").toArray(String[]::new));
  }

  private static ArchCondition<JavaClass> know(String... parts) {
    return ArchConditions.dependOnClassesThat(in(parts));
  }

  @Test
  void packagesHaveNoCycles() {
    check(slices().matching("org.tune4j.(**)").should().beFreeOfCycles());
  }

  @Test
  void enginesAreFoundByTheirService() {
    check(
        noClasses()
            .that()
            .resideOutsideOfPackage("org.tune4j.core.engine..")
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("org.tune4j.core.engine.*..", "org.bytedeco.dnnl.."));
  }

  /** Class files do not tell whose a text is, so that the sources are read. */
  @Test
  void noEngineIsNamedOutsideItsPackage() throws IOException {
    for (String module : List.of("core", "lora", "strategies", "testing", "eval")) {
      try (Stream<Path> files = Files.walk(Path.of("..", module, "src", "main", "java"))) {
        List<Path> sources =
            files
                .filter(f -> f.toString().endsWith(".java"))
                .filter(f -> !f.toString().contains("core/engine"))
                .toList();
        assertThat(sources).as(module).isNotEmpty();
        for (Path source : sources) {
          assertThat(Files.readString(source))
              .as(source.toString())
              .doesNotContain("\"nd4j\"", "\"onednn\"", "tune4j.onednn");
        }
      }
    }
  }

  @Test
  void nd4jsBackendIsTheApplications() {
    check(
        noClasses()
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage(
                "org.nd4j.linalg.cpu..",
                "org.nd4j.linalg.jcublas..",
                "org.nd4j.nativeblas..",
                "org.nd4j.jita.."));
  }

  /** A chat template comes from a file of somebody else's and reaches its values alone. */
  @Test
  void templatesReachNothingButTheirValues() {
    check(
        noClasses()
            .that()
            .resideInAPackage("org.tune4j.core.text.jinja..")
            .and()
            .doNotHaveSimpleName("Limits") // asks how large the heap is
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage(
                "java.lang.reflect..",
                "java.lang.invoke..",
                "java.io..",
                "java.nio.file..",
                "java.net..",
                "org.tune4j.core.io..",
                "org.tune4j.core.data..")
            .orShould()
            .dependOnClassesThat()
            .belongToAnyOf(ClassLoader.class, Process.class, ProcessBuilder.class, Runtime.class));
  }
}
