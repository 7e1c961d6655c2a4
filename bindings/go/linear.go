package autoround

import (
	"context"

	"github.com/libautoround/libautoround/bindings/go/internal/swig"
)

// Linear is one linear layer of a program that runs its model itself: its weight and what came into it. No checkpoint, no tokenizer.
type Linear struct{ h *handle[swig.Layer] }

// NewLinear makes a layer of a weight [out, in] and a bias [out], which may be nil: finite F32, F16 or BF16, whose memory it shares; the
// tensors may be closed. name is what the targets and ignores of a [Recipe] match.
func NewLinear(name string, weight, bias *Tensor) (*Linear, error) {
	raw := swig.NewLayer()
	err := withTensors(weight, bias, func(weight, bias swig.Tensor) error { return raw.Create(name, weight, bias) })
	if err != nil {
		swig.DeleteLayer(raw)
		return nil, err
	}
	l := &Linear{}
	l.h = own(l, raw, swig.DeleteLayer)
	return l, nil
}

// AddInputs adds [tokens, in], one sample, or [samples, tokens, in]. A minibatch is the recipe's batch_size samples; shorter ones are
// padded and masked. targets are the outputs wanted for them, of the same shape with out; nil: what the full-precision layer makes of
// the inputs. For all samples or for none. It may be called several times; a call that fails adds nothing.
func (l *Linear) AddInputs(inputs, targets *Tensor) error {
	return do(l.h, "layer", func(raw swig.Layer) error {
		return withTensors(inputs, targets, raw.AddInputs)
	})
}

// Samples counts what was added.
func (l *Linear) Samples() int { return int(get(l.h, swig.Layer.SampleCount)) }

// Tokens counts those of all samples, without padding.
func (l *Linear) Tokens() int64 { return get(l.h, swig.Layer.TokenCount) }

// Tune tunes the layer with the scheme that the recipe gives a Linear of its name. The layer stays as it is and may be tuned again; the
// result has one block and one layer. Iters 0 needs no inputs; with some it searches scales before it rounds.
// options may be nil; Outputs are refused.
func (l *Linear) Tune(ctx context.Context, recipe *Recipe, options *Options) (*Result, error) {
	stop := newStopper()
	defer stop.close()
	return newResult(func(out swig.Result) error {
		return do(l.h, "layer", func(raw swig.Layer) error {
			return do(recipe.h, "recipe", func(recipe swig.Recipe) error {
				built, err := options.build(stop)
				if err != nil {
					return err
				}
				defer swig.DeleteOptions(built)
				return observe(ctx, stop, options, func(observer swig.Observer) error {
					return raw.Tune(recipe, built, int(options.events()), observer, out)
				})
			})
		})
	})
}

// Close frees the layer; results that it gave live on. It never fails.
func (l *Linear) Close() error {
	l.h.close()
	return nil
}

// withTensors calls f with what is behind both; second may be nil.
func withTensors(first, second *Tensor, f func(first, second swig.Tensor) error) error {
	return do(first.h, "tensor", func(first swig.Tensor) error {
		if second == nil {
			return f(first, swig.SwigcptrTensor(0))
		}
		return do(second.h, "tensor", func(second swig.Tensor) error { return f(first, second) })
	})
}
