package io.github.libautoround;

import io.github.libautoround.internal.Observer;
import java.nio.file.Path;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BiFunction;
import java.util.function.Consumer;
import java.util.function.Function;

/** What the host decides, not the recipe. Without an output the tensors stay in memory, in the {@link Result}. */
public final class Options extends NativeObject<io.github.libautoround.internal.Options> {
  /** All but BLOCK_INPUTS. */
  private static final int USUAL = Event.Kind.PROGRESS.bit | Event.Kind.BLOCK_BEGIN.bit | Event.Kind.ITERATION.bit | Event.Kind.BLOCK_END.bit;

  private final ReentrantLock lock = new ReentrantLock();
  private Consumer<? super Event> listener;
  private int events;
  private System.Logger logger;

  public Options() {
    super(made(new io.github.libautoround.internal.Options(), io.github.libautoround.internal.Options::delete,
        io.github.libautoround.internal.Options::create), io.github.libautoround.internal.Options::delete);
  }

  /** A folder to write and the format to write it in; once for each. The folder appears when all is done. */
  public Options output(Path directory, String format) {
    return change(raw -> raw.setOutput(directory.toString(), format));
  }

  /** "cpu", the default; "cuda", the first CUDA device; "cuda:1", ... */
  public Options device(String device) {
    return change(raw -> raw.setDevice(device));
  }

  /** "bf16" or "fp32"; default: bf16 where the CPU multiplies it in hardware, fp32 for perplexity. */
  public Options computeDtype(String dtype) {
    return change(raw -> raw.setComputeDtype(dtype));
  }

  /** Overrides the recipe's; not negative. */
  public Options seed(long seed) {
    return change(raw -> raw.setSeed(seed));
  }

  /** true, the default on the CPU: same seed and thread count, same bytes. false, the default on CUDA: faster. */
  public Options deterministic(boolean on) {
    return change(raw -> raw.setDeterministic(on));
  }

  /** A run stays below so many bytes of the process's memory, or is refused with the smallest limit that it can keep; 0: no limit. */
  public Options memoryLimit(long bytes) {
    return memoryLimit("cpu", bytes);
  }

  /** The same for a run on `device`. */
  public Options memoryLimit(String device, long bytes) {
    return change(raw -> raw.setMemoryLimit(device, bytes));
  }

  /**
   * true: a run that is killed or stopped leaves its finished blocks beside the outputs, and one with the same inputs goes on after them and
   * writes the bytes of a run without a break.
   */
  public Options resume(boolean on) {
    return change(raw -> raw.setResume(on));
  }

  /** Gets the lines of the library's log on the thread that made the call, during it; null, the default: silence. */
  public Options logger(System.Logger logger) {
    return change(raw -> this.logger = logger);
  }

  /** Shared with the runs, which keep it; null: none. */
  public Options cancel(CancelToken token) {
    return change(raw -> useOrNull(token, cancel -> {
      raw.setCancel(cancel);
      return null;
    }));
  }

  /**
   * Called on the thread that made the call, during it, for these kinds; none: all but BLOCK_INPUTS. What it throws stops the run and is
   * thrown by the call.
   */
  public Options onEvent(Consumer<? super Event> listener, Event.Kind... kinds) {
    return change(raw -> {
      this.listener = listener;
      events = kinds.length == 0 ? USUAL : 0;
      for (Event.Kind kind : kinds) events |= kind.bit;
    });
  }

  private Options change(Consumer<io.github.libautoround.internal.Options> setter) {
    return exclusively(raw -> {
      setter.accept(raw);
      return this;
    });
  }

  /** The library borrows the object for a call; a callback of that call must not touch it. */
  private <R> R exclusively(Function<io.github.libautoround.internal.Options, R> f) {
    if (lock.isHeldByCurrentThread()) throw AutoRoundException.invalidState("these options are in use by the call whose callback this is");
    lock.lock();
    try {
      return use(f);
    } finally {
      lock.unlock();
    }
  }

  /** Calls with the options, or with fresh ones for null, and whom they tell now. */
  static <R> R with(Options options, BiFunction<io.github.libautoround.internal.Options, Watch, R> f) {
    if (options != null) return options.exclusively(raw -> f.apply(raw, new Watch(options.listener, options.events, options.logger)));
    try (Options fresh = new Options()) {
      return fresh.use(raw -> f.apply(raw, new Watch(null, 0, null)));
    }
  }

  /** Who is told of which events, and who gets the log; each may be null. */
  record Watch(Consumer<? super Event> listener, int events, System.Logger logger) {
    /** The usual ones are asked for in any case: there an interrupted thread stops its run, and a run that only rounds has no iterations. */
    int mask() {
      return events | USUAL;
    }

    void during(Consumer<Observer> call) {
      Observation.during(this, call);
    }
  }
}
