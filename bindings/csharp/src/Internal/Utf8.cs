using System;
using System.Runtime.InteropServices;
using System.Text;

namespace LibAutoRound.Internal {
  /// <summary>
  /// A string as the facade's Text: { address, size } and behind it the bytes. The marshaller's strings end at NUL and are ANSI on some systems.
  /// </summary>
  internal sealed class Utf8 : IDisposable {
    private static readonly int HeaderSize = 2 * IntPtr.Size;

    internal IntPtr Pointer { get; private set; }

    /// <summary>null is kept: an address of zero.</summary>
    internal Utf8(string text) {
      byte[] bytes = text == null ? new byte[0] : Encoding.UTF8.GetBytes(text);
      Pointer = Marshal.AllocHGlobal(HeaderSize + bytes.Length);
      IntPtr data = IntPtr.Add(Pointer, HeaderSize);
      Marshal.Copy(bytes, 0, data, bytes.Length);
      Marshal.WriteIntPtr(Pointer, text == null ? IntPtr.Zero : data);
      Marshal.WriteIntPtr(Pointer, IntPtr.Size, new IntPtr(bytes.Length));
    }

    public void Dispose() {
      Marshal.FreeHGlobal(Pointer);
      Pointer = IntPtr.Zero;
    }

    /// <summary>The string of a Text.</summary>
    internal static string Read(IntPtr text) {
      return Decode(Marshal.ReadIntPtr(text), Marshal.ReadIntPtr(text, IntPtr.Size).ToInt32());
    }

    /// <summary>The string that ends at NUL; null for none.</summary>
    internal static string ReadToNul(IntPtr data) {
      if (data == IntPtr.Zero) return null;
      int size = 0;
      while (Marshal.ReadByte(data, size) != 0) size++;
      return Decode(data, size);
    }

    private static string Decode(IntPtr data, int size) {
      byte[] bytes = new byte[size];
      if (size > 0) Marshal.Copy(data, bytes, 0, size);
      return Encoding.UTF8.GetString(bytes);
    }
  }
}
