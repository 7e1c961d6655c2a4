package io.github.libautoround;

import io.github.libautoround.internal.NumberOut;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.nio.file.Path;
import java.util.Objects;
import java.util.function.BiConsumer;

/** Token windows to calibrate or measure on. Everything is copied in. */
public final class Calibration extends NativeObject<io.github.libautoround.internal.Calibration> {
  /** Windows of sequenceLength tokens: shorter samples are padded and masked, longer ones cut. */
  public Calibration(long sequenceLength) {
    super(made(new io.github.libautoround.internal.Calibration(), io.github.libautoround.internal.Calibration::delete,
        raw -> raw.create(sequenceLength)), io.github.libautoround.internal.Calibration::delete);
  }

  /** A tokenizer.json; the chat template beside it is used when there. Needed for text, not for ids. */
  public Calibration tokenizer(Path path) {
    run(raw -> raw.setTokenizer(path.toString()));
    return this;
  }

  /** One sample of token ids. */
  public Calibration addTokens(long... ids) {
    Objects.requireNonNull(ids);
    run(raw -> raw.addTokens(ids));
    return this;
  }

  /** One sample: what remains in the buffer, whose position stays. A direct buffer in native byte order is read in place. */
  public Calibration addTokens(LongBuffer ids) {
    if (ids.isDirect() && ids.order() == ByteOrder.nativeOrder()) {
      LongBuffer remaining = ids.slice();
      run(raw -> raw.addDirectTokens(remaining));
      return this;
    }
    long[] copy = new long[ids.remaining()];
    ids.duplicate().get(copy);
    return addTokens(copy);
  }

  /** One sample of text; the tokenizer's special tokens are added. */
  public Calibration addText(String text) {
    run(raw -> raw.addText(text));
    return this;
  }

  /** Cuts a long text into at most limit windows, 0: all. A last partial window is padded, or dropped. Gives the number of windows. */
  public long addWindows(String text, long limit, boolean dropLast) {
    return added((raw, out) -> raw.addWindows(text, limit, dropLast, out));
  }

  /**
   * At most limit samples of a .jsonl file or a JSON array, 0: all. field is "text", "messages", "input_ids" or "": the first of these
   * that a sample has.
   */
  public long addJsonl(Path path, String field, long limit) {
    return added((raw, out) -> raw.addJsonl(path.toString(), field, limit, out));
  }

  /** A file of either kind, told apart by its content. */
  public long addFile(Path path, long limit, boolean dropLast) {
    return added((raw, out) -> raw.addFile(path.toString(), limit, dropLast, out));
  }

  private long added(BiConsumer<io.github.libautoround.internal.Calibration, NumberOut> call) {
    return use(raw -> AutoRound.number(out -> call.accept(raw, out), NumberOut::integer));
  }

  /** Windows. */
  public long sampleCount() {
    return use(io.github.libautoround.internal.Calibration::sampleCount);
  }

  /** Without padding. */
  public long tokenCount() {
    return use(io.github.libautoround.internal.Calibration::tokenCount);
  }

  public long sequenceLength() {
    return use(io.github.libautoround.internal.Calibration::sequenceLength);
  }
}
