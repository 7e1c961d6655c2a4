package io.github.libautoround;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.libautoround.AutoRoundException.Code;
import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class LinearTest {
  private static final int OUT = 24;
  private static final int IN = 64;

  /** Inputs whose columns depend on one another, so that there is something to gain. */
  private static float[] wavy(int rows, int seed) {
    int state = seed;
    float[] values = new float[rows * IN];
    for (int row = 0; row < rows; row++) {
      float[] draws = new float[2 + IN];
      for (int i = 0; i < draws.length; i++) {
        state = state * 1664525 + 1013904223;
        draws[i] = (state >>> 8) / 8388608f - 1f;
      }
      for (int i = 0; i < IN; i++) {
        values[row * IN + i] = draws[0] * (float) Math.sin(i / 9.0) + draws[1] * (float) Math.cos(i / 2.0) + 0.1f * draws[2 + i];
      }
    }
    return values;
  }

  private static Linear layer() {
    try (Tensor weight = Tensor.of(new long[] {OUT, IN}, wavy(OUT, 1)); Tensor inputs = Tensor.of(new long[] {16, 4, IN}, wavy(64, 2))) {
      Linear layer = new Linear("proj", weight, null);
      layer.addInputs(inputs, null);
      return layer;
    }
  }

  private static Recipe recipe(int iters) {
    return new Recipe().set("scheme", "W4A16").set("weights.group_size", 32).set("iters", iters);
  }

  private static byte[] codes(Result result) {
    try (Tensor tensor = result.tensor(result.layers().get(0), "qweight")) {
      ByteBuffer buffer = tensor.buffer();
      byte[] bytes = new byte[buffer.remaining()];
      buffer.get(bytes);
      return bytes;
    }
  }

  @Test void tuningBeatsRoundingAndRepeatsItself() {
    AtomicInteger iterations = new AtomicInteger();
    try (Linear layer = layer(); Recipe recipe = recipe(40);
        Options options = new Options().onEvent(event -> iterations.incrementAndGet(), Event.Kind.ITERATION);
        Result first = layer.tune(recipe, options); Result second = layer.tune(recipe, null)) {
      assertEquals(16, layer.sampleCount());
      assertEquals(64, layer.tokenCount());
      assertEquals(40, iterations.get());
      Result.Block block = first.blocks().get(0);
      assertEquals("proj", block.name());
      assertTrue(block.lossAfter() < 0.8 * block.lossBefore(), block.toString());
      assertEquals(OUT * IN, codes(first).length);
      assertArrayEquals(codes(first), codes(second));
    }
  }

  @Test void whatIsWrongIsSaidWithItsPlace() {
    float[] broken = wavy(OUT, 1);
    broken[2 * IN + 5] = Float.NaN;
    try (Tensor weight = Tensor.of(new long[] {OUT, IN}, broken); Linear layer = layer(); Recipe recipe = recipe(4);
        Tensor inputs = Tensor.of(new long[] {4, IN}, wavy(4, 3)); Tensor targets = Tensor.of(new long[] {4, OUT}, new float[4 * OUT])) {
      AutoRoundException failure = Toy.assertFails(Code.NUMERIC, () -> new Linear("proj", weight, null));
      assertTrue(failure.getMessage().contains("[2, 5]"), failure.getMessage());
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> layer.addInputs(inputs, targets));
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> layer.addInputs(targets, null));
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> Tensor.of(new long[] {2, 2}, new float[1]));
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> Tensor.of("float", new long[] {1}, new byte[4]));
      assertThrows(NullPointerException.class, () -> Tensor.of("F32", null, new byte[4]));
      assertThrows(NullPointerException.class, () -> Tensor.of("F32", new long[] {1}, null));
      recipe.append("ignore", "proj");
      Toy.assertFails(Code.INVALID_ARGUMENT, () -> layer.tune(recipe, null));
      layer.close();
      Toy.assertFails(Code.INVALID_STATE, () -> layer.tune(recipe, null));
    }
  }
}
