package org.tune4j.core.io;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.function.IntToDoubleFunction;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;

class FloatsTest {
  @Example
  void bfloat16SurvivesTheRoundTrip() {
    for (int bits = 0; bits < 1 << 16; bits++) {
      float value = Floats.fromBf16((short) bits);
      assertThat(Float.floatToRawIntBits(value)).isEqualTo(bits << 16);
      if (Float.isNaN(value)) {
        assertThat(Floats.fromBf16(Floats.toBf16(value))).isNaN();
      } else {
        assertThat(Floats.toBf16(value)).isEqualTo((short) bits);
      }
    }
  }

  @Example
  void halvesSurviveTheRoundTrip() {
    for (int bits = 0; bits < 1 << 16; bits++) {
      float value = Floats.fromF16((short) bits);
      if (Float.isNaN(value)) {
        assertThat(Floats.fromF16(Floats.toF16(value))).isNaN();
      } else {
        assertThat(Floats.toF16(value)).as("half %x, %s", bits, value).isEqualTo((short) bits);
      }
    }
  }

  @Example
  void knownValues() {
    assertThat(Floats.fromBf16((short) 0x3F80)).isEqualTo(1f);
    assertThat(Floats.fromBf16((short) 0xC049)).isEqualTo(-3.140625f);
    assertThat(Floats.toBf16(Float.MAX_VALUE)).isEqualTo((short) 0x7F80); // rounds to infinity
    assertThat(Floats.toBf16(Float.MIN_VALUE)).isZero();
    assertThat(Floats.toBf16(-0f)).isEqualTo((short) 0x8000);
    assertThat(Floats.toBf16(Float.NEGATIVE_INFINITY)).isEqualTo((short) 0xFF80);
    assertThat(Floats.fromF16((short) 0x3C00)).isEqualTo(1f);
    assertThat(Floats.fromF16((short) 0x7BFF)).isEqualTo(65504f);
    assertThat(Floats.fromF16((short) 0x8001)).isEqualTo(-0x1p-24f); // the smallest subnormal
    assertThat(Floats.fromF16((short) 0x7C00)).isEqualTo(Float.POSITIVE_INFINITY);
    assertThat(Floats.toF16(65519.996f)).isEqualTo((short) 0x7BFF);
    assertThat(Floats.toF16(65520f)).isEqualTo((short) 0x7C00);
    assertThat(Floats.toF16(-0f)).isEqualTo((short) 0x8000);
    assertThat(Floats.toF16(0x1p-25f)).isZero(); // a tie, to even
    assertThat(Floats.toF16(0x1.8p-24f)).isEqualTo((short) 2); // likewise
    assertThat(Floats.toF16(Math.nextUp(0x1p-25f))).isEqualTo((short) 1);
  }

  @Property(tries = 2000)
  void bfloat16IsTheNearestAndEvenInTies(@ForAll int bits) {
    float value = Float.intBitsToFloat(bits);
    short rounded = Floats.toBf16(value);
    if (Float.isNaN(value)) {
      assertThat(Floats.fromBf16(rounded)).isNaN();
    } else {
      // infinity counts as the next power of two
      assertNearest(value, rounded, h -> magnitude(Floats.fromBf16((short) h), 0x1p128));
      assertThat(Float.floatToRawIntBits(Floats.fromBf16(rounded)) < 0).isEqualTo(bits < 0);
    }
  }

  @Property(tries = 500)
  void tiesOfBfloat16GoToEven(@ForAll short upper) {
    float tie = Float.intBitsToFloat(upper << 16 | 0x8000);
    if (!Float.isNaN(tie)) {
      assertThat(Floats.toBf16(tie) & 1).isZero();
      assertNearest(tie, Floats.toBf16(tie), h -> magnitude(Floats.fromBf16((short) h), 0x1p128));
    }
  }

  @Property(tries = 2000)
  void halvesAreTheNearestAndEvenInTies(@ForAll int bits, @ForAll boolean inRange) {
    // half of the tries within the range of halves, subnormal ones included
    float value =
        inRange
            ? Math.scalb(1 + (bits & 0x7FFFFF) * 0x1p-23f, (bits >>> 24) % 44 - 27)
            : Float.intBitsToFloat(bits);
    short rounded = Floats.toF16(value);
    if (Float.isNaN(value)) {
      assertThat(Floats.fromF16(rounded)).isNaN();
    } else {
      double clipped = Math.copySign(Math.min(Math.abs(value), 0x1p16), value);
      assertNearest(clipped, rounded, h -> magnitude(Floats.fromF16((short) h), 0x1p16));
      assertThat(rounded < 0).isEqualTo(value < 0 || Float.floatToRawIntBits(value) == 1 << 31);
    }
  }

  private static double magnitude(float value, double infinity) {
    return Float.isInfinite(value) ? infinity : Math.abs(value);
  }

  /** Checks that no neighbour is nearer, and none as near unless this one is even. */
  private static void assertNearest(double value, short rounded, IntToDoubleFunction magnitudeOf) {
    int own = rounded & 0x7FFF;
    double error = Math.abs(Math.abs(value) - magnitudeOf.applyAsDouble(own));
    for (int neighbour : new int[] {own - 1, own + 1}) {
      double other = neighbour < 0 ? Double.NaN : magnitudeOf.applyAsDouble(neighbour);
      if (!Double.isNaN(other)) {
        double otherError = Math.abs(Math.abs(value) - other);
        assertThat(error < otherError || (error == otherError && (own & 1) == 0))
            .as("%s becomes %s, its neighbour is %s", value, magnitudeOf.applyAsDouble(own), other)
            .isTrue();
      }
    }
  }
}
