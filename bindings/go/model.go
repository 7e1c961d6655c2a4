package autoround

import (
	"context"
	"iter"

	"github.com/libautoround/libautoround/bindings/go/internal/swig"
)

// Model is an opened checkpoint folder; its weights are read when a run needs them. Several goroutines may use one.
type Model struct{ h *handle[swig.Model] }

// Module is one of the model's modules, in named_modules order: what targets and ignores of a recipe match.
type Module struct {
	Name  string
	Class string   // "Linear"
	Block int      // -1 outside the blocks
	Size  [2]int64 // of the weight; Linear: out and in features
}

// Open opens a Hugging Face folder.
func Open(directory string) (*Model, error) {
	raw := swig.NewModel()
	if err := raw.Open(directory); err != nil {
		swig.DeleteModel(raw)
		return nil, wrap(err)
	}
	m := &Model{}
	m.h = own(m, raw, swig.DeleteModel)
	return m, nil
}

// Architecture is that of config.json: "LlamaForCausalLM".
func (m *Model) Architecture() string { return get(m.h, swig.Model.Architecture) }

// Parameters counts stored elements.
func (m *Model) Parameters() int64 { return get(m.h, swig.Model.ParameterCount) }

// ByteSize is that of all tensors.
func (m *Model) ByteSize() int64 { return get(m.h, swig.Model.ByteSize) }

// Blocks are the names of the decoder layers, which are tuned one at a time.
func (m *Model) Blocks() []string {
	return get(m.h, func(raw swig.Model) []string { return list(raw.BlockCount(), raw.BlockName) })
}

// Modules lists the modules.
func (m *Model) Modules() iter.Seq[Module] {
	return func(yield func(Module) bool) {
		for i := range get(m.h, swig.Model.ModuleCount) {
			module := get(m.h, func(raw swig.Model) Module {
				return Module{raw.ModuleName(i), raw.ModuleClass(i), int(raw.ModuleBlock(i)), [2]int64{raw.ModuleSize(i, 0), raw.ModuleSize(i, 1)}}
			})
			if !yield(module) {
				return
			}
		}
	}
}

// Tensor is a tensor of the checkpoint as stored, by its name.
func (m *Model) Tensor(name string) (tensor *Tensor, err error) {
	err = do(m.h, "model", func(raw swig.Model) error {
		tensor, err = newTensor(func(out swig.Tensor) error { return raw.Tensor(name, out) })
		return err
	})
	return tensor, err
}

// Plan is a JSON text: what the recipe would do to each linear layer, and the memory, disk and time the run is predicted to need.
// data and options may be nil.
func (m *Model) Plan(recipe *Recipe, data *Calibration, options *Options) (plan string, err error) {
	err = with(m, recipe, data, options, nil, func(a arguments) error {
		plan, err = text(func(out swig.TextOut) error { return a.model.Plan(a.recipe, a.data, a.options, out) })
		return err
	})
	return plan, err
}

// Perplexity is exp of the mean negative log-likelihood of every token of a window but its first. options may be nil: device,
// number type and OnEvent are used.
func (m *Model) Perplexity(ctx context.Context, data *Calibration, options *Options) (float64, error) {
	value := swig.NewNumberOut()
	defer swig.DeleteNumberOut(value)
	stop := newStopper()
	defer stop.close()
	err := with(m, nil, data, options, stop, func(a arguments) error {
		return observe(ctx, stop, options, func(observer swig.Observer) error {
			return a.model.Perplexity(a.data, a.options, observer, value)
		})
	})
	return value.Real(), err
}

// Close frees the model; sessions and results that it gave live on. It never fails.
func (m *Model) Close() error {
	m.h.close()
	return nil
}
