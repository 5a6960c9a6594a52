package host

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/metrics"
)

// databases are how tasks come to the handles: all to the same stores, or each
// to stores of its own, which those that follow use again.
type databases struct {
	cfg config.Data
	log *slog.Logger

	mu     sync.Mutex
	shared *data.Handles   // with the adapter daemon
	idle   []*data.Handles // with direct, which no task uses
	all    []map[string]*lazyStore
	closed bool
}

// newDatabases opens all databases once, so that the log says now which cannot
// be.
func newDatabases(ctx context.Context, cfg config.Data, log *slog.Logger) *databases {
	d := &databases{cfg: cfg, log: log}
	stores := newStores(cfg, log)
	d.all = append(d.all, stores)
	for _, name := range slices.Sorted(maps.Keys(stores)) {
		_, _ = stores[name].get(ctx) // it logs what is wrong
	}
	if h := handlesOf(cfg, stores); cfg.Adapter == config.Direct {
		d.idle = append(d.idle, h)
	} else {
		d.shared = h
	}
	return d
}

// take returns the handles for a task, which gives them back when it is over.
func (d *databases) take() (_ *data.Handles, giveBack func(), _ error) {
	if d.shared != nil {
		return d.shared, func() {}, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, nil, abi.Errorf(abi.Unavailable, "the databases are closed")
	}
	var h *data.Handles
	if n := len(d.idle); n > 0 {
		h, d.idle = d.idle[n-1], d.idle[:n-1]
	} else {
		stores := newStores(d.cfg, d.log)
		d.all = append(d.all, stores)
		h = handlesOf(d.cfg, stores)
	}
	return h, func() { d.back(h) }, nil
}

func (d *databases) back(h *data.Handles) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = h.Close() // nobody is left who could be told
		return
	}
	d.idle = append(d.idle, h)
}

// stats returns what the stores of each handle hold and have written, together.
func (d *databases) stats() map[string]metrics.Database {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := map[string]metrics.Database{}
	for _, stores := range d.all {
		for name, s := range stores {
			n := sum[name]
			st := s.stats()
			n.Connections += st.Connections
			n.Statements += st.Statements
			n.MemoryBytes += st.MemoryBytes
			n.Waiting += st.Waiting
			n.Groups += st.Groups
			n.Batches += st.Batches
			n.Again += st.Again
			n.Committing += st.Committing
			sum[name] = n
		}
	}
	return sum
}

// Close closes what no task uses. A task that is still running, which no run of
// the host leaves behind, closes its own.
func (d *databases) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	var all []error
	if d.shared != nil {
		all = append(all, d.shared.Close())
	}
	for _, h := range d.idle {
		all = append(all, h.Close())
	}
	d.idle = nil
	return errors.Join(all...)
}
