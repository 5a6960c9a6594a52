package engine

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

func TestPauseGrowsWithDeathsInARow(t *testing.T) {
	t.Parallel()
	var d deaths
	now := time.Now()
	var got []time.Duration
	for range 14 {
		got = append(got, d.pause(now)/time.Millisecond)
		d.note(now, true, 0)
	}
	want := []time.Duration{0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 100, 100}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if got := d.pause(now.Add(40 * time.Millisecond)); got != 60*time.Millisecond {
		t.Errorf("%v are left of it after 40 ms", got)
	}
	if got := d.pause(now.Add(time.Second)); got != 0 {
		t.Errorf("%v are left of it after a second", got)
	}
	if d.note(now, false, 0); d.pause(now) != 0 {
		t.Error("a good end leaves a pause")
	}
}

// Deaths that take long get a hundredth of a processor, and never wait for more
// than ten seconds.
func TestPauseGrowsWithWhatDeathsTake(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]time.Duration{
		50 * time.Microsecond: 5 * time.Millisecond,
		7 * time.Millisecond:  700 * time.Millisecond,
		time.Second:           10 * time.Second,
		math.MaxInt64:         10 * time.Second,
	} {
		var d deaths
		now := time.Now()
		for range deathsFree {
			d.note(now, true, took)
		}
		if got := d.pause(now); got != 0 {
			t.Errorf("%v each: a pause of %v after %d deaths", took, got, deathsFree)
		}
		if d.note(now, true, took); d.pause(now) != want {
			t.Errorf("%v each: got a pause of %v, want %v", took, d.pause(now), want)
		}
	}
}

func TestPauseEndsWithTheContext(t *testing.T) {
	t.Parallel()
	m := compile(t, minimalTrap().bytes(), ModuleConfig{})
	for range 20 {
		m.deaths.note(time.Now(), true, time.Hour)
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
		if got, want := m.deaths.inRow, []int{1, 2, 0, 1}[i]; got != want {
			t.Errorf("after %s: %d in a row, want %d", kind, got, want)
		}
	}
}
