using System;
using System.Collections.Generic;
using LibAutoRound;

static class ErrorTests {
  [Test] static void ARecipeErrorHasLineAndColumn() {
    AutoRoundException said = Check.Fails(ErrorCode.Parse,
        () => Recipe.Parse("[default_stage.modifiers.AutoRoundModifier]\nscheme = \"W4A16\"\n  itres = 3\n", "toml"));
    Check.Equal("3:3", said.Line + ":" + said.Column);
    Check.Contains("iters", said.Message);
  }

  [Test] static void ARecipeKeyIsTheSubject() {
    using (var recipe = new Recipe()) {
      Check.Equal("weights.group_siez", Check.Fails(ErrorCode.InvalidArgument, () => recipe.Set("weights.group_siez", 64L)).Subject);
      Check.Fails(ErrorCode.InvalidArgument, () => recipe.Set(null, 64L));
    }
    using (var recipe = new Recipe().Set("iters", 7L).Set("lr", 0.5).Set("enable_minmax_tuning", false))
    using (var copy = recipe.Copy()) {
      copy.Set("iters", 8L);
      Check.Equal("7 8", recipe.Get("iters") + " " + copy.Get("iters"));
    }
  }

  [Test] static void ABadGroupSizeIsSaidBeforeAWeightIsRead() {
    using (var toy = new Toy())
    using (var recipe = new Recipe().Set("scheme", "W4A16").Set("weights.group_size", 128L).Append("ignore", "lm_head")) {
      AutoRoundException said = Check.Fails(ErrorCode.InvalidArgument, () => AutoRound.Oneshot(toy.Model, recipe, toy.Data));
      Check.Contains("group_size", said.Subject + said.Message);
    }
  }

  [Test] static void OptionsAreChecked() {
    using (var toy = new Toy()) {
      Check.Fails(ErrorCode.Unsupported, () => toy.Options.Output(toy.Output, "compresed-tensors"));
      Check.Fails(ErrorCode.Unsupported, () => toy.Options.Device("cuda:99"));
      Check.Fails(ErrorCode.InvalidArgument, () => toy.Options.Device("tpu"));
      Check.Fails(ErrorCode.InvalidArgument, () => toy.Options.ComputeDtype("fp3"));
      Check.Fails(ErrorCode.InvalidArgument, () => toy.Options.Seed(ulong.MaxValue));
      toy.Options.MemoryLimit(1000).Seed(long.MaxValue).Deterministic(true).Device("cpu");
      Check.Fails(ErrorCode.InvalidArgument, () => toy.Oneshot());
      Check.Throws<ArgumentNullException>(() => AutoRound.Oneshot(null, toy.Recipe));
    }
  }

  [Test] static void DisposedOfInsideTheCallbackWaits() {
    using (var toy = new Toy(2)) {
      Session session = null;
      var said = new List<Exception>();
      session = new Session(toy.Model, toy.Recipe, toy.Data, toy.ToDisk(), new SynchronousProgress(now => {
        if (said.Count == 0) said.Add(Check.Fails(ErrorCode.InvalidState, session.Start));
        session.Dispose();
        toy.Dispose();
      }));
      session.Initialize();
      Check.Throws<ObjectDisposedException>(() => {
        session.Start();
        while (session.NextBlock() != null) session.SequentialEpochEnd();
      });
      Check.Equal(1, said.Count);
    }
  }

  [Test] static void OptionsInUseAreLeftAlone() {
    using (var toy = new Toy()) {
      int said = 0;
      toy.Model.Perplexity(toy.Data, toy.Options, new SynchronousProgress(now => {
        Check.Fails(ErrorCode.InvalidState, () => toy.Options.Seed(1));
        said++;
      }));
      Check.That(said > 0, "the callback ran");
    }
  }
}
