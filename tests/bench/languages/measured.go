// The twin of measured.c.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	autoround "github.com/libautoround/libautoround/bindings/go"
)

func quantize(modelDir, ids, output string, iters int) (events int, err error) {
	model, err := autoround.Open(modelDir)
	if err != nil {
		return 0, err
	}
	defer model.Close()
	recipe, err := autoround.NewRecipe(autoround.Keys{"scheme": "W4A16", "weights.group_size": 64, "ignore": []string{"lm_head"}, "iters": iters})
	if err != nil {
		return 0, err
	}
	defer recipe.Close()
	data, err := autoround.NewCalibration(256)
	if err != nil {
		return 0, err
	}
	defer data.Close()
	if _, err := data.AddJSONL(ids, "input_ids", 0); err != nil {
		return 0, err
	}
	var fractions, losses float64
	result, err := autoround.Oneshot(context.Background(), model, recipe, data, &autoround.Options{
		Outputs: []autoround.Output{{Directory: output, Format: "compressed-tensors"}},
		OnEvent: func(event autoround.Event) {
			if event.Name != "" {
				events++
			}
			fractions += event.Fraction
			losses += event.Loss
		},
	})
	if err != nil {
		return 0, err
	}
	return events, result.Close()
}

func main() {
	for {
		var output string
		var iters int
		if count, _ := fmt.Scan(&output, &iters); count != 2 {
			return
		}
		start := time.Now()
		events, err := quantize(os.Args[1], os.Args[2], output, iters)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("%.6f %d\n", time.Since(start).Seconds(), events)
	}
}
