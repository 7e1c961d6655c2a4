package io.github.libautoround;

/**
 * One linear layer of a program that runs its model itself: its weight and what came into it. No checkpoint, no tokenizer. Tuned as the blocks
 * of a {@link Model} are, against the layer's own full-precision output.
 */
public final class Linear extends NativeObject<io.github.libautoround.internal.Layer> {
  /**
   * A layer of a weight [out, in] and a bias [out], which may be null: finite F32, F16 or BF16, whose memory it shares; the tensors may be closed.
   * name is what targets and ignores of a recipe match.
   */
  public Linear(String name, Tensor weight, Tensor bias) {
    super(weight.use(w -> useOrNull(bias, b -> made(new io.github.libautoround.internal.Layer(),
        io.github.libautoround.internal.Layer::delete, raw -> raw.create(name, w, b)))), io.github.libautoround.internal.Layer::delete);
  }

  /**
   * Adds [tokens, in], one sample, or [samples, tokens, in]. A minibatch is the recipe's batch_size samples; shorter ones are padded and masked.
   * targets are the outputs wanted for them, of the same shape with out; null: what the full-precision layer makes of the inputs. For all samples
   * or for none. It may be called several times; a call that fails adds nothing.
   */
  public void addInputs(Tensor inputs, Tensor targets) {
    run(raw -> inputs.run(x -> useOrNull(targets, y -> {
      raw.addInputs(x, y);
      return null;
    })));
  }

  /** What was added. */
  public long sampleCount() {
    return use(io.github.libautoround.internal.Layer::sampleCount);
  }

  /** Of all samples, without padding. */
  public long tokenCount() {
    return use(io.github.libautoround.internal.Layer::tokenCount);
  }

  /**
   * Tunes the layer with the scheme that the recipe gives a Linear of its name. The layer stays as it is and may be tuned again; the result has one
   * block and one layer. iters 0 needs no inputs; with some it searches scales before it rounds.
   * options may be null; outputs are refused.
   */
  public Result tune(Recipe recipe, Options options) {
    return use(raw -> recipe.use(with -> Options.with(options, (chosen, watch) -> new Result(
        out -> watch.during(observer -> raw.tune(with, chosen, watch.mask(), observer, out))))));
  }
}
