using System;
using System.Runtime.InteropServices;

namespace LibAutoRound {
  /// <summary>
  /// Owner of one object of the library. Dispose frees it; what is forgotten is freed by the finalizer of its SafeHandle. Disposed of during a
  /// call, by its callback or by another thread, the object is freed when the call is back. After Dispose every other member throws
  /// ObjectDisposedException.
  /// </summary>
  public abstract class NativeObject : IDisposable {
    private readonly SafeHandle handle;

    internal NativeObject(SafeHandle handle) {
      this.handle = handle;
    }

    /// <summary>Frees the object, at the end of the calls that still use it.</summary>
    public void Dispose() {
      handle.Dispose();
    }
  }

  /// <summary>Keeps an object of the generated layer until it is closed and no call uses it.</summary>
  internal sealed class Handle<T> : SafeHandle where T : class, IDisposable {
    private readonly T raw;
    private readonly IDisposable companion; // goes when the object does; null: none
    private volatile bool closed;

    private Handle(T raw, IDisposable companion) : base(IntPtr.Zero, true) {
      this.raw = raw;
      this.companion = companion;
      GC.SuppressFinalize(raw); // one of the two has to free it, and only this one counts calls
      SetHandle(new IntPtr(1));
    }

    /// <summary>Takes an object and fills it; one that cannot be filled is freed, and its companion, which may be null, stays the caller's.</summary>
    internal static Handle<T> Filled(T raw, Action<T> fill, IDisposable companion = null) {
      try {
        fill(raw);
        return new Handle<T>(raw, companion);
      } catch {
        raw.Dispose();
        throw;
      }
    }

    public override bool IsInvalid {
      get { return handle == IntPtr.Zero; }
    }

    protected override bool ReleaseHandle() {
      raw.Dispose();
      if (companion != null) companion.Dispose();
      return true;
    }

    protected override void Dispose(bool disposing) {
      closed = true;
      base.Dispose(disposing);
    }

    /// <summary>Calls f with the object alive.</summary>
    internal R Use<R>(Func<T, R> f) {
      if (closed) throw new ObjectDisposedException(typeof(T).Name);
      bool acquired = false;
      try {
        DangerousAddRef(ref acquired);
        return f(raw);
      } finally {
        if (acquired) DangerousRelease();
      }
    }

    internal void Run(Action<T> f) {
      Use(held => {
        f(held);
        return true;
      });
    }

    /// <summary>Use for an object that may be left out: f gets null then.</summary>
    internal static R UseOrNull<R>(Handle<T> handle, Func<T, R> f) {
      return handle == null ? f(null) : handle.Use(f);
    }
  }
}
