package io.github.libautoround;

import java.util.Arrays;
import java.util.List;

/**
 * A moment of a run.
 *
 * @param fraction 0..1 of the whole run
 * @param block -1 when none
 * @param name of the block or stage
 * @param iteration -1 when none; BLOCK_END: the best one
 * @param loss NaN when none; BLOCK_END: over all samples
 * @param inputs BLOCK_INPUTS: the full-precision and the quantized stream, [samples, tokens, hidden], the callback's to close; else empty
 */
public record Event(Kind kind, double fraction, long block, String name, long iteration, double loss, List<Tensor> inputs) {
  /** What an event tells. */
  public enum Kind {
    PROGRESS(1), BLOCK_BEGIN(2), BLOCK_INPUTS(4), ITERATION(8), BLOCK_END(16);

    final int bit;

    Kind(int bit) {
      this.bit = bit;
    }

    static Kind of(int bit) {
      return Arrays.stream(values()).filter(kind -> kind.bit == bit).findFirst().orElseThrow();
    }
  }
}
