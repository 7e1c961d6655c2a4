// Quantizes a checkpoint folder: quantize MODEL_DIR CALIBRATION_FILE OUTPUT_DIR [ITERATIONS]. Ctrl-C stops it and leaves nothing behind.
//
//	PKG_CONFIG_PATH=/opt/autoround/lib/pkgconfig CGO_LDFLAGS=-Wl,-rpath,/opt/autoround/lib go build
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"

	autoround "github.com/libautoround/libautoround/bindings/go"
)

func show(event autoround.Event) {
	fmt.Printf("%5.1f %%  %s  loss %.3g\n", 100*event.Fraction, event.Name, event.Loss)
}

func run(ctx context.Context, modelDir, text, output string, iters int) error {
	model, err := autoround.Open(modelDir)
	if err != nil {
		return err
	}
	defer model.Close()
	recipe, err := autoround.NewRecipe(autoround.Keys{"scheme": "W4A16", "weights.group_size": 64, "ignore": []string{"lm_head"}, "iters": iters})
	if err != nil {
		return err
	}
	defer recipe.Close()
	data, err := autoround.NewCalibration(256)
	if err != nil {
		return err
	}
	defer data.Close()
	if err := data.SetTokenizer(filepath.Join(modelDir, "tokenizer.json")); err != nil {
		return err
	}
	if _, err := data.AddFile(text, 32, false); err != nil {
		return err
	}
	result, err := autoround.Oneshot(ctx, model, recipe, data, &autoround.Options{
		Outputs: []autoround.Output{{Directory: output, Format: "compressed-tensors"}},
		Events:  autoround.BlockEnd,
		OnEvent: show,
	})
	if err != nil {
		return err
	}
	defer result.Close()
	fmt.Printf("%d blocks tuned, written to %s\n", result.BlockCount(), output)
	return nil
}

func main() {
	iters, err := 200, error(nil)
	if len(os.Args) > 4 {
		iters, err = strconv.Atoi(os.Args[4])
	}
	if len(os.Args) < 4 || err != nil {
		fmt.Fprintf(os.Stderr, "usage: %s MODEL_DIR CALIBRATION_FILE OUTPUT_DIR [ITERATIONS]\n", os.Args[0])
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err = run(ctx, os.Args[1], os.Args[2], os.Args[3], iters)
	var failed *autoround.Error
	if errors.As(err, &failed) {
		fmt.Fprintf(os.Stderr, "%s: %s\n", failed.Subject, failed.Message) // failed.Code says what kind it is
		os.Exit(1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
