using System;
using System.Diagnostics;
using System.Globalization;
using LibAutoRound;

/// <summary>The twin of measured.c.</summary>
static class Measured {
  private static long events;
  private static double fractions, losses;

  private static void Hear(Event said) {
    if (said.Name != "") events++;
    fractions += said.Fraction;
    losses += said.Loss;
  }

  private static void Quantize(string modelDir, string ids, string output, long iters) {
    using (Model model = Model.Open(modelDir))
    using (Recipe recipe = new Recipe().Set("scheme", "W4A16").Set("weights.group_size", 64L).Append("ignore", "lm_head").Set("iters", iters))
    using (Calibration data = new Calibration(256))
    using (Options options = new Options().Output(output)) {
      data.AddJsonl(ids, "input_ids");
      AutoRound.Oneshot(model, recipe, data, options, new SynchronousProgress(Hear)).Dispose();
    }
  }

  private static void Main(string[] arguments) {
    for (string line = Console.ReadLine(); line != null; line = Console.ReadLine()) {
      string[] words = line.Split(' ');
      events = 0;
      Stopwatch watch = Stopwatch.StartNew();
      Quantize(arguments[0], arguments[1], words[0], long.Parse(words[1]));
      Console.WriteLine("{0} {1}", watch.Elapsed.TotalSeconds.ToString("F6", CultureInfo.InvariantCulture), events);
    }
  }
}
