using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using LibAutoRound;

static class RunTests {
  [Test] static void StepByStepWritesTheSameBytes() {
    using (var toy = new Toy())
    using (var session = new Session(toy.Model, toy.Recipe, toy.Data, toy.ToDisk())) {
      Check.Fails(ErrorCode.InvalidState, session.Start);
      session.Initialize();
      session.Start();
      long blocks = 0;
      for (long? block = session.NextBlock(); block != null; block = session.NextBlock(), blocks++) {
        Check.Equal(blocks, block.Value);
        session.SequentialEpochEnd();
      }
      Check.Equal(2L, blocks);
      session.End();
      session.Finish().Dispose();
      Check.Equal(SessionState.Finalized, session.State);
      Toy.CheckExpected(toy.Output);
    }
  }

  [Test] static void ATokenCancelsFromAnotherThread() {
    using (var toy = new Toy(100000))
    using (var source = new CancellationTokenSource())
    using (var began = new ManualResetEventSlim()) {
      toy.ToDisk();
      Task stopper = Task.Run(() => {
        began.Wait();
        source.Cancel();
      });
      Check.Throws<OperationCanceledException>(() => toy.Oneshot(said => began.Set(), source.Token));
      stopper.Wait();
      Check.That(!Directory.Exists(toy.Output), "there is output");
      Check.Throws<OperationCanceledException>(() => toy.Oneshot(null, source.Token)); // requested before it began
    }
  }

  [Test] static void PerplexityTellsProgressAndIsCancelled() {
    using (var toy = new Toy())
    using (var source = new CancellationTokenSource()) {
      var fractions = new List<double>();
      Check.That(toy.Model.Perplexity(toy.Data, toy.Options, new SynchronousProgress(said => fractions.Add(said.Fraction))) > 1, "perplexity");
      Check.Equal(1.0, fractions.Last());
      Check.That(toy.Model.Perplexity(toy.Data) > 1, "perplexity");
      var stop = new SynchronousProgress(said => source.Cancel());
      Check.Throws<OperationCanceledException>(() => toy.Model.Perplexity(toy.Data, toy.Options, stop, source.Token));
      Check.That(toy.Model.Perplexity(toy.Data, toy.Options) > 1, "the options are free of the token again");
    }
  }

  [Test] static void RunsInParallelShareAModel() {
    using (var toy = new Toy()) {
      string[] outputs = Enumerable.Range(0, 4).Select(i => Path.Combine(Runner.Folder, "out" + i)).ToArray();
      Task.WaitAll(outputs.Select(output => Task.Run(() => {
        using (var options = new Options().Output(output)) {
          AutoRound.Oneshot(toy.Model, toy.Recipe, toy.Data, options, new SynchronousProgress(said => {})).Dispose();
        }
      })).ToArray());
      foreach (string output in outputs) Toy.CheckExpected(output);
    }
  }

  [Test] static void AModelTellsWhatItIs() {
    using (var toy = new Toy()) {
      Check.Equal("LlamaForCausalLM", toy.Model.Architecture);
      Check.Equal("model.layers.0 model.layers.1", string.Join(" ", toy.Model.Blocks));
      Check.Equal(toy.Model.ByteSize, 2 * toy.Model.ParameterCount);
      Check.Equal(7, toy.Model.Modules.Count(module => module.Type == "Linear" && module.Block == 1 && module.Rows > 0 && module.Columns > 0));
      Check.Contains("memory_bytes", toy.Model.Plan(toy.Recipe, toy.Data, toy.Options));
      Check.Contains("memory_bytes", toy.Model.Plan(toy.Recipe));
      toy.Recipe.Validate(toy.Model);
      toy.Recipe.Validate();
      Check.Equal("8 128 16", toy.Data.SampleCount + " " + toy.Data.TokenCount + " " + toy.Data.SequenceLength);
    }
  }

  [Test] static void TheLibraryTellsWhatItCan() {
    Check.That(AutoRound.Schemes.Contains("W4A16") && AutoRound.HasFeature("scheme.W4A16") && !AutoRound.HasFeature("nothing"), "schemes");
    Check.That(AutoRound.Formats.Contains("compressed-tensors"), "formats");
    Check.That(Recipe.Keys.Single(key => key.Key == "weights.group_size").Value.Length > 0, "help");
    Check.Fails(ErrorCode.InvalidArgument, () => AutoRound.SetThreads(-1));
  }
}
