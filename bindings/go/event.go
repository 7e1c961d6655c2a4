package autoround

import (
	"context"

	"github.com/libautoround/libautoround/bindings/go/internal/swig"
)

// EventKind is a bit, so that [Options.Events] can select several.
type EventKind int

// What an [Event] tells.
const (
	Progress    EventKind = 1 // "start", "finish"
	BlockBegin  EventKind = 2
	BlockInputs EventKind = 4 // Inputs holds the captured inputs of a block
	Iteration   EventKind = 8
	BlockEnd    EventKind = 16
)

// Event is a moment of a run.
type Event struct {
	Kind      EventKind
	Fraction  float64   // 0..1 of the whole run
	Block     int       // -1 when none
	Name      string    // of the block or stage
	Iteration int       // -1 when none; BlockEnd: the best one
	Loss      float64   // NaN when none; BlockEnd: over all samples
	Inputs    []*Tensor // BlockInputs: the full-precision and the quantized stream, [samples, tokens, hidden]; the callback's to close
}

// observer hands events to the host's function. Neither a panic nor a failure leaves it: they stop the run and are kept.
type observer struct {
	onEvent  func(Event)
	base     swig.Observer
	panicked any
	failed   error
}

// OnEvent is called by the generated layer, with C frames below it.
func (o *observer) OnEvent(kind int, fraction float64, block int64, name string, iteration int64, loss float64) (goOn bool) {
	defer func() {
		if value := recover(); value != nil {
			o.panicked, goOn = value, false
		}
	}()
	event := Event{EventKind(kind), fraction, int(block), name, int(iteration), loss, nil}
	for i := range o.base.InputCount() {
		tensor, err := newTensor(func(out swig.Tensor) error { return o.base.Input(i, out) })
		if err != nil {
			o.failed = err
			return false
		}
		event.Inputs = append(event.Inputs, tensor)
	}
	o.onEvent(event)
	return true
}

// stopper is a request to stop that contexts make.
type stopper struct{ cancel *handle[swig.Cancel] }

func newStopper() *stopper {
	return &stopper{&handle[swig.Cancel]{object: swig.NewCancel(), free: swig.DeleteCancel}}
}

// request may come after close: a context is done in a goroutine of its own.
func (s *stopper) request() {
	if cancel, ok := s.cancel.acquire(); ok {
		cancel.Request()
		s.cancel.release()
	}
}

func (s *stopper) close() { s.cancel.close() }

// observe makes a call that tells events and that ctx stops.
func observe(ctx context.Context, stop *stopper, options *Options, call func(swig.Observer) error) error {
	if ctx.Err() != nil {
		return &Error{Code: Cancelled, Message: "the run was cancelled before this step", cause: context.Cause(ctx)}
	}
	defer context.AfterFunc(ctx, stop.request)()
	err := told(options, call)
	if failed, ok := wrap(err).(*Error); ok {
		if failed.Code == Cancelled && ctx.Err() != nil {
			failed.cause = context.Cause(ctx)
		}
		return failed
	}
	return err
}

// told makes a call with an observer of the host's function, when it has one.
func told(options *Options, call func(swig.Observer) error) error {
	if options.events() == 0 {
		return call(swig.SwigcptrObserver(0))
	}
	o := &observer{onEvent: options.OnEvent}
	o.base = swig.NewDirectorObserver(o)
	defer swig.DeleteDirectorObserver(o.base)
	err := call(o.base)
	if o.panicked != nil {
		panic(o.panicked)
	}
	if o.failed != nil {
		return o.failed
	}
	return err
}
