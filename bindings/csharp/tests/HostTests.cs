using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using LibAutoRound;

static class HostTests {
  private static List<string> LinesOf(LogLevel least) {
    var lines = new List<string>();
    using (var toy = new Toy()) {
      toy.Options.Log((level, line) => lines.Add(level + " " + line), least);
      toy.Oneshot().Dispose();
    }
    return lines;
  }

  [Test] static void LogLinesGoToTheHost() {
    Check.That(LinesOf(LogLevel.Info).Any(line => line.StartsWith("Info ") && line.Contains("8 samples")), "no line about the samples");
    Check.Equal(0, LinesOf(LogLevel.Error).Count);
  }

  [Test] static void WhatTheLogThrowsComesBack() {
    using (var toy = new Toy()) {
      toy.Options.Log((level, line) => { throw new IOException("no room for a line"); });
      Check.Throws<IOException>(() => toy.Oneshot());
      toy.Options.Log(null);
      toy.Oneshot().Dispose();
    }
  }

  /// <summary>Also where nothing is tuned, and where progress is told of less than stops the run.</summary>
  [Test] static void WhatTheLogThrowsStopsRounding() {
    foreach (Action<Event> told in new Action<Event>[] { null, said => {} }) {
      using (var toy = new Toy()) {
        toy.Recipe.Set("iters", 0L);
        toy.ToDisk().Events(EventKinds.Iteration).Log((level, line) => { throw new IOException("no room for a line"); });
        Check.Throws<IOException>(() => toy.Oneshot(told));
        Check.That(!Directory.Exists(toy.Output), "the run went on to its end");
      }
    }
  }

  [Test] static void ModulesNamedByTheHost() {
    using (var toy = new Toy())
    using (var session = new Session(toy.Model, toy.Recipe, toy.Data, toy.ToDisk())) {
      session.Initialize();
      session.Start();
      session.SequentialEpochEnd(new[] { "model.embed_tokens" });
      var both = new[] { "model.layers.0", "model.layers.1" };
      Check.Fails(ErrorCode.InvalidArgument, () => session.SequentialEpochEnd(both));
      Check.Fails(ErrorCode.InvalidArgument, () => session.SequentialEpochEnd(new[] { both[0], null }));
      foreach (string layer in both) {
        session.NextBlock();
        session.SequentialEpochEnd(new[] { layer + ".input_layernorm", layer });
      }
      session.Finish().Dispose();
      Toy.CheckExpected(toy.Output);
    }
  }

  [Test] static void ResumeGoesOnAfterTheFinishedBlocks() {
    using (var toy = new Toy()) {
      toy.ToDisk().Resume(true).Events(EventKinds.BlockBegin | EventKinds.Iteration);
      Check.Throws<InvalidOperationException>(() => toy.Oneshot(said => {
        if (said.Kind == EventKinds.BlockBegin && said.Block == 1) throw new InvalidOperationException("enough");
      }));
      Check.Equal(1, Directory.GetDirectories(Path.GetDirectoryName(toy.Output), ".*.incomplete-*").Length);
      var tuned = new HashSet<long>();
      toy.Oneshot(said => {
        if (said.Kind == EventKinds.Iteration) tuned.Add(said.Block);
      }).Dispose();
      Check.Equal("1", string.Join(" ", tuned));
      Toy.CheckExpected(toy.Output);
    }
  }
}
