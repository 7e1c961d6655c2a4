package io.github.libautoround;

import io.github.libautoround.internal.Names;
import io.github.libautoround.internal.NumberOut;
import io.github.libautoround.internal.Observer;
import java.util.Collection;
import java.util.OptionalLong;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BiConsumer;

/**
 * One run, step by step: initialize, start, { nextBlock, sequentialEpochEnd } for each block, end, finish. After a failed step it is
 * FAILED; a step out of order changes nothing. One that was not finished leaves no output.
 */
public final class Session extends NativeObject<io.github.libautoround.internal.Session> {
  /** Where a session is. */
  public enum State { CREATED, INITIALIZED, STARTED, ENDED, FINALIZED, FAILED }

  private final Options.Watch watch;
  private final AtomicBoolean running = new AtomicBoolean();
  private volatile State state = State.CREATED;

  /** Takes copies of recipe, data and options and shares the model; all may be closed or changed afterwards. data and options may be null. */
  public Session(Model model, Recipe recipe, Calibration data, Options options) {
    this(Options.with(options, (chosen, watch) -> model.use(m -> recipe.use(r -> useOrNull(data, d -> {
      io.github.libautoround.internal.Session raw = made(new io.github.libautoround.internal.Session(),
          io.github.libautoround.internal.Session::delete, session -> session.create(m, r, d, chosen, watch.mask()));
      return new Created(raw, watch);
    })))));
  }

  private record Created(io.github.libautoround.internal.Session raw, Options.Watch watch) {}

  private Session(Created created) {
    super(created.raw(), io.github.libautoround.internal.Session::delete);
    watch = created.watch();
  }

  /** After the last step that came back. */
  public State state() {
    return state;
  }

  /** Checks all that can fail before a weight is read. */
  public void initialize() {
    step(io.github.libautoround.internal.Session::initialize);
  }

  /** Reserves the outputs and copies the tensors that are not quantized. */
  public void start() {
    step(io.github.libautoround.internal.Session::start);
  }

  /** Runs the data to the next decoder layer and gives its index; empty after the last. */
  public OptionalLong nextBlock() {
    long block = AutoRound.number(out -> step((raw, observer) -> raw.nextBlock(observer, out)), NumberOut::integer);
    return block < 0 ? OptionalLong.empty() : OptionalLong.of(block);
  }

  /** Tunes that layer and writes its tensors to every output. */
  public void sequentialEpochEnd() {
    step(io.github.libautoround.internal.Session::sequentialEpochEnd);
  }

  /**
   * The same for a host that walks the model itself and names the modules of the part that it has just run: without a decoding layer among them
   * it does nothing, with one it tunes that, with more it fails.
   */
  public void sequentialEpochEnd(Collection<String> modules) {
    Names names = new Names();
    try {
      modules.forEach(names::add);
      step((raw, observer) -> raw.sequentialEpochEndModules(observer, names));
    } finally {
      names.delete();
    }
  }

  /** Rounds the layers outside the blocks. */
  public void end() {
    step(io.github.libautoround.internal.Session::end);
  }

  /** The library's finalize: writes index and config and makes the outputs visible. Calls end when that was not called. */
  public Result finish() {
    return new Result(out -> step((raw, observer) -> raw.finalize(observer, out)));
  }

  /** All steps. */
  Result run() {
    return new Result(out -> step((raw, observer) -> raw.run(observer, out)));
  }

  private void step(BiConsumer<io.github.libautoround.internal.Session, Observer> call) {
    if (!running.compareAndSet(false, true)) throw AutoRoundException.invalidState("a step of this session is running");
    try {
      run(raw -> {
        try {
          watch.during(observer -> call.accept(raw, observer));
        } finally {
          int reached = raw.state();
          state = reached < State.values().length ? State.values()[reached] : State.FAILED;
        }
      });
    } finally {
      running.set(false);
    }
  }
}
