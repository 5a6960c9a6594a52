package host_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/wasmhost/wasmhost/host"
)

// countdown is a context that is cancelled when it is looked at for the nth
// time.
type countdown struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int64
}

func (c *countdown) Done() <-chan struct{} {
	if c.left.Add(-1) == 0 {
		c.cancel()
		runtime.Gosched() // who waits for it, as database/sql does, may act before the caller looks
	}
	return c.Context.Done()
}

// A host that is interrupted while it starts has nothing to complain about.
func TestInterruptedWhileStarting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h, err := host.New(t.Context(), w.config(), slog.New(slog.DiscardHandler))
	w.must(err)
	defer func() { w.must(h.Close()) }()
	for n := int64(1); ; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		c := &countdown{Context: ctx, cancel: cancel}
		c.left.Store(n)
		stopped := make(chan struct{})
		go func() {
			select {
			case <-h.Ready():
				cancel()
			case <-stopped:
			}
		}()
		err := h.Run(c)
		close(stopped)
		cancel()
		if err == nil {
			if n < 10 {
				t.Fatalf("the host started before it looked %d times whether it should", n)
			}
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted at look %d: %v", n, err)
		}
	}
}
