using System;
using System.IO;
using System.Linq;
using LibAutoRound;

/// <summary>What a run needs: a toy checkpoint, samples, a recipe.</summary>
sealed class Toy : IDisposable {
  internal readonly Model Model;
  internal readonly Recipe Recipe;
  internal readonly Calibration Data = new Calibration(16);
  internal readonly Options Options = new Options();
  internal readonly string Output = Path.Combine(Runner.Folder, "out");

  /// <summary>iters 0: the recipe's.</summary>
  internal Toy(long iters = 0) {
    Model = Model.Open(Scene("model"));
    Recipe = Recipe.Load(Scene("recipe.toml"));
    if (iters > 0) Recipe.Set("iters", iters);
    Check.Equal(8L, Data.AddFile(Scene("ids.jsonl")));
  }

  internal static string Scene(string name) {
    return Path.Combine(Runner.Scene, name);
  }

  internal Options ToDisk() {
    return Options.Output(Output);
  }

  internal Result Oneshot(Action<Event> action = null, System.Threading.CancellationToken token = default(System.Threading.CancellationToken)) {
    return AutoRound.Oneshot(Model, Recipe, Data, Options, action == null ? null : new SynchronousProgress(action), token);
  }

  /// <summary>The output is file by file what the command line wrote, which is a C program.</summary>
  internal static void CheckExpected(string output) {
    string expected = Scene("expected");
    Check.Equal(Names(expected), Names(output));
    foreach (string file in Directory.GetFiles(expected)) {
      byte[] want = File.ReadAllBytes(file), got = File.ReadAllBytes(Path.Combine(output, Path.GetFileName(file)));
      Check.That(want.SequenceEqual(got), Path.GetFileName(file) + " differs");
    }
  }

  private static string Names(string folder) {
    return string.Join(" ", Directory.GetFiles(folder).Select(Path.GetFileName).OrderBy(name => name, StringComparer.Ordinal));
  }

  public void Dispose() {
    Model.Dispose();
    Recipe.Dispose();
    Data.Dispose();
    Options.Dispose();
  }
}
