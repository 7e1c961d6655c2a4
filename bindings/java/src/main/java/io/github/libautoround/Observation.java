package io.github.libautoround;

import io.github.libautoround.internal.Observer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/** The observer of one call. Nothing that the host throws reaches native frames: it stops the run and is thrown when the call is back. */
final class Observation extends Observer {
  /** Those of autoround.h, in order. */
  private static final List<System.Logger.Level> LEVELS = List.of(System.Logger.Level.TRACE, System.Logger.Level.DEBUG, System.Logger.Level.INFO,
      System.Logger.Level.WARNING, System.Logger.Level.ERROR);

  private final Options.Watch watch;
  private Throwable thrown;

  private Observation(Options.Watch watch) {
    this.watch = watch;
  }

  /** Makes a call that tells what is watched. */
  static void during(Options.Watch watch, Consumer<Observer> call) {
    Observation observation = new Observation(watch);
    try {
      if (watch.logger() != null) observation.setLeastLogLevel((int) LEVELS.stream().takeWhile(level -> !watch.logger().isLoggable(level)).count());
      call.accept(observation);
    } catch (AutoRoundException failure) {
      if (observation.thrown == null) throw failure;
    } finally {
      observation.delete();
    }
    if (observation.thrown != null) Observation.<RuntimeException>rethrow(observation.thrown);
  }

  /** A listener declares no exception, but a language above Java may throw any: it goes on as it is. */
  @SuppressWarnings("unchecked")
  private static <T extends Throwable> void rethrow(Throwable thrown) throws T {
    throw (T) thrown;
  }

  @Override public boolean onEvent(int kind, double fraction, long block, String name, long iteration, double loss) {
    if (thrown != null) return false;
    try {
      if (watch.listener() != null && (watch.events() & kind) != 0) {
        watch.listener().accept(new Event(Event.Kind.of(kind), fraction, block, name, iteration, loss, inputs()));
      }
      return !Thread.currentThread().isInterrupted();
    } catch (Throwable failure) {
      thrown = failure;
      return false;
    }
  }

  @Override public void onLog(int level, String line) {
    try {
      watch.logger().log(LEVELS.get(level), line);
    } catch (Throwable failure) {
      if (thrown == null) thrown = failure;
    }
  }

  private List<Tensor> inputs() {
    List<Tensor> inputs = new ArrayList<>();
    for (long i = 0; i < inputCount(); i++) {
      long index = i;
      inputs.add(new Tensor(out -> input(index, out)));
    }
    return inputs;
  }
}
