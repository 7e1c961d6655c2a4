package io.github.libautoround;

import io.github.libautoround.internal.Library;
import io.github.libautoround.internal.NumberOut;
import io.github.libautoround.internal.TextOut;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongFunction;
import java.util.stream.LongStream;

/**
 * Quantizes LLM checkpoints inside this process: a Hugging Face folder and a recipe in, a smaller folder out that vLLM and
 * transformers load unmodified.
 *
 * <p>An object is used by one thread at a time, a {@link Model} by any number; methods that only read may run concurrently, and so may
 * several runs.
 */
public final class AutoRound {
  private AutoRound() {}

  /** Version of the loaded library: "0.1.0". */
  public static String version() {
    return Library.version();
  }

  /** JSON object: version, libtorch, compiler, instruction set in use. */
  public static String buildInfo() {
    return Library.buildInfo();
  }

  /** Whether this build on this machine has "bf16", "avx512", "format.NAME", "scheme.NAME" and so on. */
  public static boolean hasFeature(String name) {
    return Library.hasFeature(name);
  }

  /** Presets for the recipe key "scheme". */
  public static List<String> schemes() {
    return list(Library.schemeCount(), Library::schemeName);
  }

  /** Output formats. */
  public static List<String> formats() {
    return list(Library.formatCount(), Library::formatName);
  }

  /** Threads inside one operation on models and layers that are opened from now on; 0: LibTorch's default. */
  public static void setThreads(int count) {
    Library.setThreads(count);
  }

  /** Objects of one kind ("model", "session", ...) that are alive in this process, of all kinds for "". */
  public static long liveHandles(String kind) {
    return Library.liveHandles(kind);
  }

  /**
   * Quantizes model by recipe: every step of a {@link Session} in one call. data may be null when the recipe only rounds. The run stops within
   * one iteration when the options' token asks for it or this thread is interrupted.
   */
  public static Result oneshot(Model model, Recipe recipe, Calibration data, Options options) {
    try (Session session = new Session(model, recipe, data, options)) {
      return session.run();
    }
  }

  static <T> List<T> list(long count, LongFunction<T> at) {
    return LongStream.range(0, count).mapToObj(at).toList();
  }

  /** The text that a call gives. */
  static String text(Consumer<TextOut> call) {
    TextOut out = new TextOut();
    try {
      call.accept(out);
      return out.text();
    } finally {
      out.delete();
    }
  }

  /** The number that a call gives; read takes it from the holder. */
  static <N> N number(Consumer<NumberOut> call, Function<NumberOut, N> read) {
    NumberOut out = new NumberOut();
    try {
      call.accept(out);
      return read.apply(out);
    } finally {
      out.delete();
    }
  }
}
