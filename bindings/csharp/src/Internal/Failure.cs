using System;

namespace LibAutoRound.Internal {
  /// <summary>What typemaps call.</summary>
  internal static class Failure {
    /// <summary>Throws what an owned Status says; zero is none.</summary>
    internal static void Check(IntPtr status) {
      if (status == IntPtr.Zero) return;
      using (var said = new Status(status, true)) {
        throw new AutoRoundException((ErrorCode)said.code(), said.message(), said.subject(), said.line(), said.column());
      }
    }
  }
}
