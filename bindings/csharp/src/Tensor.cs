using System;
using System.Runtime.InteropServices;

namespace LibAutoRound {
  /// <summary>Contiguous, in C order. Its bytes are in the machine's order.</summary>
  public sealed class Tensor : NativeObject {
    internal Handle<Internal.Tensor> Raw {
      get { return raw; }
    }

    private readonly Handle<Internal.Tensor> raw;

    private Tensor(Handle<Internal.Tensor> raw) : base(raw) {
      this.raw = raw;
    }

    internal Tensor(Action<Internal.Tensor> fill) : this(Handle<Internal.Tensor>.Filled(new Internal.Tensor(), fill)) {}

    /// <summary>A copy of elements in the machine's byte order and C order; dtype as Dtype spells it.</summary>
    public Tensor(string dtype, long[] shape, byte[] elements) : this(tensor => tensor.create(dtype, shape, elements)) {}

    /// <summary>A copy of values, the last dimension fastest.</summary>
    public Tensor(long[] shape, float[] values) : this("F32", shape, BytesOf(values)) {}

    private static byte[] BytesOf(float[] values) {
      var bytes = new byte[checked(values.Length * sizeof(float))];
      Buffer.BlockCopy(values, 0, bytes, 0, bytes.Length);
      return bytes;
    }

    /// <summary>In safetensors spelling: "I32", "F16", "BF16".</summary>
    public string Dtype {
      get { return raw.Use(tensor => tensor.dtype()); }
    }

    /// <summary>Sizes, outermost first.</summary>
    public long[] Shape {
      get {
        return raw.Use(tensor => {
          var shape = new long[tensor.rank()];
          for (int i = 0; i < shape.Length; i++) shape[i] = tensor.size(i);
          return shape;
        });
      }
    }

    /// <summary>Of all elements.</summary>
    public long ByteSize {
      get { return raw.Use(tensor => tensor.byteSize()); }
    }

    /// <summary>A copy of all bytes, of which an array holds 2 GiB at most: larger tensors are copied in parts.</summary>
    public byte[] ToArray() {
      var copy = new byte[ByteSize];
      CopyTo(0, copy, 0, copy.Length);
      return copy;
    }

    /// <summary>Copies length bytes of the tensor from offset on into destination from index on.</summary>
    /// <exception cref="ArgumentOutOfRangeException">They are not all in the tensor or in the array.</exception>
    public void CopyTo(long offset, byte[] destination, int index, int length) {
      if (destination == null) throw new ArgumentNullException("destination");
      if (index < 0 || length < 0 || length > destination.Length - index) throw new ArgumentOutOfRangeException("length");
      Read(offset, length, from => Marshal.Copy(from, destination, index, length));
    }

#if NET8_0_OR_GREATER
    /// <summary>Fills destination with the bytes of the tensor from offset on.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The tensor does not have as many.</exception>
    public void CopyTo(long offset, Span<byte> destination) {
      int length = destination.Length;
      unsafe {
        fixed (byte* pinned = destination) {
          byte* to = pinned; // a lambda captures no fixed variable
          Read(offset, length, from => Buffer.MemoryCopy((void*)from, to, length, length));
        }
      }
    }
#endif

    private void Read(long offset, int length, Action<IntPtr> copy) {
      raw.Run(tensor => {
        if (offset < 0 || offset > tensor.byteSize() - length) throw new ArgumentOutOfRangeException("offset");
        if (length > 0) copy(tensor.bytes(offset, length));
      });
    }
  }
}
