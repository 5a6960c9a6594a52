package host

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/queue"
)

// rehearse has the candidate of a task's worker, if there is one, do the task
// without effects, right before it is done in earnest: so both find the same rows.
// It is not of the task's time, and nothing that becomes of it is of the task's
// concern. A task that would have to wait for another dry run is not rehearsed.
func (h *Host) rehearse(ctx context.Context, d queue.Delivery) {
	if d.DryRun || d.Attempt != 1 {
		return
	}
	c, giveBack := h.fleet.candidate(d.Worker)
	if c == nil {
		return
	}
	defer giveBack()
	select {
	case h.dry <- struct{}{}:
		defer func() { <-h.dry }()
	default:
		return
	}
	if !c.claim(d.ID) {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			h.log.Error("rehearsing a task panicked", "worker", d.Worker, "task", d.ID, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			c.skip(d.ID)
		}
	}()
	did, err := h.rehearsal(ctx, c, d)
	if err != nil || !did.comparable() {
		c.skip(d.ID)
		return
	}
	c.rehearsed(d.ID, did)
}

// rehearsal runs a task on a candidate. The candidate's failure is a part of what
// it did.
func (h *Host) rehearsal(ctx context.Context, c *canary, d queue.Delivery) (*Doing, error) {
	payload, err := payloadToWire(d.Payload)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, h.workerConfig(d.Worker, c.version).Deadline)
	defer cancel()
	j := job{
		worker: d.Worker, version: c.version, unique: h.uniqueName(d), dry: h.newDryRun(c.request.Ignore...), progress: func(int64, int64) {},
		task: abi.Task{ID: d.ID, Kind: d.Kind, Payload: payload, Attempt: d.Attempt},
	}
	result, bill, err := h.run(ctx, j)
	if err != nil && !j.dry.begun {
		return nil, err
	}
	return doing(j.dry.observed, result, bill, err), nil
}

// candidate returns the canary of a worker, for one use of its candidate; nil if
// there is none.
func (f *fleet) candidate(name string) (*canary, func()) {
	f.mu.RLock()
	k := f.keepers[name]
	f.mu.RUnlock()
	if k == nil {
		return nil, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.canary
	if c == nil || k.serving != c.against {
		return nil, nil
	}
	c.version.users++
	return c, func() { k.giveBack(c.version) }
}

// witness returns the canary to which it matters what a version does with a task;
// nil for none.
func (f *fleet) witness(name, id string, v *version) *canary {
	f.mu.RLock()
	k := f.keepers[name]
	f.mu.RUnlock()
	if k == nil {
		return nil
	}
	k.mu.Lock()
	c := k.canary
	k.mu.Unlock()
	if c == nil || !c.awaits(id) {
		return nil
	}
	if v != c.against {
		c.skip(id)
		return nil
	}
	return c
}
