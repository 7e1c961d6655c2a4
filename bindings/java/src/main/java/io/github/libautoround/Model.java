package io.github.libautoround;

import io.github.libautoround.internal.NumberOut;
import java.nio.file.Path;
import java.util.List;

/** An opened checkpoint folder; its weights are read when a run needs them. Several threads may use one. */
public final class Model extends NativeObject<io.github.libautoround.internal.Model> {
  /**
   * A module of the model, in named_modules order: what targets and ignores of a recipe match.
   *
   * @param type "Linear"
   * @param block -1 outside the blocks
   * @param rows of the weight; Linear: out features
   * @param columns Linear: in features
   */
  public record Module(String name, String type, long block, long rows, long columns) {}

  private Model(String directory) {
    super(made(new io.github.libautoround.internal.Model(), io.github.libautoround.internal.Model::delete, raw -> raw.open(directory)),
        io.github.libautoround.internal.Model::delete);
  }

  /** Opens a Hugging Face folder. */
  public static Model open(Path directory) {
    return new Model(directory.toString());
  }

  /** As in config.json: "LlamaForCausalLM". */
  public String architecture() {
    return use(io.github.libautoround.internal.Model::architecture);
  }

  /** Stored elements. */
  public long parameterCount() {
    return use(io.github.libautoround.internal.Model::parameterCount);
  }

  /** Of all tensors. */
  public long byteSize() {
    return use(io.github.libautoround.internal.Model::byteSize);
  }

  /** Names of the decoder layers, which are tuned one at a time. */
  public List<String> blocks() {
    return use(raw -> AutoRound.list(raw.blockCount(), raw::blockName));
  }

  public List<Module> modules() {
    return use(raw -> AutoRound.list(raw.moduleCount(),
        i -> new Module(raw.moduleName(i), raw.moduleClass(i), raw.moduleBlock(i), raw.moduleSize(i, 0), raw.moduleSize(i, 1))));
  }

  /** A tensor of the checkpoint as stored, by its name. */
  public Tensor tensor(String name) {
    return use(raw -> new Tensor(out -> raw.tensor(name, out)));
  }

  /** JSON: what the recipe would do to each layer, and the memory, disk and time the run is predicted to need. data and options may be null. */
  public String plan(Recipe recipe, Calibration data, Options options) {
    return use(raw -> recipe.use(with -> useOrNull(data, on -> Options.with(options,
        (chosen, watch) -> AutoRound.text(out -> raw.plan(with, on, chosen, out))))));
  }

  /** exp of the mean negative log-likelihood of every token of a window but its first. options may be null. */
  public double perplexity(Calibration data, Options options) {
    return use(raw -> data.use(on -> Options.with(options, (chosen, watch) -> AutoRound.number(
        out -> watch.during(observer -> raw.perplexity(on, chosen, observer, out)), NumberOut::real))));
  }
}
