package autoround_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	autoround "github.com/libautoround/libautoround/bindings/go"
)

func TestRealQuantization(t *testing.T) {
	toy := newToy(t, 0)
	result, err := autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, &autoround.Options{Outputs: toy.outputs()})
	check(t, err)
	defer result.Close()
	requireExpected(t, toy.output)
	var names []string
	for block := range result.Blocks() {
		names = append(names, block.Name)
		if !(block.LossAfter <= block.LossBefore) {
			t.Errorf("%s: loss %g after, %g before", block.Name, block.LossAfter, block.LossBefore)
		}
	}
	if strings.Join(names, " ") != "model.layers.0 model.layers.1" {
		t.Error(names)
	}
	report, err := result.Report()
	check(t, err)
	if !json.Valid([]byte(report)) {
		t.Error(report)
	}
	page, err := result.ReportHTML()
	check(t, err)
	if !strings.Contains(page, "<svg") {
		t.Error("a report without a picture")
	}
}

func TestSessionStepByStepWritesTheSameBytes(t *testing.T) {
	toy, ctx := newToy(t, 0), t.Context()
	session, err := autoround.NewSession(toy.model, toy.recipe, toy.data, &autoround.Options{Outputs: toy.outputs()})
	check(t, err)
	defer session.Close()
	if err := session.Start(ctx); !errors.Is(err, autoround.InvalidState) {
		t.Fatalf("a step out of order gave %v", err)
	}
	check(t, session.Initialize(ctx))
	check(t, session.Start(ctx))
	for want := 0; ; want++ {
		block, more, err := session.NextBlock(ctx)
		check(t, err)
		if !more {
			break
		}
		if block != want {
			t.Fatalf("block %d, not %d", block, want)
		}
		check(t, session.SequentialEpochEnd(ctx))
	}
	check(t, session.End(ctx))
	result, err := session.Finalize(ctx)
	check(t, err)
	check(t, result.Close())
	if session.State() != autoround.Finalized {
		t.Error(session.State())
	}
	requireExpected(t, toy.output)
}

func TestProgressCount(t *testing.T) {
	toy := newToy(t, 3)
	kinds := map[autoround.EventKind]int{}
	var shapes [][]int64
	result, err := autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, &autoround.Options{
		Events: autoround.Progress | autoround.BlockInputs | autoround.Iteration | autoround.BlockEnd,
		OnEvent: func(event autoround.Event) {
			kinds[event.Kind]++
			for _, input := range event.Inputs {
				shapes = append(shapes, input.Shape())
				check(t, input.Close())
			}
			if event.Kind == autoround.BlockEnd && !strings.HasPrefix(event.Name, "model.layers.") {
				t.Errorf("block %q", event.Name)
			}
		},
	})
	check(t, err)
	result.Close()
	want := map[autoround.EventKind]int{autoround.Progress: 2, autoround.BlockInputs: 2, autoround.Iteration: 6, autoround.BlockEnd: 2}
	for kind, count := range want {
		if kinds[kind] != count {
			t.Errorf("kind %d: %d events, not %d", kind, kinds[kind], count)
		}
	}
	if len(shapes) != 4 || len(shapes[0]) != 3 || shapes[0][2] != 64 {
		t.Error(shapes)
	}
}

func requireCancelled(t *testing.T, toy toy, err error, cause error) {
	t.Helper()
	var failed *autoround.Error
	if !errors.As(err, &failed) || failed.Code != autoround.Cancelled || !errors.Is(err, autoround.Cancelled) || !errors.Is(err, cause) {
		t.Fatalf("%v is not both Cancelled and %v", err, cause)
	}
	if _, err := os.Stat(toy.output); !os.IsNotExist(err) {
		t.Error("a cancelled run left an output")
	}
}

func TestContextCancelsFromAnotherGoroutine(t *testing.T) {
	toy := newToy(t, 100000)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	began := make(chan struct{})
	var once sync.Once
	go func() {
		<-began
		cancel(enough)
	}()
	_, err := autoround.Oneshot(ctx, toy.model, toy.recipe, toy.data, &autoround.Options{
		Outputs: toy.outputs(),
		OnEvent: func(event autoround.Event) { once.Do(func() { close(began) }) },
	})
	requireCancelled(t, toy, err, enough)
}

func TestCancelFromCallback(t *testing.T) {
	toy := newToy(t, 100000)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := autoround.Oneshot(ctx, toy.model, toy.recipe, toy.data, &autoround.Options{Outputs: toy.outputs(), OnEvent: func(event autoround.Event) {
		if event.Iteration == 2 {
			cancel()
		}
	}})
	requireCancelled(t, toy, err, context.Canceled)
}

