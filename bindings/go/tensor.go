package autoround

import (
	"slices"
	"unsafe"

	"github.com/libautoround/libautoround/bindings/go/internal/swig"
)

// Tensor is contiguous, in C order.
type Tensor struct{ h *handle[swig.Tensor] }

func newTensor(fill func(swig.Tensor) error) (*Tensor, error) {
	raw := swig.NewTensor()
	if err := fill(raw); err != nil {
		swig.DeleteTensor(raw)
		return nil, wrap(err)
	}
	t := &Tensor{}
	t.h = own(t, raw, swig.DeleteTensor)
	return t, nil
}

// NewTensor copies elements, in the machine's byte order and C order. dtype is the safetensors spelling.
func NewTensor(dtype string, shape []int64, elements []byte) (*Tensor, error) {
	return newTensor(func(out swig.Tensor) error {
		return out.Create(dtype, shape, elements)
	})
}

// NewTensorF32 copies values, the last dimension fastest.
func NewTensorF32(shape []int64, values []float32) (*Tensor, error) {
	return NewTensor("F32", shape, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 4*len(values)))
}

// DType is the safetensors spelling: "I32", "F16", "BF16".
func (t *Tensor) DType() string { return get(t.h, swig.Tensor.Dtype) }

// Shape is a copy.
func (t *Tensor) Shape() []int64 {
	return get(t.h, func(raw swig.Tensor) []int64 {
		shape := make([]int64, raw.Rank())
		for i := range shape {
			shape[i] = raw.Size(int64(i))
		}
		return shape
	})
}

// View calls f with the tensor's memory, in the machine's byte order, which f must neither change nor keep.
func (t *Tensor) View(f func(bytes []byte)) error {
	return do(t.h, "tensor", func(raw swig.Tensor) error {
		f(raw.Bytes(0, raw.ByteSize()))
		return nil
	})
}

// Bytes is a copy of the memory; nil after Close.
func (t *Tensor) Bytes() []byte {
	return get(t.h, func(raw swig.Tensor) []byte { return slices.Clone(raw.Bytes(0, raw.ByteSize())) })
}

// Close lets go of the memory. It never fails.
func (t *Tensor) Close() error {
	t.h.close()
	return nil
}
