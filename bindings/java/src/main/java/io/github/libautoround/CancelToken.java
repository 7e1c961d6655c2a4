package io.github.libautoround;

import io.github.libautoround.internal.Cancel;

/** A request to stop that any thread can make, before or during a run. It stays, and may be shared by several runs. */
public final class CancelToken extends NativeObject<Cancel> {
  public CancelToken() {
    super(new Cancel(), Cancel::delete);
  }

  public void request() {
    run(Cancel::request);
  }

  public boolean isRequested() {
    return use(Cancel::isRequested);
  }
}
