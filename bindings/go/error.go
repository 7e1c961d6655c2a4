package autoround

import (
	"errors"
	"fmt"
	"strings"

	"github.com/libautoround/libautoround/bindings/go/internal/swig"
)

// Code says what kind of failure an [Error] is. It is an error itself, so that errors.Is(err, autoround.NotFound) asks for it.
type Code int

// The codes of autoround.h. A newer library may give others.
const (
	InvalidArgument Code = -1
	InvalidState    Code = -2
	NotFound        Code = -3
	IO              Code = -4
	Parse           Code = -5
	Unsupported     Code = -6
	OutOfMemory     Code = -7
	Device          Code = -8
	Cancelled       Code = -9
	Numeric         Code = -10
	Internal        Code = -99
)

func (c Code) Error() string { return swig.LibraryStatusName(int(c)) }

// Error is what a failed call said.
type Error struct {
	Code    Code
	Message string // a sentence for people
	Subject string // a file, a recipe key, a tensor or layer, or ""
	Line    int    // 1-based place in a text that was parsed; 0 when there is none
	Column  int
	cause   error
}

// Error is the message, with the subject in front where the message does not name it.
func (e *Error) Error() string {
	if e.Subject == "" || strings.Contains(e.Message, e.Subject) {
		return e.Message
	}
	if e.Line > 0 && !strings.Contains(e.Message, "line ") {
		return fmt.Sprintf("%s:%d:%d: %s", e.Subject, e.Line, e.Column, e.Message)
	}
	return e.Subject + ": " + e.Message
}

// Is compares with a [Code].
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// Unwrap gives the context's error when a context stopped the run.
func (e *Error) Unwrap() error { return e.cause }

// wrap turns an error of the generated layer into an *Error.
func wrap(err error) error {
	var raw *swig.Error
	if !errors.As(err, &raw) {
		return err
	}
	return &Error{Code: Code(raw.Code), Message: raw.Message, Subject: raw.Subject, Line: raw.Line, Column: raw.Column}
}
