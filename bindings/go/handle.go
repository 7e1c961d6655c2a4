package autoround

import (
	"runtime"
	"sync"
)

// handle keeps one object of the generated layer alive for as long as a call uses it: Close during a call, in its callback or in
// another goroutine, frees the object when the call is back.
type handle[T any] struct {
	mu     sync.Mutex
	object T
	free   func(T)
	users  int
	closed bool
}

// acquire gives the object until release; false after close.
func (h *handle[T]) acquire() (T, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		var none T
		return none, false
	}
	h.users++
	return h.object, true
}

func (h *handle[T]) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users--
	h.freeWhenUnused()
}

func (h *handle[T]) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		h.freeWhenUnused()
	}
}

func (h *handle[T]) freeWhenUnused() {
	if h.closed && h.users == 0 {
		h.free(h.object)
	}
}

// own makes a handle for outer. The cleanup is a net for a forgotten Close.
func own[Outer, T any](outer *Outer, object T, free func(T)) *handle[T] {
	h := &handle[T]{object: object, free: free}
	runtime.AddCleanup(outer, (*handle[T]).close, h)
	return h
}

// do calls f with the object, or says that what was closed.
func do[T any](h *handle[T], what string, f func(T) error) error {
	object, ok := h.acquire()
	if !ok {
		return &Error{Code: InvalidState, Message: "the " + what + " is closed", Subject: what}
	}
	defer h.release()
	return wrap(f(object))
}

// get is do for getters: the zero value after close.
func get[T, V any](h *handle[T], f func(T) V) V {
	object, ok := h.acquire()
	if !ok {
		var zero V
		return zero
	}
	defer h.release()
	return f(object)
}
