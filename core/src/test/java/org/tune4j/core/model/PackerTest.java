package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.engine.Engine;

class PackerTest {
  private static List<Pass.Item> items(Random random, int count, int lanes) {
    List<Pass.Item> items = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      int[] ids = random.ints(1 + random.nextInt(50), 1, 60).toArray();
      boolean[] learned = new boolean[ids.length];
      for (int t = 1; t < ids.length; t++) {
        learned[t] = random.nextInt(3) == 0;
      }
      items.add(
          new Pass.Item(
              random.nextInt(3), random.nextInt(lanes), new EncodedExample(ids, learned, 1, i)));
    }
    items.sort(Comparator.comparingInt(Pass.Item::lane));
    return items;
  }

  @Property(tries = 60)
  void everyTokenAndTargetIsThereOnceInItsLanesSlice(
      @ForAll long seed,
      @ForAll @IntRange(min = 1, max = 12) int count,
      @ForAll @IntRange(min = 1, max = 4) int lanes) {
    List<Pass.Item> items = items(new Random(seed), count, lanes);
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model("llama", engine)) {
      ImmutableList.Builder<ImmutableList<Adapter>> built = ImmutableList.builder();
      for (int i = 0; i < lanes; i++) {
        built.add(ImmutableList.of(new TinyModels.LowRank(model, i)));
      }
      ImmutableList<ImmutableList<Adapter>> stacks = built.build();
      Pass pass = new Pass(ImmutableList.copyOf(items), stacks);
      Packer.Packed packed = Packer.pack(pass, 59);
      Batch batch = packed.batch();
      assertThat(batch.rows() % Packer.ROW_MULTIPLE).isZero();
      int k = 0;
      int target = 0;
      for (int segment = 0; segment < batch.segments(); segment++) {
        int from = batch.segmentStart()[segment];
        int to = batch.segmentStart()[segment + 1];
        if (batch.segmentTask()[segment] < 0) {
          assertThat(Arrays.stream(batch.targets(), from, to)).containsOnly(-1);
          assertThat(Arrays.stream(batch.ids(), from, to)).containsOnly(59);
          assertThat(to - from).isLessThan(Packer.ROW_MULTIPLE);
          continue;
        }
        Pass.Item item = items.get(k);
        EncodedExample e = item.example();
        assertThat(batch.segmentTask()[segment]).isEqualTo(item.task());
        assertThat(Arrays.copyOfRange(batch.ids(), from, to)).isEqualTo(e.ids());
        for (int t = 0; t < e.ids().length; t++) {
          boolean learned = t + 1 < e.ids().length && e.learned()[t + 1];
          assertThat(batch.positions()[from + t]).isEqualTo(t);
          assertThat(batch.targets()[from + t]).isEqualTo(learned ? e.ids()[t + 1] : -1);
          if (learned) {
            assertThat(packed.lossItems()[target++]).isEqualTo(k);
          }
        }
        assertThat(packed.routing().slices())
            .filteredOn(s -> s.from() <= from && to <= s.from() + s.count())
            .singleElement()
            .satisfies(s -> assertThat(s.adapters()).isEqualTo(stacks.get(item.lane())));
        k++;
      }
      assertThat(k).isEqualTo(count);
      assertThat(packed.lossItems()).hasSize(target);
      stacks.forEach(s -> s.get(0).close());
    }
  }

  @Property(tries = 100)
  void dividesInOrderWithinTheBudget(
      @ForAll long seed,
      @ForAll @IntRange(max = 40) int count,
      @ForAll @IntRange(min = 1, max = 200) int budget) {
    List<Pass.Item> items = items(new Random(seed), count, 2);
    List<Pass> passes =
        ImmutableList.copyOf(
            Pass.divide(items, ImmutableList.of(ImmutableList.of(), ImmutableList.of()), budget));
    assertThat(passes.stream().flatMap(p -> p.items().stream())).isEqualTo(items);
    for (int i = 0; i < passes.size(); i++) {
      Pass pass = passes.get(i);
      assertThat(pass.tokens() <= budget || pass.items().size() == 1).isTrue();
      if (i > 0) {
        long one = pass.items().get(0).example().ids().length;
        assertThat(passes.get(i - 1).tokens() + one)
            .as("no pass is needless")
            .isGreaterThan(budget);
      }
    }
  }

  @Property(tries = 20)
  void examplesScoreAsTheyWouldByThemselves(
      @ForAll long seed,
      @ForAll @IntRange(min = 1, max = 12) int count,
      @ForAll @IntRange(min = 1, max = 150) int budget) {
    List<EncodedExample> examples =
        items(new Random(seed), count, 1).stream().map(Pass.Item::example).toList();
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model("llama", engine)) {
      List<Double> sums = new ArrayList<>();
      for (Pass pass : Pass.divide(examples, List.of(), budget)) {
        for (double sum : model.losses(pass).sums(pass.items().size())) {
          sums.add(sum);
        }
      }
      assertThat(sums).hasSameSizeAs(examples);
      double total = 0;
      long targets = 0;
      for (int i = 0; i < sums.size(); i++) {
        EncodedExample e = examples.get(i);
        LossResult alone =
            model.loss(Packer.pack(passOf(e), 59).batch(), Routing.BASE); // filled up alike
        double sum = alone.mean() * alone.losses().length;
        assertThat(sums.get(i)).isCloseTo(sum, within(1e-3));
        assertThat(alone.losses()).hasSize(e.lossTokens());
        total += sum;
        targets += e.lossTokens();
      }
      double mean = PassLosses.mean(Pass.divide(examples, List.of(), budget), model::losses);
      if (targets == 0) {
        assertThat(mean).isNaN();
      } else {
        assertThat(mean).isCloseTo(total / targets, within(1e-3));
      }
    }
  }

  private static Pass passOf(EncodedExample e) {
    return new Pass(ImmutableList.of(new Pass.Item(0, 0, e)), ImmutableList.of(ImmutableList.of()));
  }
}
