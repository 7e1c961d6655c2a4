package autoround_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	autoround "github.com/libautoround/libautoround/bindings/go"
)

func failed(t *testing.T, err error, code autoround.Code) *autoround.Error {
	t.Helper()
	var said *autoround.Error
	if !errors.As(err, &said) {
		t.Fatalf("%v is no *Error", err)
	}
	if said.Code != code || said.Message == "" {
		t.Fatalf("%v: %+v, not %v", err, *said, code)
	}
	return said
}

func TestBadPath(t *testing.T) {
	_, err := autoround.Open("/no/such/model")
	said := failed(t, err, autoround.NotFound)
	if !strings.HasPrefix(said.Subject, "/no/such/model") {
		t.Errorf("subject %q", said.Subject)
	}
	if !strings.Contains(err.Error(), "/no/such/model") || autoround.NotFound.Error() != "AUTOROUND_ERROR_NOT_FOUND" {
		t.Error(err)
	}
}

func TestARecipeErrorHasLineAndColumn(t *testing.T) {
	_, err := autoround.ParseRecipe("[default_stage.modifiers.AutoRoundModifier]\nscheme = \"W4A16\"\n  itres = 3\n", "toml")
	said := failed(t, err, autoround.Parse)
	if said.Line != 3 || said.Column != 3 || !strings.Contains(said.Message, "iters") {
		t.Errorf("%+v", *said)
	}
}

func TestARecipeKeyIsTheSubject(t *testing.T) {
	_, err := autoround.NewRecipe(autoround.Keys{"scheme": "W4A16", "weights.group_siez": 64})
	if said := failed(t, err, autoround.InvalidArgument); said.Subject != "weights.group_siez" {
		t.Errorf("%+v", *said)
	}
	_, err = autoround.NewRecipe(autoround.Keys{"scheme": []int{1}})
	failed(t, err, autoround.InvalidArgument)
}

func TestABadGroupSizeIsSaidBeforeAWeightIsRead(t *testing.T) {
	toy := newToy(t, 0)
	recipe, err := autoround.NewRecipe(autoround.Keys{"scheme": "W4A16", "weights.group_size": 128, "ignore": []string{"lm_head"}, "iters": 2})
	check(t, err)
	defer recipe.Close()
	_, err = autoround.Oneshot(t.Context(), toy.model, recipe, toy.data, nil)
	if said := failed(t, err, autoround.InvalidArgument); !strings.Contains(said.Message+said.Subject, "group_size") {
		t.Errorf("%+v", *said)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	toy := newToy(t, 0)
	for name, options := range map[string]*autoround.Options{
		"format": {Outputs: []autoround.Output{{Directory: toy.output, Format: "compresed-tensors"}}},
		"device": {Device: "cuda:99"},
	} {
		_, err := autoround.NewSession(toy.model, toy.recipe, toy.data, options)
		if !errors.Is(err, autoround.Unsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, &autoround.Options{MemoryLimit: 1000})
	failed(t, err, autoround.InvalidArgument)
}

func TestUseAfterClose(t *testing.T) {
	toy := newToy(t, 0)
	check(t, toy.model.Close())
	check(t, toy.model.Close())
	if toy.model.Architecture() != "" || len(toy.model.Blocks()) != 0 {
		t.Error("a closed model answers")
	}
	_, err := autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, nil)
	failed(t, err, autoround.InvalidState)
	check(t, toy.recipe.Close())
	failed(t, toy.recipe.Set("iters", 1), autoround.InvalidState)
}

func TestCloseInsideTheCallbackWaits(t *testing.T) {
	toy := newToy(t, 2)
	session, err := autoround.NewSession(toy.model, toy.recipe, toy.data, &autoround.Options{})
	check(t, err)
	check(t, session.Initialize(t.Context()))
	check(t, session.Close())
	failed(t, session.Start(t.Context()), autoround.InvalidState)

	var again, other error
	options := &autoround.Options{Outputs: toy.outputs()}
	options.OnEvent = func(event autoround.Event) {
		again = session.Start(t.Context())
		other = session.Close()
		toy.model.Close()
		toy.recipe.Close()
		toy.data.Close()
	}
	session, err = autoround.NewSession(toy.model, toy.recipe, toy.data, options)
	check(t, err)
	check(t, session.Initialize(t.Context()))
	err = session.Start(t.Context())
	for more := err == nil; more; {
		if _, more, err = session.NextBlock(t.Context()); more {
			err = session.SequentialEpochEnd(t.Context())
		}
		if err != nil {
			break
		}
	}
	failed(t, err, autoround.InvalidState) // closed by its own callback, after the step that called it
	failed(t, again, autoround.InvalidState)
	check(t, other)
	if _, err := os.Stat(filepath.Dir(toy.output)); err != nil {
		t.Error(err)
	}
}
