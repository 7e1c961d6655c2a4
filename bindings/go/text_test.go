package autoround_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	autoround "github.com/libautoround/libautoround/bindings/go"
)

func TestRecipeRoundTrip(t *testing.T) {
	const name = "re:.*\U0001F600é"
	recipe, err := autoround.NewRecipe(autoround.Keys{"scheme": "W4A16", "ignore": []string{name, "lm_head"}})
	check(t, err)
	defer recipe.Close()
	ignore, err := recipe.Get("ignore")
	check(t, err)
	if !strings.Contains(ignore, name) {
		t.Errorf("%q", ignore)
	}
	toml, err := recipe.Dump("toml")
	check(t, err)
	text := toml
	for _, way := range [][2]string{{"toml", "yaml"}, {"yaml", "toml"}} {
		parsed, err := autoround.ParseRecipe(text, way[0])
		check(t, err)
		text, err = parsed.Dump(way[1])
		check(t, err)
		parsed.Close()
	}
	if text != toml {
		t.Errorf("%q, then %q", toml, text)
	}
	clone, err := recipe.Clone()
	check(t, err)
	defer clone.Close()
	check(t, clone.Set("iters", int64(7)))
	if iters, _ := recipe.Get("iters"); iters == "7" {
		t.Error("a clone that is not independent")
	}
}

func TestTextUtf8(t *testing.T) {
	count := func(text string) int64 {
		data, err := autoround.NewCalibration(32)
		check(t, err)
		defer data.Close()
		check(t, data.SetTokenizer(filepath.Join(scene, "model", "tokenizer.json")))
		check(t, data.AddText(text))
		return data.Tokens()
	}
	// The toy's tokenizer knows bytes: NUL is one, U+1F600 is four; JNI's modified UTF-8 would make two and six of them.
	for text, want := range map[string]int64{"x": 1, "x\x00x": 3, "x\U0001F600x": 6, "\x00\U0001F600\x00": 6} {
		if got := count(text); got != want {
			t.Errorf("%q: %d tokens, not %d", text, got, want)
		}
	}
	data, err := autoround.NewCalibration(32)
	check(t, err)
	defer data.Close()
	check(t, data.SetTokenizer(filepath.Join(scene, "model", "tokenizer.json")))
	failed(t, data.AddText("\xff"), autoround.Parse)
	added, err := data.AddWindows(strings.Repeat("abc ", 100), 2, true)
	check(t, err)
	if added != 2 || data.Samples() != 2 {
		t.Error(added, data.Samples())
	}
}

func TestTokenArrays(t *testing.T) {
	data, err := autoround.NewCalibration(8)
	check(t, err)
	defer data.Close()
	failed(t, data.AddTokens(nil), autoround.InvalidArgument)
	failed(t, data.AddTokens([]int64{1, -2}), autoround.InvalidArgument)
	check(t, data.AddTokens([]int64{1, 2, 3}))
	check(t, data.AddTokens([]int64{9, 4, 5, 9}[1:3]))
	if data.Samples() != 2 || data.Tokens() != 5 {
		t.Error(data.Samples(), data.Tokens())
	}
}

func TestANameWithNULIsRefused(t *testing.T) {
	_, err := autoround.Open(filepath.Join(scene, "model") + "\x00/ignored")
	failed(t, err, autoround.InvalidArgument)
}

func TestPathsAreUTF8(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "modèle \U0001F600")
	check(t, os.CopyFS(directory, os.DirFS(filepath.Join(scene, "model"))))
	model, err := autoround.Open(directory)
	check(t, err)
	model.Close()
	_, err = autoround.Open(directory + "2")
	if !strings.Contains(err.Error(), directory+"2") {
		t.Error(err)
	}
}

func TestVersion(t *testing.T) {
	if !strings.Contains(autoround.BuildInfo(), autoround.Version()) {
		t.Error(autoround.BuildInfo())
	}
	if !slices.Contains(autoround.Schemes(), "W4A16") || !autoround.HasFeature("scheme.W4A16") || autoround.HasFeature("nothing") {
		t.Error(autoround.Schemes())
	}
	if !slices.Contains(autoround.Formats(), "compressed-tensors") {
		t.Error(autoround.Formats())
	}
	found := false
	for key, help := range autoround.RecipeKeys() {
		found = found || key == "weights.group_size" && help != ""
	}
	if !found {
		t.Error("no weights.group_size")
	}
	failed(t, autoround.SetThreads(-1), autoround.InvalidArgument)
}
