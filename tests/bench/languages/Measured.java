import io.github.libautoround.AutoRound;
import io.github.libautoround.Calibration;
import io.github.libautoround.Event;
import io.github.libautoround.Model;
import io.github.libautoround.Options;
import io.github.libautoround.Recipe;
import java.nio.file.Path;
import java.util.Scanner;

/** The twin of measured.c. */
public class Measured {
  static long events;
  static double fractions;
  static double losses;

  static void hear(Event event) {
    if (!event.name().isEmpty()) events++;
    fractions += event.fraction();
    losses += event.loss();
  }

  static void quantize(Path modelDir, Path ids, Path output, long iters) {
    try (Model model = Model.open(modelDir);
        Recipe recipe = new Recipe().set("scheme", "W4A16").set("weights.group_size", 64).append("ignore", "lm_head").set("iters", iters);
        Calibration data = new Calibration(256);
        Options options = new Options().output(output, "compressed-tensors").onEvent(Measured::hear)) {
      data.addJsonl(ids, "input_ids", 0);
      AutoRound.oneshot(model, recipe, data, options).close();
    }
  }

  public static void main(String[] arguments) {
    Scanner lines = new Scanner(System.in);
    while (lines.hasNext()) {
      Path output = Path.of(lines.next());
      long iters = lines.nextLong();
      events = 0;
      long start = System.nanoTime();
      quantize(Path.of(arguments[0]), Path.of(arguments[1]), output, iters);
      System.out.println((System.nanoTime() - start) / 1e9 + " " + events);
    }
  }
}
