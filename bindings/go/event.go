package autoround

import (
	"context"
	"log/slog"

	"github.com/libautoround/libautoround/bindings/go/internal/swig"
)

// EventKind is a bit, so that [Options.Events] can select several.
type EventKind int

// What an [Event] tells.
const (
	Progress    EventKind = 1 // "start", "finish"; of [Model.Perplexity] "perplexity"
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

// logLevels are slog's for those of autoround.h, trace to error.
var logLevels = [...]slog.Level{slog.LevelDebug - 4, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// observer hands events and log lines to the host. Neither a panic nor a failure leaves it: they stop the run at its next event and are
// kept.
type observer struct {
	ctx      context.Context
	onEvent  func(Event)
	kinds    EventKind // what onEvent is told of
	logger   *slog.Logger
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
	if o.panicked != nil || o.kinds&EventKind(kind) == 0 {
		return o.panicked == nil
	}
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

// OnLog is called by the generated layer, with C frames below it.
func (o *observer) OnLog(level int, line string) {
	defer func() {
		if value := recover(); value != nil && o.panicked == nil {
			o.panicked = value
		}
	}()
	o.logger.Log(o.ctx, logLevels[level], line)
}

// leastLogLevel is the first level that the logger takes; beyond them all when it takes none.
func (o *observer) leastLogLevel() int {
	level := 0
	for ; level < len(logLevels) && (o.logger == nil || !o.logger.Enabled(o.ctx, logLevels[level])); level++ {
	}
	return level
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
	err := told(ctx, options, call)
	if failed, ok := wrap(err).(*Error); ok {
		if failed.Code == Cancelled && ctx.Err() != nil {
			failed.cause = context.Cause(ctx)
		}
		return failed
	}
	return err
}

// told makes a call with an observer of the host, when it wants to be told anything.
func told(ctx context.Context, options *Options, call func(swig.Observer) error) error {
	if options.events() == 0 {
		return call(swig.SwigcptrObserver(0))
	}
	o := &observer{ctx: ctx, onEvent: options.OnEvent, kinds: options.kinds(), logger: options.Logger}
	o.base = swig.NewDirectorObserver(o)
	defer swig.DeleteDirectorObserver(o.base)
	o.base.SetLeastLogLevel(o.leastLogLevel())
	err := call(o.base)
	if o.panicked != nil {
		panic(o.panicked)
	}
	if o.failed != nil {
		return o.failed
	}
	return err
}
