using System;
using System.Threading;

namespace LibAutoRound {
  /// <summary>
  /// One linear layer of a program that runs its model itself: its weight and what came into it. No checkpoint, no tokenizer. Tuned as the blocks of
  /// a <see cref="Model"/> are, against the layer's own full-precision output.
  /// </summary>
  public sealed class Linear : NativeObject {
    private readonly Handle<Internal.Layer> raw;

    private Linear(Handle<Internal.Layer> raw) : base(raw) {
      this.raw = raw;
    }

    /// <summary>
    /// A layer of a weight [out, in] and a bias [out], which may be null: finite F32, F16 or BF16, whose memory it shares; the tensors may be
    /// disposed of. name is what targets and ignores of a recipe match.
    /// </summary>
    public Linear(string name, Tensor weight, Tensor bias = null)
        : this(Using(weight, bias, (w, b) => Handle<Internal.Layer>.Filled(new Internal.Layer(), layer => layer.create(name, w, b)))) {}

    /// <summary>
    /// Adds [tokens, in], one sample, or [samples, tokens, in]. A minibatch is the recipe's batch_size samples; shorter ones are padded and masked.
    /// targets are the outputs wanted for them, of the same shape with out; null: what the full-precision layer makes of the inputs. For all samples
    /// or for none. It may be called several times; a call that fails adds nothing.
    /// </summary>
    public void AddInputs(Tensor inputs, Tensor targets = null) {
      raw.Run(layer => Using(inputs, targets, (x, y) => {
        layer.addInputs(x, y);
        return true;
      }));
    }

    /// <summary>What was added.</summary>
    public long SampleCount {
      get { return raw.Use(layer => layer.sampleCount()); }
    }

    /// <summary>Of all samples, without padding.</summary>
    public long TokenCount {
      get { return raw.Use(layer => layer.tokenCount()); }
    }

    /// <summary>
    /// Tunes the layer with the scheme that the recipe gives a Linear of its name. The layer stays as it is and may be tuned again; the result has one
    /// block and one layer. iters 0 needs no inputs; with some it searches scales before it rounds.
    /// </summary>
    /// <param name="recipe">What is computed.</param>
    /// <param name="options">On which device; null: defaults. Outputs are refused.</param>
    /// <param name="progress">Told of the events that options name.</param>
    /// <param name="cancellationToken">Stops the run within one iteration.</param>
    /// <exception cref="OperationCanceledException">The token asked for it.</exception>
    public Result Tune(Recipe recipe, Options options = null, IProgress<Event> progress = null,
        CancellationToken cancellationToken = default(CancellationToken)) {
      if (recipe == null) throw new ArgumentNullException("recipe");
      using (var cancellation = new Cancellation(cancellationToken)) {
        return raw.Use(layer => recipe.Raw.Use(with => Options.With(options, cancellation, (chosen, watch) => new Result(
            result => Observation.During(progress, watch, cancellation,
                observer => layer.tune(with, chosen, watch.Mask(progress), observer, result))))));
      }
    }

    private static R Using<R>(Tensor first, Tensor second, Func<Internal.Tensor, Internal.Tensor, R> f) {
      if (first == null) throw new ArgumentNullException("tensor");
      return first.Raw.Use(a => Handle<Internal.Tensor>.UseOrNull(second == null ? null : second.Raw, b => f(a, b)));
    }
  }
}
