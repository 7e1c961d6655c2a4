package autoround_test

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	autoround "github.com/libautoround/libautoround/bindings/go"
)

func residentKiB(t *testing.T) int {
	t.Helper()
	runtime.GC()
	status, err := os.ReadFile("/proc/self/statm")
	check(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(status))[1])
	check(t, err)
	return pages * os.Getpagesize() / 1024
}

func TestFailingCallsLeakNothing(t *testing.T) {
	path := "/no/such/" + strings.Repeat("x", 200)
	recipe, err := autoround.NewRecipe(nil)
	check(t, err)
	defer recipe.Close()
	fail := func(times int) {
		for range times {
			if _, err := autoround.Open(path); err == nil {
				t.Fatal("no error")
			}
			if recipe.Set("no_such_key", path) == nil {
				t.Fatal("no error")
			}
		}
	}
	fail(5000)
	before, handles := residentKiB(t), autoround.LiveHandles("")
	fail(50000)
	after := residentKiB(t)
	t.Logf("resident KiB before 100,000 failing calls: %d, after: %d", before, after)
	if after-before > 8*1024 || autoround.LiveHandles("") != handles || autoround.LiveHandles("error") != 0 {
		t.Errorf("%d KiB and %d handles more", after-before, autoround.LiveHandles("")-handles)
	}
}

func TestRunsLeakNothing(t *testing.T) {
	toy := newToy(t, 1)
	run := func() {
		result, err := autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, &autoround.Options{OnEvent: func(autoround.Event) {}})
		check(t, err)
		result.Close()
	}
	run()
	handles := autoround.LiveHandles("")
	for range 20 {
		run()
	}
	if now := autoround.LiveHandles(""); now != handles {
		t.Errorf("%d handles, %d before", now, handles)
	}
}

func TestWhatIsForgottenIsFreed(t *testing.T) {
	handles := autoround.LiveHandles("")
	for range 100 {
		_, err := autoround.NewRecipe(nil)
		check(t, err)
		_, err = autoround.NewCalibration(8)
		check(t, err)
	}
	for deadline := time.Now().Add(10 * time.Second); autoround.LiveHandles("") > handles; {
		if time.Now().After(deadline) {
			t.Fatalf("%d handles, %d before", autoround.LiveHandles(""), handles)
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
}
