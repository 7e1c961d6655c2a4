package io.github.libautoround;

import io.github.libautoround.internal.Observer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/** The observer of one call. Nothing that the host throws reaches native frames: it stops the run and is thrown when the call is back. */
final class Observation extends Observer {
  private final Consumer<? super Event> listener;
  private final int wanted;
  private Throwable thrown;

  private Observation(Consumer<? super Event> listener, int wanted) {
    this.listener = listener;
    this.wanted = wanted;
  }

  /** Makes a call whose events go to listener, which may be null, as far as they are wanted. */
  static void during(Consumer<? super Event> listener, int wanted, Consumer<Observer> call) {
    Observation observation = new Observation(listener, wanted);
    try {
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
    try {
      if (listener != null && (wanted & kind) != 0) {
        listener.accept(new Event(Event.Kind.of(kind), fraction, block, name, iteration, loss, inputs()));
      }
      return !Thread.currentThread().isInterrupted();
    } catch (Throwable failure) {
      thrown = failure;
      return false;
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
