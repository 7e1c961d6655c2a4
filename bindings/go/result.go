package autoround

import (
	"iter"

	"github.com/libautoround/libautoround/bindings/go/internal/swig"
)

// Result holds the account of a run, and its tensors when the run had no output folder.
type Result struct{ h *handle[swig.Result] }

// Block is the account of a decoder layer, of several that were tuned together, or of a [Linear]. Losses are mean squared errors over all samples, NaN without data.
type Block struct {
	Name          string
	LossBefore    float64 // rounded to nearest
	LossAfter     float64 // tuned
	BestIteration int     // -1: rounding to nearest was kept
	Seconds       float64
}

// Layer is a linear layer of the model.
type Layer struct {
	Index  int // for [Result.Tensor]
	Name   string
	Scheme string // "" when not quantized
	Reason string // why not; "" when it was
}

func newResult(fill func(swig.Result) error) (*Result, error) {
	raw := swig.NewResult()
	filled := false
	defer func() {
		if !filled { // an error, or a panic of the host's code
			swig.DeleteResult(raw)
		}
	}()
	if err := fill(raw); err != nil {
		return nil, wrap(err)
	}
	filled = true
	r := &Result{}
	r.h = own(r, raw, swig.DeleteResult)
	return r, nil
}

// Blocks lists what was tuned: the decoder layers, or as many of them together as the recipe's nblocks says.
func (r *Result) Blocks() iter.Seq[Block] {
	return each(r, swig.Result.BlockCount, func(raw swig.Result, i int64) Block {
		return Block{raw.BlockName(i), raw.BlockLossBefore(i), raw.BlockLossAfter(i), int(raw.BlockBestIteration(i)), raw.BlockSeconds(i)}
	})
}

// Layers lists every linear layer of the model, quantized or not.
func (r *Result) Layers() iter.Seq[Layer] {
	return each(r, swig.Result.LayerCount, func(raw swig.Result, i int64) Layer {
		return Layer{int(i), raw.LayerName(i), raw.LayerScheme(i), raw.LayerReason(i)}
	})
}

func each[V any](r *Result, count func(swig.Result) int64, at func(swig.Result, int64) V) iter.Seq[V] {
	return func(yield func(V) bool) {
		for i := range get(r.h, count) {
			if !yield(get(r.h, func(raw swig.Result) V { return at(raw, i) })) {
				return
			}
		}
	}
}

// BlockCount is the number of blocks that were tuned.
func (r *Result) BlockCount() int { return int(get(r.h, swig.Result.BlockCount)) }

// Tensor is a part of a layer: "qweight", "scales", "weight", and where there are such "zero_points", "global_scale",
// "input_scale", "input_global_scale"; of the K types of GGUF "scale_factors", "minima", "minimum_factors".
func (r *Result) Tensor(layer int, part string) (tensor *Tensor, err error) {
	err = do(r.h, "result", func(raw swig.Result) error {
		tensor, err = newTensor(func(out swig.Tensor) error { return raw.LayerTensor(int64(layer), part, out) })
		return err
	})
	return tensor, err
}

// Warnings are sentences for people.
func (r *Result) Warnings() []string {
	return get(r.h, func(raw swig.Result) []string { return list(raw.WarningCount(), raw.Warning) })
}

// Report is the account of the run as JSON.
func (r *Result) Report() (string, error) { return r.text(swig.Result.Report) }

// ReportHTML is the account as one self-contained page.
func (r *Result) ReportHTML() (string, error) { return r.text(swig.Result.ReportHtml) }

func (r *Result) text(call func(swig.Result, swig.TextOut) error) (value string, err error) {
	err = do(r.h, "result", func(raw swig.Result) error {
		value, err = text(func(out swig.TextOut) error { return call(raw, out) })
		return err
	})
	return value, err
}

// Close frees the result; tensors that it gave live on. It never fails.
func (r *Result) Close() error {
	r.h.close()
	return nil
}
