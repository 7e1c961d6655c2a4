import io.github.libautoround.AutoRound;
import io.github.libautoround.AutoRoundException;
import io.github.libautoround.Calibration;
import io.github.libautoround.CancelToken;
import io.github.libautoround.Event;
import io.github.libautoround.Model;
import io.github.libautoround.Options;
import io.github.libautoround.Recipe;
import io.github.libautoround.Result;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;

/**
 * Quantizes a checkpoint folder: Quantize MODEL_DIR CALIBRATION_FILE OUTPUT_DIR [ITERATIONS]. Ctrl-C stops it and leaves nothing behind.
 *
 * <pre>java -cp autoround-0.1.0.jar:autoround-0.1.0-linux-x86_64.jar Quantize.java ...</pre>
 */
public class Quantize {
  static void run(Path modelDir, Path text, Path output, long iters, CancelToken stop) {
    try (Model model = Model.open(modelDir);
        Recipe recipe = new Recipe().set("scheme", "W4A16").set("weights.group_size", 64).append("ignore", "lm_head").set("iters", iters);
        Calibration data = new Calibration(256).tokenizer(modelDir.resolve("tokenizer.json"));
        Options options = new Options().output(output, "compressed-tensors").cancel(stop).onEvent(Quantize::show, Event.Kind.BLOCK_END)) {
      data.addFile(text, 32, false);
      try (Result result = AutoRound.oneshot(model, recipe, data, options)) {
        System.out.printf("%d blocks tuned, written to %s%n", result.blocks().size(), output);
      }
    }
  }

  static void show(Event event) {
    System.out.printf("%5.1f %%  %s  loss %s%n", 100 * event.fraction(), event.name(), threeDigits(event.loss()));
  }

  /** As C's %.3g: Java's keeps trailing zeros and never turns to an exponent where C does. */
  static String threeDigits(double value) {
    String exact = String.format("%.2e", value);
    int exponent = Double.isNaN(value) ? 0 : Integer.parseInt(exact.substring(exact.indexOf('e') + 1));
    if (exponent < -4 || exponent > 2) return exact.replaceFirst("\\.?0*e", "e");
    String plain = String.format("%." + (2 - exponent) + "f", value);
    return plain.contains(".") ? plain.replaceFirst("\\.?0*$", "") : plain.toLowerCase();
  }

  public static void main(String[] arguments) {
    if (arguments.length < 3 || (arguments.length > 3 && !arguments[3].matches("[+-]?\\d{1,18}"))) {
      System.err.println("usage: Quantize MODEL_DIR CALIBRATION_FILE OUTPUT_DIR [ITERATIONS]");
      System.exit(2);
    }
    long iters = arguments.length > 3 ? Long.parseLong(arguments[3]) : 200;
    CountDownLatch done = new CountDownLatch(1);
    int exit = 0;
    try (CancelToken stop = new CancelToken()) {
      Runtime.getRuntime().addShutdownHook(new Thread(() -> {
        if (done.getCount() == 0) return;
        stop.request();
        try {
          done.await(); // the run cleans up
        } catch (InterruptedException giveUp) {
          Thread.currentThread().interrupt();
        }
      }));
      run(Path.of(arguments[0]), Path.of(arguments[1]), Path.of(arguments[2]), iters, stop);
    } catch (AutoRoundException failure) {
      System.err.println(failure.subject() + ": " + failure.sentence()); // failure.code() says what kind it is
      exit = 1;
    } finally {
      done.countDown();
    }
    System.exit(exit);
  }
}
