using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading;
using LibAutoRound;

static class MemoryTests {
  static void Collect() {
    GC.Collect();
    GC.WaitForPendingFinalizers();
    GC.Collect();
  }

  static long ResidentKiB() {
    Collect();
    return long.Parse(File.ReadAllText("/proc/self/statm").Split(' ')[1], CultureInfo.InvariantCulture) * 4;
  }

  static void Fail(Recipe recipe, string path, int times) {
    for (int i = 0; i < times; i++) {
      Check.Throws<AutoRoundException>(() => Model.Open(path));
      Check.Throws<AutoRoundException>(() => recipe.Set("no_such_key", path));
    }
  }

  [Test] static void FailingCallsLeakNothing() {
    string path = "/no/such/" + new string('x', 200);
    using (var recipe = new Recipe()) {
      Fail(recipe, path, 25000); // the compiler and the heap settle
      long before = ResidentKiB(), handles = AutoRound.LiveHandles("");
      Fail(recipe, path, 50000);
      long after = ResidentKiB();
      Console.WriteLine("resident KiB before 100,000 failing calls: " + before + ", after: " + after);
      Check.That(after - before < 16 * 1024, before + " KiB, then " + after);
      Check.Equal(handles, AutoRound.LiveHandles(""));
      Check.Equal(0L, AutoRound.LiveHandles("error"));
    }
  }

  static void Round() {
    using (var toy = new Toy(1)) {
      toy.Oneshot(said => {}).Dispose();
    }
    new Recipe(); // forgotten: the finalizer's
  }

  /// <summary>Open, quantize, close, collect.</summary>
  [Test] static void RoundsAreSteady() {
    for (int i = 0; i < 50; i++) Round();
    long before = ResidentKiB();
    int threads = Count("task"), descriptors = Count("fd");
    long most = 0;
    for (int i = 50; i < 1000; i++) {
      Round();
      if (i % 50 == 0) most = Math.Max(most, ResidentKiB());
    }
    long after = ResidentKiB();
    Console.WriteLine("resident KiB after 50 rounds: " + before + ", after 1,000: " + after + ", most between: " + most);
    Check.That(after < before * 1.01, before + " KiB, then " + after);
    Check.That(Count("task") <= threads, threads + " threads, then " + Count("task"));
    Check.Equal(descriptors, Count("fd"));
    AwaitHandles("", 1);
  }

  static int Count(string what) {
    return Directory.GetFileSystemEntries("/proc/self/" + what).Length;
  }

  /// <summary>
  /// Collects until no more than so many handles of a kind are alive: tests ask for 1 where 0 would do, as Mono's collector takes what an old
  /// stack slot holds for alive.
  /// </summary>
  static void AwaitHandles(string kind, long count) {
    for (int i = 0; AutoRound.LiveHandles(kind) > count; i++) {
      Check.That(i < 500, AutoRound.LiveHandles(kind) + " of kind " + kind);
      Collect();
      Thread.Sleep(10);
    }
  }

  static void Forget() {
    for (int i = 0; i < 100; i++) {
      new Recipe();
      new Options();
      new Calibration(4);
    }
  }

  [Test] static void WhatIsForgottenIsFreed() {
    Forget();
    AwaitHandles("recipe", 1);
    AwaitHandles("options", 1);
    AwaitHandles("calibration", 1);
  }

  static void ForgetSessions(Toy toy, CancellationToken token) {
    for (int i = 0; i < 100; i++) new Session(toy.Model, toy.Recipe, toy.Data, toy.Options, null, token);
  }

  [Test] static void ForgottenSessionsLeaveATokenThatLivesOn() {
    using (var source = new CancellationTokenSource())
    using (var toy = new Toy()) {
      ForgetSessions(toy, source.Token);
      AwaitHandles("session", 1);
      AwaitHandles("cancel", 1);
      source.Cancel();
    }
  }

  [Test] static void TensorsAreCopiedOut() {
    using (var toy = new Toy())
    using (Result result = toy.Oneshot()) {
      Result.Layer layer = result.Layers.First(each => each.Scheme.Length > 0);
      Check.Equal(14, result.Layers.Count(each => each.Scheme.Length > 0));
      Check.That(result.Layers.Any(each => each.Reason.Length > 0), "lm_head has a reason");
      using (Tensor codes = result.Tensor(layer, "qweight")) {
        Check.Equal("U8", codes.Dtype);
        Check.Equal(codes.Shape[0] * codes.Shape[1], codes.ByteSize);
        byte[] all = codes.ToArray();
        Check.That(all.All(code => code < 16) && all.Distinct().Count() > 8, "codes of 4 bits");
        var part = new byte[6];
        codes.CopyTo(5, part, 2, 3);
        Check.That(part.SequenceEqual(new byte[] { 0, 0, all[5], all[6], all[7], 0 }), "a part");
        codes.CopyTo(codes.ByteSize, part, 6, 0);
        Check.Throws<ArgumentOutOfRangeException>(() => codes.CopyTo(codes.ByteSize - 2, part, 0, 3));
        Check.Throws<ArgumentOutOfRangeException>(() => codes.CopyTo(-1, part, 0, 1));
        Check.Throws<ArgumentOutOfRangeException>(() => codes.CopyTo(0, part, 4, 3));
        result.Dispose();
        Check.Equal(all[5], codes.ToArray()[5]); // a tensor outlives its result
      }
    }
    using (var toy = new Toy())
    using (Result result = toy.Oneshot()) {
      Check.Fails(ErrorCode.NotFound, () => result.Tensor(result.Layers.First(each => each.Scheme.Length > 0), "zero_points"));
      using (Tensor norm = toy.Model.Tensor("model.norm.weight")) Check.Equal(128L, norm.ByteSize);
    }
  }
}
