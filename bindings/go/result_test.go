package autoround

import (
	"testing"

	"github.com/libautoround/libautoround/bindings/go/internal/swig"
)

// A panic of the host's code goes through newResult, here in the worst case: when the library has made the result.
func TestAPanicLeavesNoResultBehind(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	weight, err := NewTensorF32([]int64{1, 32}, make([]float32, 32))
	must(err)
	defer weight.Close()
	layer, err := NewLinear("proj", weight, nil)
	must(err)
	defer layer.Close()
	recipe, err := NewRecipe(Keys{"scheme": "W8A16", "weights.group_size": 32, "iters": 0})
	must(err)
	defer recipe.Close()
	options, err := (*Options)(nil).build(nil)
	must(err)
	defer swig.DeleteOptions(options)

	before := LiveHandles("result")
	func() {
		defer func() {
			if value := recover(); value != "late" {
				t.Errorf("recovered %v", value)
			}
		}()
		newResult(func(out swig.Result) error {
			must(layer.h.object.Tune(recipe.h.object, options, 0, swig.SwigcptrObserver(0), out))
			panic("late")
		})
	}()
	if after := LiveHandles("result"); after != before {
		t.Errorf("%d results, %d before", after, before)
	}
}
