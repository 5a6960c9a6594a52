package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

func TestPaceOfTables(t *testing.T) {
	t.Parallel()
	var p pace
	now := time.Now()
	const megabyte = 1 << 20 // takes 31.25 ms of the rate
	for i, want := range []time.Duration{0, 0, 12500 * time.Microsecond, 43750 * time.Microsecond} {
		if got := p.take(now, megabyte); got != want {
			t.Errorf("sandbox %d waits %v, want %v", i, got, want)
		}
	}
	if got := p.take(now.Add(time.Second), megabyte); got != 0 {
		t.Errorf("after a second one waits %v", got)
	}
	if got := p.take(now.Add(time.Second), 0); got != 0 {
		t.Errorf("one without tables waits %v", got)
	}
}

// What is made anew for each task is what counts: tables that no code can change
// stay with a sandbox that is reset.
func TestPaceIsForNewSandboxes(t *testing.T) {
	t.Parallel()
	e := newEngine(t, Config{})
	for name, want := range map[string]struct{ tables, paid bool }{
		"tables_full": {tables: true, paid: true},
		"good":        {},
	} {
		m, err := e.Compile(t.Context(), name, hostileWasm(t, name), ModuleConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			m.pace.take(time.Now(), m.tables)
		}
		if got := m.tables > 0; got != want.tables {
			t.Errorf("%s: tables of %d bytes", name, m.tables)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, s := range m.idle {
			s.close(context.Background())
		}
		m.idle = nil
		if _, err := m.take(ctx); errors.Is(err, abi.Cancelled) != want.paid {
			t.Errorf("%s: got %v", name, err)
		}
		m.Close(context.Background())
	}
}
