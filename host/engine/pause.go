package engine

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// A guest that dies at once, again and again, costs the host a new sandbox each
// time, thousands a second, and the collector the old ones: others pay for it. So
// a module whose sandboxes died several times in a row waits before it gets the
// next one, ever longer. One good end and it is as before.
const (
	deathsFree = 4
	firstPause = time.Millisecond
	mostPause  = 100 * time.Millisecond
)

// deaths counts sandboxes of a module that ended in any way but a return, since
// one returned.
type deaths struct{ inRow atomic.Int64 }

func (d *deaths) note(died bool) {
	if died {
		d.inRow.Add(1)
	} else {
		d.inRow.Store(0)
	}
}

// pause is how long the module waits now.
func (d *deaths) pause() time.Duration {
	n := d.inRow.Load() - deathsFree
	if n <= 0 {
		return 0
	}
	if n > 8 {
		return mostPause
	}
	return min(firstPause<<(n-1), mostPause)
}

// wait lets the pause go by, or ctx end.
func (m *Module) wait(ctx context.Context) error {
	pause := m.deaths.pause()
	if pause == 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return abi.Errorf(abi.CodeOf(ctx.Err()), "waiting for a sandbox of %s, whose last ones died: %w", m.name, ctx.Err())
	}
}
