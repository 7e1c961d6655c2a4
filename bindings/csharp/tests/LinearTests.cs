using System;
using System.Linq;
using System.Threading;
using LibAutoRound;

static class LinearTests {
  private const int Out = 24, In = 64;

  /// Inputs whose columns depend on one another, so that there is something to gain.
  private static float[] Wavy(int rows, uint state) {
    Func<float> next = () => {
      state = unchecked(state * 1664525 + 1013904223);
      return (state >> 8) / 8388608f - 1f;
    };
    return Enumerable.Range(0, rows).SelectMany(row => {
      float slow = next(), fast = next();
      return Enumerable.Range(0, In).Select(i => slow * (float)Math.Sin(i / 9.0) + fast * (float)Math.Cos(i / 2.0) + 0.1f * next()).ToArray();
    }).ToArray();
  }

  private static Linear Layer() {
    using (var weight = new Tensor(new long[] { Out, In }, Wavy(Out, 1)))
    using (var inputs = new Tensor(new long[] { 16, 4, In }, Wavy(64, 2))) {
      var layer = new Linear("proj", weight);
      layer.AddInputs(inputs);
      return layer;
    }
  }

  private static Recipe Tuning(int iters) {
    return new Recipe().Set("scheme", "W4A16").Set("weights.group_size", 32).Set("iters", iters);
  }

  private static byte[] Codes(Result result) {
    using (Tensor tensor = result.Tensor(result.Layers[0], "qweight")) return tensor.ToArray();
  }

  [Test] static void TuningALinearBeatsRoundingAndRepeatsItself() {
    using (Linear layer = Layer())
    using (Recipe recipe = Tuning(40)) {
      Check.Equal(16L, layer.SampleCount);
      Check.Equal(64L, layer.TokenCount);
      int iterations = 0;
      using (var options = new Options().Events(EventKinds.Iteration))
      using (Result first = layer.Tune(recipe, options, new SynchronousProgress(said => iterations++)))
      using (Result second = layer.Tune(recipe)) {
        Check.Equal(40, iterations);
        Check.Equal("proj", first.Blocks[0].Name);
        Check.That(first.Blocks[0].LossAfter < 0.8 * first.Blocks[0].LossBefore, "loss " + first.Blocks[0].LossAfter);
        Check.Equal(Out * In, Codes(first).Length);
        Check.That(Codes(first).SequenceEqual(Codes(second)), "other codes the second time");
      }
      using (var source = new CancellationTokenSource()) {
        var stop = new SynchronousProgress(said => source.Cancel());
        Check.Throws<OperationCanceledException>(() => layer.Tune(recipe, null, stop, source.Token));
      }
    }
  }

  [Test] static void WhatIsWrongWithALinearIsSaidWithItsPlace() {
    float[] broken = Wavy(Out, 1);
    broken[2 * In + 5] = float.NaN;
    using (var weight = new Tensor(new long[] { Out, In }, broken))
    using (var inputs = new Tensor(new long[] { 4, In }, Wavy(4, 3)))
    using (var targets = new Tensor(new long[] { 4, Out }, new float[4 * Out]))
    using (Recipe recipe = Tuning(4))
    using (Linear layer = Layer()) {
      Check.Contains("[2, 5]", Check.Fails(ErrorCode.Numeric, () => new Linear("proj", weight)).Message);
      Check.Fails(ErrorCode.InvalidArgument, () => layer.AddInputs(inputs, targets));
      Check.Fails(ErrorCode.InvalidArgument, () => layer.AddInputs(targets));
      Check.Fails(ErrorCode.InvalidArgument, () => new Tensor(new long[] { 2, 2 }, new float[1]));
      Check.Fails(ErrorCode.InvalidArgument, () => new Tensor("float", new long[] { 1 }, new byte[4]));
      recipe.Append("ignore", "proj");
      Check.Fails(ErrorCode.InvalidArgument, () => layer.Tune(recipe));
      layer.Dispose();
      Check.Throws<ObjectDisposedException>(() => layer.Tune(recipe));
    }
  }
}
