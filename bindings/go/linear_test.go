package autoround_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	autoround "github.com/libautoround/libautoround/bindings/go"
)

const linearOut, linearIn = 24, 64

// wavy gives inputs whose columns depend on one another, so that there is something to gain.
func wavy(rows int, state uint32) []float32 {
	next := func() float64 {
		state = state*1664525 + 1013904223
		return float64(state>>8)/8388608 - 1
	}
	var values []float32
	for range rows {
		slow, fast := next(), next()
		for i := range linearIn {
			values = append(values, float32(slow*math.Sin(float64(i)/9)+fast*math.Cos(float64(i)/2)+0.1*next()))
		}
	}
	return values
}

func tensorOf(t *testing.T, values []float32, shape ...int64) *autoround.Tensor {
	t.Helper()
	tensor, err := autoround.NewTensorF32(shape, values)
	check(t, err)
	t.Cleanup(func() { check(t, tensor.Close()) })
	return tensor
}

func newLinear(t *testing.T) *autoround.Linear {
	t.Helper()
	layer, err := autoround.NewLinear("proj", tensorOf(t, wavy(linearOut, 1), linearOut, linearIn), nil)
	check(t, err)
	t.Cleanup(func() { check(t, layer.Close()) })
	check(t, layer.AddInputs(tensorOf(t, wavy(16*4, 2), 16, 4, linearIn), nil))
	return layer
}

func linearRecipe(t *testing.T, iters int) *autoround.Recipe {
	t.Helper()
	recipe, err := autoround.NewRecipe(autoround.Keys{"scheme": "W4A16", "weights.group_size": 32, "iters": iters})
	check(t, err)
	t.Cleanup(func() { check(t, recipe.Close()) })
	return recipe
}

func TestALinearIsTuned(t *testing.T) {
	layer, recipe := newLinear(t), linearRecipe(t, 40)
	if layer.Samples() != 16 || layer.Tokens() != 64 {
		t.Errorf("%d samples, %d tokens", layer.Samples(), layer.Tokens())
	}
	var codes [][]byte
	for range 2 {
		iterations := 0
		count := func(event autoround.Event) { iterations++ }
		result, err := layer.Tune(t.Context(), recipe, &autoround.Options{Events: autoround.Iteration, OnEvent: count})
		check(t, err)
		for block := range result.Blocks() {
			if block.Name != "proj" || !(block.LossAfter < 0.8*block.LossBefore) || iterations != 40 {
				t.Errorf("%+v after %d iterations", block, iterations)
			}
		}
		tensor, err := result.Tensor(0, "qweight")
		check(t, err)
		check(t, result.Close())
		codes = append(codes, tensor.Bytes())
		check(t, tensor.Close())
	}
	if len(codes[0]) != linearOut*linearIn || !bytes.Equal(codes[0], codes[1]) {
		t.Error("other codes the second time")
	}
}

func TestWhatIsWrongWithALinear(t *testing.T) {
	weight := wavy(linearOut, 1)
	weight[2*linearIn+5] = float32(math.NaN())
	_, err := autoround.NewLinear("proj", tensorOf(t, weight, linearOut, linearIn), nil)
	if !errors.Is(err, autoround.Numeric) || !strings.Contains(err.Error(), "[2, 5]") {
		t.Error(err)
	}
	if _, err := autoround.NewTensorF32([]int64{2, 2}, []float32{1}); !errors.Is(err, autoround.InvalidArgument) {
		t.Error(err)
	}
	if _, err := autoround.NewTensor("float", []int64{1}, make([]byte, 4)); !errors.Is(err, autoround.InvalidArgument) {
		t.Error(err)
	}
	layer, recipe := newLinear(t), linearRecipe(t, 4)
	if err := layer.AddInputs(tensorOf(t, make([]float32, 32), 4, 8), nil); !errors.Is(err, autoround.InvalidArgument) {
		t.Error(err)
	}
	targets := tensorOf(t, make([]float32, 4*linearOut), 4, linearOut)
	if err := layer.AddInputs(tensorOf(t, wavy(4, 3), 4, linearIn), targets); !errors.Is(err, autoround.InvalidArgument) {
		t.Error(err)
	}
	outputs := []autoround.Output{{Directory: t.TempDir() + "/out", Format: "compressed-tensors"}}
	if _, err := layer.Tune(t.Context(), recipe, &autoround.Options{Outputs: outputs}); !errors.Is(err, autoround.InvalidArgument) {
		t.Error(err)
	}
	check(t, recipe.Close())
	if _, err := layer.Tune(t.Context(), recipe, nil); !errors.Is(err, autoround.InvalidState) {
		t.Error(err)
	}
	check(t, layer.Close())
	if _, err := layer.Tune(t.Context(), recipe, nil); !errors.Is(err, autoround.InvalidState) || layer.Samples() != 0 {
		t.Error(err)
	}
}

func TestATunedLinearStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stop := func(event autoround.Event) {
		if event.Iteration == 2 {
			cancel()
		}
	}
	_, err := newLinear(t).Tune(ctx, linearRecipe(t, 100000), &autoround.Options{Events: autoround.Iteration, OnEvent: stop})
	if !errors.Is(err, autoround.Cancelled) || !errors.Is(err, ctx.Err()) {
		t.Error(err)
	}
}
