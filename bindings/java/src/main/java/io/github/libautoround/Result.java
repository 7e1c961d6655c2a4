package io.github.libautoround;

import java.util.List;
import java.util.function.Consumer;

/** The account of a run, and its tensors when the run had no output folder. */
public final class Result extends NativeObject<io.github.libautoround.internal.Result> {
  /**
   * A decoder layer. Losses are mean squared errors over all samples, NaN without data.
   *
   * @param lossBefore rounded to nearest
   * @param lossAfter tuned
   * @param bestIteration -1: rounding to nearest was kept
   */
  public record Block(String name, double lossBefore, double lossAfter, long bestIteration, double seconds) {}

  /**
   * A linear layer of the model.
   *
   * @param index for {@link Result#tensor}
   * @param scheme "" when not quantized
   * @param reason why not; "" when it was
   */
  public record Layer(long index, String name, String scheme, String reason) {}

  Result(Consumer<io.github.libautoround.internal.Result> fill) {
    super(made(new io.github.libautoround.internal.Result(), io.github.libautoround.internal.Result::delete, fill),
        io.github.libautoround.internal.Result::delete);
  }

  public List<Block> blocks() {
    return use(raw -> AutoRound.list(raw.blockCount(),
        i -> new Block(raw.blockName(i), raw.blockLossBefore(i), raw.blockLossAfter(i), raw.blockBestIteration(i), raw.blockSeconds(i))));
  }

  /** Every linear layer of the model, quantized or not. */
  public List<Layer> layers() {
    return use(raw -> AutoRound.list(raw.layerCount(), i -> new Layer(i, raw.layerName(i), raw.layerScheme(i), raw.layerReason(i))));
  }

  /**
   * A part of a layer: "qweight", "scales", "weight", and where there are such "zero_points", "global_scale", "input_scale",
   * "input_global_scale"; of the K types of GGUF "scale_factors", "minima", "minimum_factors".
   */
  public Tensor tensor(Layer layer, String part) {
    return use(raw -> new Tensor(out -> raw.layerTensor(layer.index(), part, out)));
  }

  /** Sentences for people. */
  public List<String> warnings() {
    return use(raw -> AutoRound.list(raw.warningCount(), raw::warning));
  }

  /** The account as JSON. */
  public String report() {
    return use(raw -> AutoRound.text(raw::report));
  }

  /** The account as one self-contained HTML page. */
  public String reportHtml() {
    return use(raw -> AutoRound.text(raw::reportHtml));
  }
}
