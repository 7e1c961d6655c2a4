package io.github.libautoround;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Objects;
import java.util.function.Consumer;

/** Contiguous, in C order. */
public final class Tensor extends NativeObject<io.github.libautoround.internal.Tensor> {
  Tensor(Consumer<io.github.libautoround.internal.Tensor> fill) {
    super(made(new io.github.libautoround.internal.Tensor(), io.github.libautoround.internal.Tensor::delete, fill),
        io.github.libautoround.internal.Tensor::delete);
  }

  /** A copy of elements in native byte order and C order; dtype as {@link #dtype}. */
  public static Tensor of(String dtype, long[] shape, byte[] elements) {
    Objects.requireNonNull(shape, "shape");
    Objects.requireNonNull(elements, "elements");
    return new Tensor(out -> out.create(dtype, shape, elements));
  }

  /** A copy of values, the last dimension fastest. */
  public static Tensor of(long[] shape, float[] values) {
    ByteBuffer bytes = ByteBuffer.allocate(Math.multiplyExact(values.length, Float.BYTES)).order(ByteOrder.nativeOrder());
    bytes.asFloatBuffer().put(values);
    return of("F32", shape, bytes.array());
  }

  /** In safetensors spelling: "I32", "F16", "BF16". */
  public String dtype() {
    return use(io.github.libautoround.internal.Tensor::dtype);
  }

  public long[] shape() {
    return use(raw -> {
      long[] shape = new long[Math.toIntExact(raw.rank())];
      for (int i = 0; i < shape.length; i++) shape[i] = raw.size(i);
      return shape;
    });
  }

  public long byteSize() {
    return use(io.github.libautoround.internal.Tensor::byteSize);
  }

  /** The memory, read-only and in native byte order. It lives as long as a buffer over it does, whatever is closed. */
  public ByteBuffer buffer() {
    long size = byteSize();
    if (size > Integer.MAX_VALUE) throw new IllegalStateException("a buffer holds no " + size + " bytes: take parts");
    return buffer(0, (int) size);
  }

  /** A part of the memory, for tensors that no one buffer can hold. */
  public ByteBuffer buffer(long offset, int length) {
    if (offset < 0 || length < 0 || offset > byteSize() - length) {
      throw new IndexOutOfBoundsException(length + " bytes at " + offset + " of " + byteSize());
    }
    if (length == 0) return ByteBuffer.allocateDirect(0).asReadOnlyBuffer();
    io.github.libautoround.internal.Tensor raw = acquire();
    ByteBuffer root = raw.bytes(offset, length);
    // Every view holds the buffer it was made from, in the end this one; with it goes the claim on the tensor.
    CLEANER.register(root, releaser());
    return root.asReadOnlyBuffer().order(ByteOrder.nativeOrder());
  }
}
