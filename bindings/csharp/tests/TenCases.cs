using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using LibAutoRound;

/// <summary>The cases that every language has under the same names.</summary>
static class TenCases {
  const string Face = "\U0001F600";

  [Test] static void Version() {
    Check.Contains(AutoRound.Version, AutoRound.BuildInfo);
    Check.That(AutoRound.Version.Split('.').Length == 3, AutoRound.Version);
  }

  [Test] static void BadPath() {
    AutoRoundException said = Check.Fails(ErrorCode.NotFound, () => Model.Open("/no/such/model"));
    Check.Contains("/no/such/model", said.Subject);
    Check.Contains("/no/such/model", said.Message);
  }

  [Test] static void RecipeRoundTrip() {
    using (var recipe = Recipe.Load(Toy.Scene("recipe.toml")))
    using (var yaml = Recipe.Parse(recipe.Dump("yaml"), "yaml"))
    using (var toml = Recipe.Parse(yaml.Dump("toml"), "toml")) {
      Check.Equal(recipe.Dump("toml"), toml.Dump("toml"));
      Check.Equal("4", toml.Get("iters"));
    }
  }

  /// <summary>The toy's tokenizer knows bytes: NUL is one, U+1F600 is four.</summary>
  [Test] static void TextUtf8() {
    var tokens = new Dictionary<string, long> { { "x", 1 }, { "x\0x", 3 }, { "x" + Face + "x", 6 }, { "\0" + Face + "\0", 6 } };
    foreach (var text in tokens) {
      using (var data = new Calibration(32).Tokenizer(Path.Combine(Toy.Scene("model"), "tokenizer.json"))) {
        Check.Equal(text.Value, data.AddText(text.Key).TokenCount);
      }
    }
    string name = "re:.*" + Face + "é";
    using (var recipe = new Recipe().Set("scheme", "W4A16").Append("ignore", name, "lm_head")) {
      Check.Contains(name, recipe.Get("ignore"));
      Check.Fails(ErrorCode.InvalidArgument, () => recipe.Set("scheme", "W4A16\0"));
    }
    string copy = Path.Combine(Runner.Folder, "modèle " + Face);
    Directory.CreateDirectory(copy);
    foreach (string file in Directory.GetFiles(Toy.Scene("model"))) File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
    Model.Open(copy).Dispose();
    Check.Contains(Face, Check.Fails(ErrorCode.NotFound, () => Model.Open(Path.Combine(Runner.Folder, Face))).Message);
  }

  [Test] static void TokenArrays() {
    using (var data = new Calibration(8)) {
      Check.Equal(5L, data.AddTokens(1, 2, 3).AddTokens(new long[] { 4, 5 }).TokenCount);
      Check.Equal(2L, data.SampleCount);
      Check.Fails(ErrorCode.InvalidArgument, () => data.AddTokens(new long[0]));
      Check.Fails(ErrorCode.InvalidArgument, () => data.AddTokens(1, -2));
      Check.Throws<ArgumentNullException>(() => data.AddTokens(null));
      Check.Equal(5L, data.TokenCount);
    }
  }

  [Test] static void ProgressCount() {
    var counts = new Dictionary<EventKinds, int>();
    var shapes = new List<string>();
    using (var toy = new Toy(3)) {
      toy.Options.Events(EventKinds.Progress | EventKinds.BlockInputs | EventKinds.Iteration | EventKinds.BlockEnd);
      toy.Oneshot(said => {
        int count;
        counts.TryGetValue(said.Kind, out count);
        counts[said.Kind] = count + 1;
        foreach (Tensor input in said.Inputs) {
          shapes.Add(string.Join("x", input.Shape));
          input.Dispose();
        }
        if (said.Kind == EventKinds.BlockEnd) Check.Contains("model.layers.", said.Name);
      }).Dispose();
    }
    Check.Equal("BlockEnd 2, BlockInputs 2, Iteration 6, Progress 2",
        string.Join(", ", counts.OrderBy(kind => kind.Key.ToString()).Select(kind => kind.Key + " " + kind.Value)));
    Check.Equal("8x16x64 8x16x64 8x16x64 8x16x64", string.Join(" ", shapes));
  }

  [Test] static void CancelFromCallback() {
    using (var toy = new Toy(100000))
    using (var source = new CancellationTokenSource()) {
      toy.ToDisk();
      var cancelled = Check.Throws<OperationCanceledException>(() => toy.Oneshot(said => {
        if (said.Iteration == 2) source.Cancel();
      }, source.Token));
      Check.Equal(source.Token, cancelled.CancellationToken);
      Check.Equal(ErrorCode.Cancelled, ((AutoRoundException)cancelled.InnerException).Code);
      Check.That(!Directory.Exists(toy.Output), "there is output");
    }
  }

  [Test] static void ExceptionInCallback() {
    using (var toy = new Toy(100000)) {
      toy.ToDisk();
      long before = AutoRound.LiveHandles("");
      var thrown = Check.Throws<FormatException>(() => toy.Oneshot(said => {
        throw new FormatException("from the callback");
      }));
      Check.Equal("from the callback", thrown.Message);
      Check.Contains("ExceptionInCallback", thrown.StackTrace); // where it was thrown, and not only where it came out
      Check.Equal(before, AutoRound.LiveHandles(""));
      Check.That(!Directory.Exists(toy.Output), "there is output");
      toy.Recipe.Set("iters", 1L);
      toy.Oneshot().Dispose(); // the process and the objects are intact
    }
  }

  [Test] static void UseAfterClose() {
    using (var toy = new Toy()) {
      toy.Model.Dispose();
      toy.Model.Dispose();
      Check.Equal("Model", Check.Throws<ObjectDisposedException>(() => toy.Model.Architecture.ToString()).ObjectName);
      Check.Throws<ObjectDisposedException>(() => toy.Oneshot());
    }
  }

  [Test] static void RealQuantization() {
    using (var toy = new Toy()) {
      toy.ToDisk();
      using (Result result = toy.Oneshot()) {
        Check.Equal("model.layers.0 model.layers.1", string.Join(" ", result.Blocks.Select(block => block.Name)));
        foreach (Result.Block block in result.Blocks) Check.That(block.LossAfter <= block.LossBefore, block.Name);
        Check.Contains("{", result.Report);
        Check.Contains("<svg", result.ReportHtml);
      }
      Toy.CheckExpected(toy.Output);
    }
  }
}
