package autoround

import (
	"log/slog"

	"github.com/libautoround/libautoround/bindings/go/internal/swig"
)

// Output is a folder to write and the format to write it in. The folder appears when all is done.
type Output struct{ Directory, Format string }

// Options are what the host decides, not the recipe. The zero value keeps the tensors in memory, in the [Result].
type Options struct {
	Outputs       []Output
	Device        string       // "": "cpu"; "cuda", the first CUDA device; "cuda:1", ...
	ComputeDtype  string       // "bf16", "fp32"; "": bf16 where the CPU multiplies it in hardware, fp32 for perplexity
	Seed          *uint64      // overrides the recipe's; at most math.MaxInt64
	Deterministic *bool        // same seed and thread count, same bytes; nil: on the CPU, where nothing is faster without
	Resume        bool         // a run that is killed or stopped leaves its finished blocks beside the outputs, and goes on after them
	MemoryLimit   int64        // bytes on the device that a run stays below, or it is refused with the smallest that it can. 0: none
	OnEvent       func(Event)  // called on the goroutine that made the call, during it. A panic stops the run and goes on after it
	Events        EventKind    // what OnEvent is told of; 0: all but BlockInputs
	Logger        *slog.Logger // gets the lines of the library's log, on the same goroutine; nil: silence
}

// build makes the library's options of o, which may be nil.
func (o *Options) build(stop *stopper) (swig.Options, error) {
	raw := swig.NewOptions()
	if err := o.fill(raw, stop); err != nil {
		swig.DeleteOptions(raw)
		return nil, err
	}
	return raw, nil
}

func (o *Options) fill(raw swig.Options, stop *stopper) error {
	if err := raw.Create(); err != nil {
		return err
	}
	if stop != nil {
		if err := raw.SetCancel(stop.cancel.object); err != nil {
			return err
		}
	}
	if o == nil {
		return nil
	}
	for _, output := range o.Outputs {
		if err := raw.SetOutput(output.Directory, output.Format); err != nil {
			return err
		}
	}
	if o.Device != "" {
		if err := raw.SetDevice(o.Device); err != nil {
			return err
		}
	}
	if o.ComputeDtype != "" {
		if err := raw.SetComputeDtype(o.ComputeDtype); err != nil {
			return err
		}
	}
	if o.Seed != nil {
		if err := raw.SetSeed(int64(*o.Seed)); err != nil {
			return err
		}
	}
	if o.Deterministic != nil {
		if err := raw.SetDeterministic(*o.Deterministic); err != nil {
			return err
		}
	}
	if err := raw.SetResume(o.Resume); err != nil {
		return err
	}
	device := o.Device
	if device == "" {
		device = "cpu"
	}
	return raw.SetMemoryLimit(device, o.MemoryLimit)
}

const usual = Progress | BlockBegin | Iteration | BlockEnd

// kinds is what OnEvent is told of.
func (o *Options) kinds() EventKind {
	switch {
	case o == nil || o.OnEvent == nil:
		return 0
	case o.Events == 0:
		return usual
	}
	return o.Events
}

// events is what the library is asked to tell: with a logger the usual ones in any case, for there its panic stops the run, and a run
// that only rounds has no iterations.
func (o *Options) events() EventKind {
	if o != nil && o.Logger != nil {
		return o.kinds() | usual
	}
	return o.kinds()
}

// arguments are the objects that calls on a model share, alive for one call. What may be left out may be null.
type arguments struct {
	model   swig.Model
	recipe  swig.Recipe
	data    swig.Calibration
	options swig.Options
}

// with calls f with what is behind the arguments; recipe and data may be nil.
func with(model *Model, recipe *Recipe, data *Calibration, options *Options, stop *stopper, f func(arguments) error) error {
	a := arguments{recipe: swig.SwigcptrRecipe(0), data: swig.SwigcptrCalibration(0)}
	call := func() (err error) {
		if a.options, err = options.build(stop); err != nil {
			return err
		}
		defer swig.DeleteOptions(a.options)
		return f(a)
	}
	if data != nil {
		inner := call
		call = func() error {
			return do(data.h, "calibration", func(raw swig.Calibration) error { a.data = raw; return inner() })
		}
	}
	if recipe != nil {
		inner := call
		call = func() error {
			return do(recipe.h, "recipe", func(raw swig.Recipe) error { a.recipe = raw; return inner() })
		}
	}
	return do(model.h, "model", func(raw swig.Model) error { a.model = raw; return call() })
}
