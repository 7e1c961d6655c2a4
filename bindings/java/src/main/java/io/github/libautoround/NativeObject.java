package io.github.libautoround;

import java.lang.ref.Cleaner;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * Owner of one object of the library. close frees it; what is forgotten is freed after the garbage collector found it. Closed during
 * a call, by its callback or by another thread, the object is freed when the call is back. After close every method but close throws
 * {@link AutoRoundException} with INVALID_STATE.
 */
public abstract class NativeObject<T> implements AutoCloseable {
  static final Cleaner CLEANER = Cleaner.create();

  /** Apart from its owner, which the cleaner must not hold. */
  static final class Handle<T> implements Runnable {
    private final T object;
    private final Consumer<T> free;
    private int users;
    private boolean closed;

    Handle(T object, Consumer<T> free) {
      this.object = object;
      this.free = free;
    }

    /** The object until release; null after close. */
    synchronized T acquire() {
      if (closed) return null;
      users++;
      return object;
    }

    synchronized void release() {
      if (--users == 0 && closed) free.accept(object);
    }

    /** Closes. */
    @Override public synchronized void run() {
      closed = true;
      if (users == 0) free.accept(object);
    }
  }

  private final Handle<T> handle;
  private final Cleaner.Cleanable cleanable;

  NativeObject(T object, Consumer<T> free) {
    handle = new Handle<>(object, free);
    cleanable = CLEANER.register(this, handle);
  }

  /** Makes an object and fills it; one that cannot be filled is freed. */
  static <T> T made(T object, Consumer<T> free, Consumer<T> fill) {
    try {
      fill.accept(object);
      return object;
    } catch (Throwable failure) {
      free.accept(object);
      throw failure;
    }
  }

  /** The object, alive until {@link #release}. */
  final T acquire() {
    T object = handle.acquire();
    if (object == null) throw AutoRoundException.invalidState("the " + getClass().getSimpleName() + " is closed");
    return object;
  }

  final void release() {
    handle.release();
  }

  /** {@link #release} for somebody who must not hold this owner. */
  final Runnable releaser() {
    return handle::release;
  }

  /** Calls f with the object alive. */
  final <R> R use(Function<T, R> f) {
    T object = acquire();
    try {
      return f.apply(object);
    } finally {
      release();
    }
  }

  final void run(Consumer<T> f) {
    use(object -> {
      f.accept(object);
      return null;
    });
  }

  /** use for an object that may be left out: f gets null then. */
  static <T, R> R useOrNull(NativeObject<T> owner, Function<T, R> f) {
    return owner == null ? f.apply(null) : owner.use(f);
  }

  @Override public void close() {
    cleanable.clean();
  }
}
