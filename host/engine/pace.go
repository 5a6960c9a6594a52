package engine

import (
	"sync"
	"time"
)

// The tables of a sandbox are memory of the host's own heap. A module that cannot
// start from a snapshot gets new ones for each task, and the collector the old
// ones, which costs the others more than the work of the task does. So what its
// sandboxes take of the heap a second is bounded. A compiler's table is some
// kilobytes: hundreds of sandboxes a second stay far below.
const (
	tableBytesPerSecond = 32 << 20
	tableBurst          = 50 * time.Millisecond // of that rate
	tableElementBytes   = 8
)

// pace is when a module may have its next sandbox because of its tables.
type pace struct {
	mu   sync.Mutex
	paid time.Time // until when the rate is used up
}

// take uses up bytes of the rate and returns how long to wait first.
func (p *pace) take(now time.Time, bytes int64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paid.Before(now) {
		p.paid = now
	}
	wait := max(p.paid.Sub(now)-tableBurst, 0)
	p.paid = p.paid.Add(time.Duration(bytes) * time.Second / tableBytesPerSecond)
	return wait
}
