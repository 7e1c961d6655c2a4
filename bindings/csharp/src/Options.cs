using System;
using System.Threading;

namespace LibAutoRound {
  /// <summary>How much a line of the log matters.</summary>
  public enum LogLevel {
    /// <summary>Every step.</summary>
    Trace,
    /// <summary>For finding faults.</summary>
    Debug,
    /// <summary>What a run does.</summary>
    Info,
    /// <summary>What a host should know of.</summary>
    Warn,
    /// <summary>What failed.</summary>
    Error
  }

  /// <summary>What a run tells whom.</summary>
  internal struct Watch {
    internal EventKinds Events;
    internal Action<LogLevel, string> Log; // null: nobody
    internal LogLevel LeastLevel;

    /// <summary>
    /// The events to ask for. Where the log is watched the usual ones are, whatever progress is told of: there an exception of the log stops
    /// the run, and a run that only rounds has no iterations.
    /// </summary>
    internal int Mask(IProgress<Event> progress) {
      return (int)((progress != null ? Events : 0) | (Log != null ? EventKinds.Usual : 0));
    }
  }

  /// <summary>What the host decides, not the recipe. Without an output the tensors stay in memory, in the <see cref="Result"/>.</summary>
  public sealed class Options : NativeObject {
    private readonly Handle<Internal.Options> raw;
    private readonly object use = new object();
    private Watch watch = new Watch { Events = EventKinds.Usual };

    private Options(Handle<Internal.Options> raw) : base(raw) {
      this.raw = raw;
    }

    /// <summary>Everything at its default.</summary>
    public Options() : this(Handle<Internal.Options>.Filled(new Internal.Options(), raw => raw.create())) {}

    /// <summary>A folder to write and the format to write it in; once for each. The folder appears when all is done.</summary>
    public Options Output(string directory, string format = "compressed-tensors") {
      return Change(options => options.setOutput(directory, format));
    }

    /// <summary>"cpu", the default; "cuda", the first CUDA device; "cuda:1", ...</summary>
    public Options Device(string device) {
      return Change(options => options.setDevice(device));
    }

    /// <summary>"bf16" or "fp32"; default: bf16 where the CPU multiplies it in hardware, fp32 for perplexity.</summary>
    public Options ComputeDtype(string dtype) {
      return Change(options => options.setComputeDtype(dtype));
    }

    /// <summary>Overrides the recipe's; at most long.MaxValue.</summary>
    public Options Seed(ulong seed) {
      return Change(options => options.setSeed(unchecked((long)seed)));
    }

    /// <summary>true, the default on the CPU: same seed and thread count, same bytes. false, the default on CUDA: faster.</summary>
    public Options Deterministic(bool on) {
      return Change(options => options.setDeterministic(on));
    }

    /// <summary>A run stays below so many bytes, or is refused with the smallest limit that it can keep; 0: no limit.</summary>
    public Options MemoryLimit(long bytes) {
      return MemoryLimit("cpu", bytes);
    }

    /// <summary>The same for a run on `device`.</summary>
    public Options MemoryLimit(string device, long bytes) {
      return Change(options => options.setMemoryLimit(device, bytes));
    }

    /// <summary>
    /// true: a run that is killed or stopped leaves its finished blocks beside the outputs, and one with the same inputs goes on after them and
    /// writes the bytes of a run without a break.
    /// </summary>
    public Options Resume(bool on) {
      return Change(options => options.setResume(on));
    }

    /// <summary>
    /// Gets the lines of the library's log, of this level and above, on the thread that makes the call, during it; null, the default: nobody.
    /// What it throws stops the run and is thrown by the call.
    /// </summary>
    public Options Log(Action<LogLevel, string> log, LogLevel least = LogLevel.Info) {
      return Change(options => {
        watch.Log = log;
        watch.LeastLevel = least;
      });
    }

    /// <summary>What the receiver of progress is told of; EventKinds.Usual unless set.</summary>
    public Options Events(EventKinds kinds) {
      return Change(options => watch.Events = kinds);
    }

    private Options Change(Action<Internal.Options> setter) {
      return Exclusively(options => {
        setter(options);
        return this;
      });
    }

    /// <summary>The library borrows the object for a call; a callback of that call must not touch it.</summary>
    private R Exclusively<R>(Func<Internal.Options, R> f) {
      if (Monitor.IsEntered(use)) throw AutoRoundException.InvalidState("these options are in use by the call whose callback this is");
      lock (use) {
        return raw.Use(f);
      }
    }

    /// <summary>Calls with the options, or with fresh ones for null, and what they watch; cancellation may be null.</summary>
    internal static R With<R>(Options options, Cancellation cancellation, Func<Internal.Options, Watch, R> f) {
      if (options == null) {
        using (var fresh = new Options()) return With(fresh, cancellation, f);
      }
      return options.Exclusively(raw => {
        if (cancellation == null || cancellation.Raw == null) return f(raw, options.watch);
        return cancellation.Raw.Use(cancel => {
          raw.setCancel(cancel);
          try {
            return f(raw, options.watch);
          } finally {
            raw.setCancel(null);
          }
        });
      });
    }
  }
}
