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
	"github.com/wasmhost/wasmhost/host/data/sqlite"
	"github.com/wasmhost/wasmhost/host/metrics"
)

// databases are how tasks come to the handles: all to the same stores, or each
// to stores of its own, which those that follow use again.
type databases struct {
	cfg   config.Data
	files map[string]*file // by handle
	log   *slog.Logger

	mu     sync.Mutex
	shared *data.Handles   // with the adapter daemon
	idle   []*data.Handles // with direct, which no task uses
	closed bool
}

// newDatabases opens all databases once, so that the log says now which cannot
// be.
func newDatabases(ctx context.Context, cfg config.Data, log *slog.Logger) *databases {
	d := &databases{cfg: cfg, files: newFiles(cfg), log: log}
	stores := newStores(cfg, d.files, log)
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
		h = handlesOf(d.cfg, newStores(d.cfg, d.files, d.log))
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

// stats returns the figures of each handle, summed up over its stores.
func (d *databases) stats() map[string]sqlite.Stats {
	all := make(map[string]sqlite.Stats, len(d.files))
	for name, f := range d.files {
		all[name] = f.stats()
	}
	return all
}

// figures is stats for the metrics.
func (d *databases) figures() metrics.Databases {
	f := metrics.Databases{Handles: make(map[string]metrics.Database, len(d.files))}
	f.PageCache, _ = sqlite.PageCache()
	for name, s := range d.stats() {
		f.Handles[name] = metrics.Database{
			Connections: s.Connections, Statements: s.Statements, Waiting: s.Waiting, Locked: s.Locked,
			Groups: s.Groups, Batches: s.Batches, Again: s.Again, Committing: s.Committing,
		}
	}
	return f
}
