using System;
using System.Collections.Generic;
using System.Threading;

namespace LibAutoRound {
  /// <summary>Where a session is.</summary>
  public enum SessionState {
    /// <summary>Nothing was done.</summary>
    Created,
    /// <summary>Everything that can fail early was checked.</summary>
    Initialized,
    /// <summary>Outputs are reserved; decoder layers are next.</summary>
    Started,
    /// <summary>All layers are rounded.</summary>
    Ended,
    /// <summary>Outputs are visible.</summary>
    Finalized,
    /// <summary>A step failed; no output is left.</summary>
    Failed
  }

  /// <summary>
  /// One run, step by step: Initialize, Start, { NextBlock, SequentialEpochEnd } for each block, End, Finish. After a failed step it is Failed; a
  /// step out of order changes nothing. One that was not finished leaves no output.
  /// </summary>
  public sealed class Session : NativeObject {
    private readonly Handle<Internal.Session> raw;
    private readonly IProgress<Event> progress;
    private readonly Watch watch;
    private readonly Cancellation cancellation;
    private int running;
    private volatile SessionState state = SessionState.Created;

    private sealed class Made {
      internal Handle<Internal.Session> Raw;
      internal Watch Watch;
      internal Cancellation Cancellation;
    }

    /// <summary>
    /// Takes copies of recipe, data and options and shares the model; all may be disposed of or changed afterwards. data and options may be null.
    /// Steps report to progress, which may be null, and stop when the token asks for it.
    /// </summary>
    public Session(Model model, Recipe recipe, Calibration data = null, Options options = null, IProgress<Event> progress = null,
        CancellationToken cancellationToken = default(CancellationToken))
        : this(Make(model, recipe, data, options, progress, cancellationToken), progress) {}

    private Session(Made made, IProgress<Event> progress) : base(made.Raw) {
      raw = made.Raw;
      watch = made.Watch;
      cancellation = made.Cancellation;
      this.progress = progress;
    }

    private static Made Make(Model model, Recipe recipe, Calibration data, Options options, IProgress<Event> progress, CancellationToken token) {
      if (model == null) throw new ArgumentNullException("model");
      if (recipe == null) throw new ArgumentNullException("recipe");
      var cancellation = new Cancellation(token);
      try {
        return Options.With(options, cancellation, (chosen, watch) => model.Raw.Use(m => recipe.Raw.Use(
            r => Handle<Internal.Calibration>.UseOrNull(data == null ? null : data.Raw, d => new Made {
              // Its companion, or a session that is forgotten would stay registered with a token that lives on.
              Raw = Handle<Internal.Session>.Filled(new Internal.Session(),
                  session => session.create(m, r, d, chosen, watch.Mask(progress)), cancellation),
              Watch = watch,
              Cancellation = cancellation
            }))));
      } catch {
        cancellation.Dispose();
        throw;
      }
    }

    /// <summary>After the last step that came back.</summary>
    public SessionState State {
      get { return state; }
    }

    /// <summary>Checks all that can fail before a weight is read.</summary>
    public void Initialize() {
      Step((session, observer) => session.initialize(observer));
    }

    /// <summary>Reserves the outputs and copies the tensors that are not quantized.</summary>
    public void Start() {
      Step((session, observer) => session.start(observer));
    }

    /// <summary>Runs the data to the next decoder layer and gives its index; null after the last.</summary>
    public long? NextBlock() {
      long block = AutoRound.Number(number => Step((session, observer) => session.nextBlock(observer, number)), number => number.integer());
      return block < 0 ? (long?)null : block;
    }

    /// <summary>Tunes that layer and writes its tensors to every output.</summary>
    public void SequentialEpochEnd() {
      Step((session, observer) => session.sequentialEpochEnd(observer));
    }

    /// <summary>
    /// The same for a host that walks the model itself and names the modules of the part that it has just run: without a decoding layer among
    /// them it does nothing, with one it tunes that, with more it fails.
    /// </summary>
    public void SequentialEpochEnd(IEnumerable<string> modules) {
      if (modules == null) throw new ArgumentNullException("modules");
      using (var names = new Internal.Names()) {
        foreach (string module in modules) names.add(module);
        Step((session, observer) => session.sequentialEpochEndModules(observer, names));
      }
    }

    /// <summary>Rounds the layers outside the blocks.</summary>
    public void End() {
      Step((session, observer) => session.end(observer));
    }

    /// <summary>The library's finalize: writes index and config and makes the outputs visible. Calls End when that was not called.</summary>
    public Result Finish() {
      return new Result(result => Step((session, observer) => session.finalize(observer, result)));
    }

    /// <summary>All steps.</summary>
    internal Result Run() {
      return new Result(result => Step((session, observer) => session.run(observer, result)));
    }

    private void Step(Action<Internal.Session, Internal.Observer> call) {
      if (Interlocked.CompareExchange(ref running, 1, 0) != 0) throw AutoRoundException.InvalidState("a step of this session is running");
      try {
        raw.Run(session => {
          try {
            Observation.During(progress, watch, cancellation, observer => call(session, observer));
          } finally {
            int reached = session.state();
            state = reached >= 0 && reached < (int)SessionState.Failed ? (SessionState)reached : SessionState.Failed;
          }
        });
      } finally {
        Volatile.Write(ref running, 0);
      }
    }
  }
}
