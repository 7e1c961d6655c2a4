package autoround_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	autoround "github.com/libautoround/libautoround/bindings/go"
)

func TestLogLinesGoToTheLogger(t *testing.T) {
	toy := newToy(t, 0)
	run := func(level slog.Level) string {
		var lines bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: level}))
		result, err := autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, &autoround.Options{Logger: logger})
		check(t, err)
		check(t, result.Close())
		return lines.String()
	}
	if lines := run(slog.LevelInfo); !strings.Contains(lines, "level=INFO") || !strings.Contains(lines, "8 samples") {
		t.Errorf("%q", lines)
	}
	if lines := run(slog.LevelError); lines != "" {
		t.Errorf("%q", lines)
	}
}

type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("no room for a line") }

func TestAPanicOfTheLoggerComesBack(t *testing.T) {
	toy := newToy(t, 0)
	defer func() {
		if value := recover(); value != "no room for a line" {
			t.Errorf("recovered %v", value)
		}
		if _, err := toy.model.Tensor("model.norm.weight"); err != nil {
			t.Error(err)
		}
	}()
	logger := slog.New(slog.NewTextHandler(panicking{}, nil))
	_, err := autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, &autoround.Options{Logger: logger})
	t.Errorf("came back with %v", err)
}

// Also where nothing is tuned, and where OnEvent is told of less than stops the run.
func TestAPanicOfTheLoggerStopsRounding(t *testing.T) {
	for _, onEvent := range []func(autoround.Event){nil, func(event autoround.Event) { t.Errorf("told of %+v", event) }} {
		toy := newToy(t, 0)
		check(t, toy.recipe.Set("iters", 0))
		func() {
			defer func() {
				if value := recover(); value != "no room for a line" {
					t.Errorf("recovered %v", value)
				}
			}()
			options := &autoround.Options{Outputs: toy.outputs(), OnEvent: onEvent, Events: autoround.Iteration}
			options.Logger = slog.New(slog.NewTextHandler(panicking{}, nil))
			autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, options)
		}()
		if _, err := os.Stat(toy.output); !os.IsNotExist(err) {
			t.Error("the run went on to its end")
		}
	}
}

func TestEventsAreThoseThatWereAskedFor(t *testing.T) {
	toy := newToy(t, 0)
	kinds := map[autoround.EventKind]bool{}
	result, err := autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, &autoround.Options{
		Events:  autoround.BlockEnd,
		OnEvent: func(event autoround.Event) { kinds[event.Kind] = true },
		Logger:  slog.New(slog.DiscardHandler), // for which the library is asked for more
	})
	check(t, err)
	check(t, result.Close())
	if len(kinds) != 1 || !kinds[autoround.BlockEnd] {
		t.Error(kinds)
	}
}

func TestModulesNamedByTheHost(t *testing.T) {
	toy, ctx := newToy(t, 0), t.Context()
	session, err := autoround.NewSession(toy.model, toy.recipe, toy.data, &autoround.Options{Outputs: toy.outputs()})
	check(t, err)
	defer session.Close()
	check(t, session.Initialize(ctx))
	check(t, session.Start(ctx))
	check(t, session.SequentialEpochEndModules(ctx, []string{"model.embed_tokens"}))
	both := []string{"model.layers.0", "model.layers.1"}
	if err := session.SequentialEpochEndModules(ctx, both); !errors.Is(err, autoround.InvalidArgument) || !strings.Contains(err.Error(), "found 2") {
		t.Errorf("two layers at once gave %v", err)
	}
	for _, layer := range both {
		_, _, err := session.NextBlock(ctx)
		check(t, err)
		check(t, session.SequentialEpochEndModules(ctx, []string{layer + ".input_layernorm", layer}))
	}
	result, err := session.Finalize(ctx)
	check(t, err)
	check(t, result.Close())
	requireExpected(t, toy.output)
}

func TestResumeGoesOnAfterTheFinishedBlocks(t *testing.T) {
	toy := newToy(t, 0)
	stop := errors.New("enough")
	options := &autoround.Options{Outputs: toy.outputs(), Resume: true, OnEvent: func(event autoround.Event) {
		if event.Kind == autoround.BlockBegin && event.Block == 1 {
			panic(stop)
		}
	}}
	func() {
		defer func() {
			if recover() != stop {
				t.Error("the run was not stopped")
			}
		}()
		autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, options)
	}()
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(toy.output), ".*.incomplete-*")); len(left) != 1 {
		t.Errorf("left %v", left)
	}
	tuned := map[int]bool{}
	options.OnEvent = func(event autoround.Event) {
		if event.Kind == autoround.Iteration {
			tuned[event.Block] = true
		}
	}
	result, err := autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, options)
	check(t, err)
	check(t, result.Close())
	if tuned[0] || !tuned[1] {
		t.Errorf("tuned %v", tuned)
	}
	requireExpected(t, toy.output)
}
