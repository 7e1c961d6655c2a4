package autoround

import (
	"context"
	"sync/atomic"

	"github.com/libautoround/libautoround/bindings/go/internal/swig"
)

// Oneshot quantizes model by recipe: every step of a [Session] in one call. data may be nil when the recipe only rounds, options may
// be nil. When ctx is done the run stops within one iteration; the error is then both Cancelled and the context's.
func Oneshot(ctx context.Context, model *Model, recipe *Recipe, data *Calibration, options *Options) (*Result, error) {
	session, err := NewSession(model, recipe, data, options)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	return session.finish(ctx, swig.Session.Run)
}

// Session is one run, step by step: Initialize, Start, { NextBlock, SequentialEpochEnd } for each block, End, Finalize. After a failed
// step it is [Failed]; a step out of order changes nothing.
type Session struct {
	h       *handle[swig.Session]
	stop    *stopper
	options *Options
	running atomic.Bool
	state   atomic.Int32
}

// State of a [Session].
type State int32

// The states, in order.
const (
	Created State = iota
	Initialized
	Started
	Ended
	Finalized
	Failed
)

// NewSession takes copies of recipe, data and options and shares the model; all may be closed or changed afterwards.
func NewSession(model *Model, recipe *Recipe, data *Calibration, options *Options) (*Session, error) {
	if options != nil {
		copied := *options
		options = &copied
	}
	s := &Session{stop: newStopper(), options: options}
	raw := swig.NewSession()
	err := with(model, recipe, data, options, s.stop, func(a arguments) error {
		return raw.Create(a.model, a.recipe, a.data, a.options, int(options.events()))
	})
	if err != nil {
		swig.DeleteSession(raw)
		s.stop.close()
		return nil, err
	}
	stop := s.stop
	s.h = own(s, raw, func(raw swig.Session) {
		swig.DeleteSession(raw)
		stop.close()
	})
	return s, nil
}

// State after the last step that came back.
func (s *Session) State() State { return State(s.state.Load()) }

// Initialize checks all that can fail before a weight is read.
func (s *Session) Initialize(ctx context.Context) error { return s.step(ctx, swig.Session.Initialize) }

// Start reserves the outputs and copies the tensors that are not quantized.
func (s *Session) Start(ctx context.Context) error { return s.step(ctx, swig.Session.Start) }

// NextBlock runs the data to the next decoder layer and gives its index; false after the last.
func (s *Session) NextBlock(ctx context.Context) (int, bool, error) {
	block := swig.NewNumberOut()
	defer swig.DeleteNumberOut(block)
	err := s.step(ctx, func(raw swig.Session, observer swig.Observer) error { return raw.NextBlock(observer, block) })
	if err != nil || block.Integer() < 0 {
		return -1, false, err
	}
	return int(block.Integer()), true, nil
}

// SequentialEpochEnd tunes that layer and writes its tensors to every output.
func (s *Session) SequentialEpochEnd(ctx context.Context) error {
	return s.step(ctx, swig.Session.SequentialEpochEnd)
}

// SequentialEpochEndModules is the same for a host that walks the model itself and names the modules of the part that it has just run:
// without a decoding layer among them it does nothing, with one it tunes that, with more it fails.
func (s *Session) SequentialEpochEndModules(ctx context.Context, modules []string) error {
	names := swig.NewNames()
	defer swig.DeleteNames(names)
	for _, module := range modules {
		if err := names.Add(module); err != nil {
			return wrap(err)
		}
	}
	return s.step(ctx, func(raw swig.Session, observer swig.Observer) error {
		return raw.SequentialEpochEndModules(observer, names)
	})
}

// End rounds the layers outside the blocks.
func (s *Session) End(ctx context.Context) error { return s.step(ctx, swig.Session.End) }

// Finalize writes index and config and makes the outputs visible. Calls End when that was not called.
func (s *Session) Finalize(ctx context.Context) (*Result, error) {
	return s.finish(ctx, swig.Session.Finalize)
}

// Close frees the session. An output that was not finalized is removed. It never fails.
func (s *Session) Close() error {
	s.h.close()
	return nil
}

func (s *Session) finish(ctx context.Context, call func(swig.Session, swig.Observer, swig.Result) error) (*Result, error) {
	return newResult(func(out swig.Result) error {
		return s.step(ctx, func(raw swig.Session, observer swig.Observer) error { return call(raw, observer, out) })
	})
}

func (s *Session) step(ctx context.Context, call func(swig.Session, swig.Observer) error) error {
	if !s.running.CompareAndSwap(false, true) {
		return &Error{Code: InvalidState, Message: "a step of this session is running", Subject: "session"}
	}
	defer s.running.Store(false)
	return do(s.h, "session", func(raw swig.Session) error {
		defer func() { s.state.Store(int32(raw.State())) }()
		return observe(ctx, s.stop, s.options, func(observer swig.Observer) error { return call(raw, observer) })
	})
}
