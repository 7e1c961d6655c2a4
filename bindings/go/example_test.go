package autoround_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	autoround "github.com/libautoround/libautoround/bindings/go"
)

func Example() {
	model, err := autoround.Open(filepath.Join(scene, "model"))
	if err != nil {
		panic(err)
	}
	defer model.Close()
	recipe, err := autoround.NewRecipe(autoround.Keys{"scheme": "W4A16", "weights.group_size": 32, "ignore": []string{"lm_head"}, "iters": 3})
	if err != nil {
		panic(err)
	}
	defer recipe.Close()
	data, err := autoround.NewCalibration(16)
	if err != nil {
		panic(err)
	}
	defer data.Close()
	if _, err := data.AddFile(filepath.Join(scene, "ids.jsonl"), 0, false); err != nil {
		panic(err)
	}
	parent, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(parent)
	result, err := autoround.Oneshot(context.Background(), model, recipe, data, &autoround.Options{
		Outputs: []autoround.Output{{Directory: filepath.Join(parent, "quantized"), Format: "compressed-tensors"}},
		Events:  autoround.BlockEnd,
		OnEvent: func(event autoround.Event) { fmt.Printf("%3.0f %%  %s\n", 100*event.Fraction, event.Name) },
	})
	if err != nil {
		panic(err)
	}
	defer result.Close()
	fmt.Println(result.BlockCount(), "blocks tuned")
	// Output:
	//  50 %  model.layers.0
	// 100 %  model.layers.1
	// 2 blocks tuned
}

func ExampleError() {
	_, err := autoround.ParseRecipe("quantize_stage:\n  modifiers: [", "yaml")
	var failed *autoround.Error
	fmt.Println(errors.As(err, &failed), failed.Code, failed.Line)
	// Output: true AUTOROUND_ERROR_PARSE 2
}

func ExampleModel_Modules() {
	model, err := autoround.Open(filepath.Join(scene, "model"))
	if err != nil {
		panic(err)
	}
	defer model.Close()
	for module := range model.Modules() {
		if module.Class == "Linear" {
			fmt.Println(module.Name, module.Size)
			break
		}
	}
	// Output: model.layers.0.self_attn.q_proj [64 64]
}
