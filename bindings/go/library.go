// Package autoround quantizes LLM checkpoints with AutoRound inside the process that calls it: a Hugging Face folder and a recipe
// in, a smaller folder out that vLLM and transformers load unmodified.
//
// It is a layer over libautoround.so, found with pkg-config. Close what you open; what is forgotten is freed when the garbage
// collector finds it. A value is used by one goroutine at a time, like any Go value that changes, a [Model] by any number; methods that
// only read may run concurrently, and so may several runs.
package autoround

import "github.com/libautoround/libautoround/bindings/go/internal/swig"

// Version of the loaded library: "0.1.0".
func Version() string { return swig.LibraryVersion() }

// BuildInfo is a JSON object: version, libtorch, compiler, instruction set in use.
func BuildInfo() string { return swig.LibraryBuildInfo() }

// HasFeature asks whether this build on this machine has "bf16", "avx512", "format.NAME", "scheme.NAME" and so on.
func HasFeature(name string) bool { return swig.LibraryHasFeature(name) }

// Schemes are the presets for the recipe key "scheme".
func Schemes() []string { return list(swig.LibrarySchemeCount(), swig.LibrarySchemeName) }

// Formats are the output formats.
func Formats() []string { return list(swig.LibraryFormatCount(), swig.LibraryFormatName) }

// SetThreads sets the threads inside one operation on models and layers that are opened from now on; 0 is LibTorch's default.
func SetThreads(count int) error { return wrap(swig.LibrarySetThreads(count)) }

// LiveHandles counts the objects of one kind ("model", "session", ...) that are alive in this process, of all kinds for "".
func LiveHandles(kind string) int { return int(swig.LibraryLiveHandles(kind)) }

func list(count int64, at func(int64) string) []string {
	names := make([]string, count)
	for i := range names {
		names[i] = at(int64(i))
	}
	return names
}

// text runs a call that gives a text.
func text(call func(out swig.TextOut) error) (string, error) {
	out := swig.NewTextOut()
	defer swig.DeleteTextOut(out)
	if err := call(out); err != nil {
		return "", err
	}
	return out.Text(), nil
}
