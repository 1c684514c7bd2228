package org.tune4j.core.engine.onednn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.bytedeco.dnnl.global.dnnl.*;

import org.junit.jupiter.api.Test;
import org.tune4j.core.engine.Precision;

class ProductPathTest {
  private static final ProductPath ALL_NATIVE = new ProductPath(false, true);
  private static final ProductPath WIDENED = new ProductPath(true, true);
  private static final ProductPath NOTHING_NATIVE = new ProductPath(true, false);

  @Test
  void isDecidedByTheProcessorsInstructions() {
    assertThat(ProductPath.of(dnnl_cpu_isa_avx2, false)).isEqualTo(NOTHING_NATIVE);
    assertThat(ProductPath.of(dnnl_cpu_isa_avx512_core, true)).isEqualTo(NOTHING_NATIVE);
    assertThat(ProductPath.of(dnnl_cpu_isa_avx2_vnni, true)).isEqualTo(WIDENED);
    assertThat(ProductPath.of(dnnl_cpu_isa_avx512_core_vnni, true)).isEqualTo(WIDENED);
    assertThat(ProductPath.of(dnnl_cpu_isa_avx512_core_bf16, false)).isEqualTo(ALL_NATIVE); // Zen 4
    assertThat(ProductPath.of(dnnl_cpu_isa_avx512_core_bf16, true)).isEqualTo(WIDENED);
    assertThat(ProductPath.of(dnnl_cpu_isa_avx512_core_fp16, true)).isEqualTo(WIDENED);
    assertThat(ProductPath.of(dnnl_cpu_isa_avx512_core_amx, true)).isEqualTo(ALL_NATIVE);
  }

  @Test
  void saysWhatDiffersInAPrecision() {
    assertThat(ALL_NATIVE.describe(Precision.F32)).isEmpty();
    assertThat(NOTHING_NATIVE.describe(Precision.F32)).isEmpty();
    assertThat(ALL_NATIVE.describe(Precision.BF16)).isEqualTo(", bfloat16 inputs");
    assertThat(WIDENED.describe(Precision.BF16)).isEqualTo(", inputs widened");
    assertThat(ALL_NATIVE.describe(Precision.INT8))
        .isEqualTo(", bfloat16 inputs, rounded to 8 bits");
    assertThat(NOTHING_NATIVE.describe(Precision.INT8)).isEqualTo(", inputs widened, not rounded");
  }

  @Test
  void decidesNothingInF32() {
    assertThat(ProductPath.of(Precision.F32)).isEqualTo(new ProductPath(false, false));
  }

  @Test
  void propertiesDecideOtherwise() {
    String before = System.setProperty("tune4j.onednn.bf16", "widened");
    try {
      assertThat(ProductPath.of(Precision.BF16).widensInputs()).isTrue();
      System.setProperty("tune4j.onednn.bf16", "native");
      assertThat(ProductPath.of(Precision.BF16).widensInputs()).isFalse();
      System.setProperty("tune4j.onednn.bf16", "fast");
      assertThatThrownBy(() -> ProductPath.of(Precision.BF16))
          .hasMessage("-Dtune4j.onednn.bf16=fast: expected 'native' or 'widened'");
    } finally {
      if (before == null) {
        System.clearProperty("tune4j.onednn.bf16");
      } else {
        System.setProperty("tune4j.onednn.bf16", before);
      }
    }
  }
}
