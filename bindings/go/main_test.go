package autoround_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	autoround "github.com/libautoround/libautoround/bindings/go"
)

// scene is the folder that tests/bindings/scene.sh makes: a toy checkpoint, samples, a recipe, and the command line's output.
var scene = os.Getenv("AUTOROUND_TEST_SCENE")

func TestMain(m *testing.M) {
	if scene == "" {
		fmt.Println("skipped: AUTOROUND_TEST_SCENE names no folder that tests/bindings/scene.sh made")
		return
	}
	os.Exit(m.Run())
}

// toy is what a run needs; iters 0 leaves the recipe's.
type toy struct {
	model  *autoround.Model
	recipe *autoround.Recipe
	data   *autoround.Calibration
	output string
}

func newToy(t *testing.T, iters int) toy {
	t.Helper()
	toy, closed := openToy(t, iters)
	t.Cleanup(closed)
	toy.output = filepath.Join(t.TempDir(), "out")
	return toy
}

// openToy gives a toy without an output, and what closes it.
func openToy(t *testing.T, iters int) (toy, func()) {
	t.Helper()
	model, err := autoround.Open(filepath.Join(scene, "model"))
	check(t, err)
	recipe, err := autoround.LoadRecipe(filepath.Join(scene, "recipe.toml"))
	check(t, err)
	if iters > 0 {
		check(t, recipe.Set("iters", iters))
	}
	data, err := autoround.NewCalibration(16)
	check(t, err)
	added, err := data.AddFile(filepath.Join(scene, "ids.jsonl"), 0, false)
	check(t, err)
	if added != 8 {
		t.Fatalf("%d samples added, not 8", added)
	}
	return toy{model: model, recipe: recipe, data: data}, func() {
		model.Close()
		recipe.Close()
		data.Close()
	}
}

func (t toy) outputs() []autoround.Output {
	return []autoround.Output{{Directory: t.output, Format: "compressed-tensors"}}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// contents is every file of a folder, by name.
func contents(t *testing.T, directory string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(directory)
	check(t, err)
	for _, entry := range entries {
		bytes, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		check(t, err)
		files[entry.Name()] = string(bytes)
	}
	return files
}

func requireExpected(t *testing.T, directory string) {
	t.Helper()
	want, got := contents(t, filepath.Join(scene, "expected")), contents(t, directory)
	if !maps.Equal(want, got) {
		t.Fatalf("other bytes than the command line's; files %v, wanted %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}