func TestDeadlineStopsWithinAnIteration(t *testing.T) {
	toy := newToy(t, 100000)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := autoround.Oneshot(ctx, toy.model, toy.recipe, toy.data, &autoround.Options{Outputs: toy.outputs()})
	requireCancelled(t, toy, err, context.DeadlineExceeded)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stopped after %v", took)
	}
	_, err = autoround.Oneshot(ctx, toy.model, toy.recipe, toy.data, nil)
	requireCancelled(t, toy, err, context.DeadlineExceeded)
}

func TestExceptionInCallback(t *testing.T) {
	toy := newToy(t, 100000)
	before := autoround.LiveHandles("")
	func() {
		defer func() {
			if value := recover(); value != "from the callback" {
				t.Errorf("recovered %v", value)
			}
		}()
		autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, &autoround.Options{Outputs: toy.outputs(), OnEvent: func(autoround.Event) { panic("from the callback") }})
		t.Error("no panic")
	}()
	if after := autoround.LiveHandles(""); after != before {
		t.Errorf("%d handles, %d before", after, before)
	}
}

func TestPerplexityTellsProgressAndIsCancelled(t *testing.T) {
	toy := newToy(t, 0)
	var fractions []float64
	value, err := toy.model.Perplexity(t.Context(), toy.data, &autoround.Options{OnEvent: func(event autoround.Event) { fractions = append(fractions, event.Fraction) }})
	check(t, err)
	if !(value > 1) || len(fractions) == 0 || fractions[len(fractions)-1] != 1 {
		t.Error(value, fractions)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = toy.model.Perplexity(ctx, toy.data, &autoround.Options{OnEvent: func(autoround.Event) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestRunsInParallelShareAModel(t *testing.T) {
	toy := newToy(t, 0)
	var group sync.WaitGroup
	for i := range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			output := filepath.Join(t.TempDir(), string(rune('a'+i)))
			result, err := autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data,
				&autoround.Options{Outputs: []autoround.Output{{Directory: output, Format: "compressed-tensors"}}, OnEvent: func(autoround.Event) {}})
			if err != nil {
				t.Error(err)
				return
			}
			result.Close()
			requireExpected(t, output)
		}()
	}
	group.Wait()
}

func TestTensorsInMemory(t *testing.T) {
	toy := newToy(t, 0)
	result, err := autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, nil)
	check(t, err)
	quantized := 0
	var codes *autoround.Tensor
	for layer := range result.Layers() {
		if layer.Scheme == "" {
			continue
		}
		quantized++
		codes, err = result.Tensor(layer.Index, "qweight")
		check(t, err)
	}
	result.Close() // the tensor lives on
	if quantized != 14 || codes.DType() != "U8" {
		t.Error(quantized, codes.DType())
	}
	shape := codes.Shape()
	check(t, codes.View(func(bytes []byte) {
		if int64(len(bytes)) != shape[0]*shape[1] {
			t.Error(len(bytes), shape)
		}
		for _, code := range bytes {
			if code > 15 {
				t.Fatalf("code %d of 4 bits", code)
			}
		}
	}))
	copied := codes.Bytes()
	codes.Close()
	if len(copied) == 0 || codes.Bytes() != nil {
		t.Error("bytes after close")
	}
	if err := codes.View(func([]byte) { t.Error("a view after close") }); !errors.Is(err, autoround.InvalidState) {
		t.Error(err)
	}
}

func TestModelTellsWhatItIs(t *testing.T) {
	toy := newToy(t, 0)
	if toy.model.Architecture() != "LlamaForCausalLM" || len(toy.model.Blocks()) != 2 || toy.model.Parameters() == 0 || toy.model.ByteSize() == 0 {
		t.Error(toy.model.Architecture(), toy.model.Blocks())
	}
	linears := 0
	for module := range toy.model.Modules() {
		if module.Class == "Linear" && module.Block == 1 && module.Size[0] > 0 {
			linears++
		}
	}
	if linears != 7 {
		t.Error(linears)
	}
	tensor, err := toy.model.Tensor("model.norm.weight")
	check(t, err)
	defer tensor.Close()
	if tensor.DType() != "BF16" || len(tensor.Bytes()) != 128 {
		t.Error(tensor.DType(), tensor.Shape())
	}
	plan, err := toy.model.Plan(toy.recipe, toy.data, &autoround.Options{Outputs: toy.outputs()})
	check(t, err)
	if !json.Valid([]byte(plan)) {
		t.Error(plan)
	}
	check(t, toy.recipe.Validate(toy.model))
	if toy.data.Samples() != 8 || toy.data.SequenceLength() != 16 || toy.data.Tokens() != 128 {
		t.Error(toy.data.Samples(), toy.data.Tokens())
	}
}
