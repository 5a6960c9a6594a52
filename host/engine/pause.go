package engine

import (
	"context"
	"sync"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// A guest that dies at once, again and again, costs the host a new sandbox each
// time, thousands a second, and the collector the old ones; one that dies of its
// stack costs it tens of megabytes of that. Others pay for it. So a module whose
// sandboxes died several times in a row waits before it gets the next one, ever
// longer, and at least a hundred times as long as the last one took: it gets no
// more than a hundredth of a processor. One good end and it is as before.
const (
	deathsFree  = 4
	firstPause  = time.Millisecond
	mostPause   = 100 * time.Millisecond // by the number of deaths
	restForWork = 100                    // by what the last one took
	mostRest    = 10 * time.Second
)

// deaths is about the sandboxes of a module that ended in any way but a return,
// since one returned.
type deaths struct {
	mu    sync.Mutex
	inRow int
	until time.Time // the next sandbox is not before
}

// note is told of each end, and which time of a processor came to it.
func (d *deaths) note(now time.Time, died bool, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !died {
		d.inRow, d.until = 0, time.Time{}
		return
	}
	d.inRow++
	n := d.inRow - deathsFree
	if n <= 0 {
		return
	}
	byNumber := min(firstPause<<min(n-1, 10), mostPause)
	byWork := min(took, mostRest/restForWork) * restForWork
	d.until = now.Add(max(byNumber, byWork))
}

// pause is how long the module waits from now on.
func (d *deaths) pause(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(d.until.Sub(now), 0)
}

// wait lets the pause go by, or ctx end.
func (m *Module) wait(ctx context.Context, pause time.Duration) error {
	if pause == 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return abi.Errorf(abi.CodeOf(ctx.Err()), "waiting for a sandbox of %s, which gets them more slowly for what its last ones cost: %w", m.name, ctx.Err())
	}
}
