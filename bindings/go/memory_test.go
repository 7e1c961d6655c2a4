package autoround_test

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	autoround "github.com/libautoround/libautoround/bindings/go"
)

func residentKiB(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory() // collects, and gives the system back what is free
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

func entries(t *testing.T, directory string) int {
	t.Helper()
	list, err := os.ReadDir(directory)
	check(t, err)
	return len(list)
}

// Open, quantize, close, collect. In one thread, as the C library keeps memory for each that Go may move to; without the race detector, whose own
// memory grows.
func TestRoundsAreSteady(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	round := func() {
		toy, closed := openToy(t, 1)
		defer closed()
		result, err := autoround.Oneshot(t.Context(), toy.model, toy.recipe, toy.data, &autoround.Options{OnEvent: func(autoround.Event) {}})
		check(t, err)
		result.Close()
	}
	for range 50 {
		round()
		runtime.GC() // Go starts the threads that collect when they are first needed
	}
	before, threads, descriptors := residentKiB(t), entries(t, "/proc/self/task"), entries(t, "/proc/self/fd")
	for i := range 950 {
		round()
		if i%50 == 0 {
			runtime.GC()
		}
	}
	after := residentKiB(t)
	t.Logf("resident KiB after 50 rounds: %d, after 1,000: %d", before, after)
	if after*100 >= before*101 {
		t.Errorf("%d KiB, then %d", before, after)
	}
	// Go starts threads when it likes, one at a time.
	if now := entries(t, "/proc/self/task"); now > threads+2 {
		t.Errorf("%d threads, then %d", threads, now)
	}
	if now := entries(t, "/proc/self/fd"); now != descriptors {
		t.Errorf("%d descriptors, then %d", descriptors, now)
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
