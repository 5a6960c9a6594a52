package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

func TestPauseGrowsWithDeathsInARow(t *testing.T) {
	t.Parallel()
	var d deaths
	var got []time.Duration
	for range 14 {
		got = append(got, d.pause()/time.Millisecond)
		d.note(true)
	}
	want := []time.Duration{0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 100, 100}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	if d.note(false); d.pause() != 0 {
		t.Error("a good end leaves a pause")
	}
}

func TestPauseEndsWithTheContext(t *testing.T) {
	t.Parallel()
	m := compile(t, minimalTrap().bytes(), ModuleConfig{})
	for range 20 {
		m.deaths.note(true)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := runTask(ctx, m, &hostileEnv{}); !errors.Is(err, abi.Cancelled) {
		t.Errorf("got %v", err)
	}
}

// Deaths are counted where sandboxes come back.
func TestDeathsOfAModule(t *testing.T) {
	t.Parallel()
	m := newModule(t, ModuleConfig{})
	for i, kind := range []string{"panic", "exit", "echo", "panic"} {
		_, _ = run(t, m, &fakeEnv{}, kind, "")
		if got, want := m.deaths.inRow.Load(), []int64{1, 2, 0, 1}[i]; got != want {
			t.Errorf("after %s: %d in a row, want %d", kind, got, want)
		}
	}
}
