using System;
using System.Collections.Generic;
using System.Runtime.ExceptionServices;

namespace LibAutoRound {
  /// <summary>
  /// The observer of one call. Nothing that the host throws reaches native frames: it stops the run and is thrown when the call is back.
  /// </summary>
  internal sealed class Observation : Internal.Observer {
    private readonly IProgress<Event> progress;
    private readonly Watch watch;
    private ExceptionDispatchInfo thrown;

    private Observation(IProgress<Event> progress, Watch watch) {
      this.progress = progress;
      this.watch = watch;
    }

    /// <summary>Makes a call whose events go to progress, which may be null, as far as they are watched, and whose log to the watch.</summary>
    internal static void During(IProgress<Event> progress, Watch watch, Cancellation cancellation, Action<Internal.Observer> call) {
      using (var observation = progress == null && watch.Log == null ? null : new Observation(progress, watch)) {
        try {
          if (watch.Log != null) observation.setLeastLogLevel((int)watch.LeastLevel);
          call(observation);
        } catch (AutoRoundException failure) {
          if (observation != null && observation.thrown != null) observation.thrown.Throw();
          OperationCanceledException cancelled = cancellation.Translated(failure);
          if (cancelled != null) throw cancelled;
          throw;
        }
        // What was thrown at the very last event could no longer stop the run.
        if (observation != null && observation.thrown != null) observation.thrown.Throw();
      }
    }

    public override bool onEvent(int kind, double fraction, long block, string name, long iteration, double loss) {
      if (thrown != null) return false;
      try {
        var what = (EventKinds)kind;
        if (progress != null && (watch.Events & what) != 0) progress.Report(new Event(what, fraction, block, name, iteration, loss, Inputs()));
        return true;
      } catch (Exception failure) {
        thrown = ExceptionDispatchInfo.Capture(failure);
        return false;
      }
    }

    public override void onLog(int level, string line) {
      try {
        watch.Log((LogLevel)level, line);
      } catch (Exception failure) {
        if (thrown == null) thrown = ExceptionDispatchInfo.Capture(failure);
      }
    }

    private IReadOnlyList<Tensor> Inputs() {
      return AutoRound.List(inputCount(), i => new Tensor(tensor => input(i, tensor)));
    }
  }
}
