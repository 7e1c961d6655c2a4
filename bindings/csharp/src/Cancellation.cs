using System;
using System.Threading;

namespace LibAutoRound {
  /// <summary>The library's cancel object, requested when a token is.</summary>
  internal sealed class Cancellation : IDisposable {
    private readonly CancellationToken token;
    private readonly CancellationTokenRegistration registration;
    internal readonly Handle<Internal.Cancel> Raw; // null: the token is one that nobody can request

    internal Cancellation(CancellationToken token) {
      this.token = token;
      if (!token.CanBeCanceled) return;
      var cancel = Handle<Internal.Cancel>.Filled(new Internal.Cancel(), raw => {});
      Raw = cancel;
      registration = token.Register(() => cancel.Run(raw => raw.request()));
    }

    /// <summary>What a caller of .NET is thrown in place of failure.</summary>
    internal OperationCanceledException Translated(AutoRoundException failure) {
      bool asked = failure.Code == ErrorCode.Cancelled && token.IsCancellationRequested;
      return asked ? new OperationCanceledException(failure.Message, failure, token) : null;
    }

    public void Dispose() {
      registration.Dispose(); // waits for a request that is on its way, so that none comes to a closed object
      if (Raw != null) Raw.Dispose();
    }
  }
}
