using System;
using System.Globalization;
using System.IO;
using System.Threading;
using LibAutoRound;

/// <summary>
/// Quantize MODEL_DIR CALIBRATION_FILE OUTPUT_DIR [ITERATIONS]: quantizes a checkpoint folder. Ctrl-C stops it and leaves nothing behind;
/// on Mono at a terminal only: a SIGINT elsewhere ends a program there without asking it.
/// </summary>
static class Quantize {
  static void Run(string modelDir, string text, string output, long iters, CancellationToken stop) {
    using (Model model = Model.Open(modelDir))
    using (Recipe recipe = new Recipe().Set("scheme", "W4A16").Set("weights.group_size", 64L).Append("ignore", "lm_head").Set("iters", iters))
    using (Calibration data = new Calibration(256).Tokenizer(Path.Combine(modelDir, "tokenizer.json")))
    using (Options options = new Options().Output(output, "compressed-tensors").Events(EventKinds.BlockEnd)) {
      data.AddFile(text, 32);
      using (Result result = AutoRound.Oneshot(model, recipe, data, options, new SynchronousProgress(Show), stop)) {
        Console.WriteLine("{0} blocks tuned, written to {1}", result.Blocks.Count, output);
      }
    }
  }

  static void Show(Event said) {
    string loss = said.Loss.ToString("g3", CultureInfo.InvariantCulture);
    Console.WriteLine(string.Format(CultureInfo.InvariantCulture, "{0,5:F1} %  {1}  loss {2}", 100 * said.Fraction, said.Name, loss));
  }

  static int Main(string[] arguments) {
    long iters = 200;
    if (arguments.Length < 3 || (arguments.Length > 3 && !long.TryParse(arguments[3], out iters))) {
      Console.Error.WriteLine("usage: Quantize MODEL_DIR CALIBRATION_FILE OUTPUT_DIR [ITERATIONS]");
      return 2;
    }
    using (var stop = new CancellationTokenSource()) {
      Console.CancelKeyPress += (sender, key) => {
        key.Cancel = true; // the run cleans up
        stop.Cancel();
      };
      try {
        Run(arguments[0], arguments[1], arguments[2], iters, stop.Token);
        return 0;
      } catch (AutoRoundException failure) {
        Console.Error.WriteLine(failure.Subject + ": " + failure.Sentence); // failure.Code says what kind it is
      } catch (OperationCanceledException) {
        Console.Error.WriteLine("stopped");
      }
      return 1;
    }
  }
}
