using System;
using System.Collections.Generic;
using System.Threading;

namespace LibAutoRound {
  /// <summary>
  /// Quantizes LLM checkpoints inside this process: a Hugging Face folder and a recipe in, a smaller folder out that vLLM and transformers load
  /// unmodified. An object is used by one thread at a time, a Model by any number; members that only read may run concurrently, and so may
  /// several runs.
  /// </summary>
  public static class AutoRound {
    /// <summary>Version of the loaded library: "0.1.0".</summary>
    public static string Version {
      get { return Internal.Library.version(); }
    }

    /// <summary>JSON object: version, libtorch, compiler, instruction set in use.</summary>
    public static string BuildInfo {
      get { return Internal.Library.buildInfo(); }
    }

    /// <summary>Whether this build on this machine has "bf16", "avx512", "format.NAME", "scheme.NAME" and so on.</summary>
    public static bool HasFeature(string name) {
      return Internal.Library.hasFeature(name);
    }

    /// <summary>Presets for the recipe key "scheme".</summary>
    public static IReadOnlyList<string> Schemes {
      get { return List(Internal.Library.schemeCount(), Internal.Library.schemeName); }
    }

    /// <summary>Output formats.</summary>
    public static IReadOnlyList<string> Formats {
      get { return List(Internal.Library.formatCount(), Internal.Library.formatName); }
    }

    /// <summary>Threads inside one operation on models and layers that are opened from now on; 0: LibTorch's default.</summary>
    public static void SetThreads(int count) {
      Internal.Library.setThreads(count);
    }

    /// <summary>Objects of one kind ("model", "session", ...) that are alive in this process, of all kinds for "".</summary>
    public static long LiveHandles(string kind) {
      return Internal.Library.liveHandles(kind);
    }

    /// <summary>
    /// Quantizes model by recipe: every step of a <see cref="Session"/> in one call. data may be null when the recipe only rounds.
    /// </summary>
    /// <param name="model">Read while the run goes on.</param>
    /// <param name="recipe">What is computed.</param>
    /// <param name="data">Token windows to tune on.</param>
    /// <param name="options">Where to, on which device; null: defaults, and the tensors stay in the result.</param>
    /// <param name="progress">Told of the events that options name, on this thread when it is a <see cref="SynchronousProgress"/>.</param>
    /// <param name="cancellationToken">Stops the run within one iteration; no output is left.</param>
    /// <exception cref="AutoRoundException">What the library refuses or cannot do.</exception>
    /// <exception cref="OperationCanceledException">The token asked for it; the inner exception has the library's words.</exception>
    public static Result Oneshot(Model model, Recipe recipe, Calibration data = null, Options options = null, IProgress<Event> progress = null,
        CancellationToken cancellationToken = default(CancellationToken)) {
      using (var session = new Session(model, recipe, data, options, progress, cancellationToken)) {
        return session.Run();
      }
    }

    internal static IReadOnlyList<R> List<R>(long count, Func<long, R> at) {
      var list = new List<R>();
      for (long i = 0; i < count; i++) list.Add(at(i));
      return list;
    }

    /// <summary>The text that a call gives.</summary>
    internal static string Text(Action<Internal.TextOut> call) {
      using (var holder = new Internal.TextOut()) {
        call(holder);
        return holder.text();
      }
    }

    /// <summary>The number that a call gives; read takes it from the holder.</summary>
    internal static R Number<R>(Action<Internal.NumberOut> call, Func<Internal.NumberOut, R> read) {
      using (var holder = new Internal.NumberOut()) {
        call(holder);
        return read(holder);
      }
    }
  }
}
