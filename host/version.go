package host

import (
	"context"
	"fmt"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/engine"
	"github.com/wasmhost/wasmhost/host/worker"
)

// version is a module that is served, or was and is still in use.
type version struct {
	digest   string
	manifest *abi.Manifest
	module   *engine.Module

	drained context.Context // ends when what still runs on it is to end
	end     context.CancelFunc

	// Guarded by the keeper's mu:
	users   int // tasks and calls
	retired bool
	since   health
	before  health // of the version before it
	judged  bool   // it was taken back
}

// health is how the first attempts at tasks ended.
type health struct{ ended, failed int }

func newVersion(f *worker.File, m *engine.Module) *version {
	v := &version{digest: f.Digest, manifest: f.Manifest, module: m}
	v.drained, v.end = context.WithCancel(context.Background())
	return v
}

// name is what the manifest calls it.
func (v *version) name() string {
	if v.manifest == nil {
		return ""
	}
	return v.manifest.Version
}

// health is how it did, or where it did nothing, how the one before it did.
func (v *version) health() health {
	if v.since.ended == 0 {
		return v.before
	}
	return v.since
}

// retire closes a version that is not served any more, when its last user has
// given it back. Those that take longer than the drain limit are ended.
func (k *keeper) retire(v *version) {
	k.mu.Lock()
	v.retired = true
	used := v.users > 0
	k.mu.Unlock()
	if !used {
		k.closeVersion(v)
		return
	}
	timer := time.AfterFunc(k.fleet.host.cfg.Admission.Drain, v.end)
	context.AfterFunc(v.drained, func() { timer.Stop() })
}

func (k *keeper) giveBack(v *version) {
	k.mu.Lock()
	v.users--
	last := v.retired && v.users == 0
	k.mu.Unlock()
	if last {
		k.closeVersion(v)
	}
}

func (k *keeper) closeVersion(v *version) {
	v.end()
	if err := v.module.Close(context.Background()); err != nil {
		k.fleet.host.log.Warn("closing a version of a worker", "worker", k.name, "error", err)
	}
}

// within returns a context that also ends when the version is drained for too
// long.
func (v *version) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(v.drained, cancel)
	return ctx, func() { stop(); cancel() }
}

// drainError is how an attempt ends that a drained version did not finish: it is
// tried again, on the version that is served then.
func (v *version) drainError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || v.drained.Err() == nil {
		return err
	}
	return abi.Errorf(abi.Interrupted, "another version is served, and this one was not done within the drain limit (admission.drain): %s", abi.MessageOf(err))
}

// leastFailures is how many tasks must fail before a version is taken back: one
// or two can be bad luck, or bad tasks.
const leastFailures = 3

// blames says whether a failure counts against the version: not what comes from
// outside, nor a task that was wrong.
func blames(code abi.Code) bool {
	switch code {
	case abi.OK, abi.Later, abi.Cancelled, abi.Interrupted, abi.Unavailable, abi.InvalidArgument:
		return false
	}
	return true
}

// note counts the first attempt at a task, and has a version taken back that does
// worse than the one before it: see worse.
func (k *keeper) note(v *version, code abi.Code) {
	watch := k.fleet.host.cfg.Admission.WatchTasks
	k.mu.Lock()
	v.since.ended++
	if blames(code) {
		v.since.failed++
	}
	bad := !v.judged && !v.retired && v.since.ended <= watch && v.before.ended > 0 && v.since.worse(v.before)
	v.judged = v.judged || bad
	since, before := v.since, v.before
	k.mu.Unlock()
	if !bad {
		return
	}
	reason := fmt.Sprintf("%d of its first %d tasks failed, the last with %s; of the version before it %d of %d", since.failed, since.ended, code, before.failed, before.ended)
	h := k.fleet.host
	h.log.Error("a version is taken back", "worker", k.name, "digest", v.digest[:12], "reason", reason)
	err := k.fleet.history.Change(k.name, func(r *worker.Record) {
		for i := range r.Versions {
			if r.Versions[i].Digest == v.digest {
				r.Versions[i].Bad, r.Versions[i].BadAt = reason, time.Now().UTC()
			}
		}
	})
	if err != nil {
		h.log.Error("a version cannot be taken back", "worker", k.name, "error", err)
		return
	}
	k.tell(context.Background(), "worker:rolled_back", map[string]any{"digest": v.digest, "version": v.name(), "reason": reason})
	k.nudge()
}

// worse says whether h fails more than twice as often as before.
func (h health) worse(before health) bool {
	return h.failed >= leastFailures && h.failed*before.ended > 2*before.failed*h.ended
}
