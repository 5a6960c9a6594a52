package host

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/worker"
)

// keeper decides which version of one worker is served. It decides anew whenever
// there is news: of the file, of the operator's decisions, of the configuration, of
// the health of what it serves. One goroutine decides at a time.
type keeper struct {
	fleet *fleet
	name  string
	news  chan struct{} // holds one

	provider *provider

	mu      sync.Mutex
	change  worker.Change // the latest of the folder
	changes int           // how many there were
	serving *version      // what tasks and calls begin on; nil for none
	info    worker.Info   // its Name is empty when there is no file
	canary  *canary       // nil unless a candidate is being compared

	compared string // the request of the canary that was taken up last; of the goroutine that follows

	// Of the deciding goroutine alone:
	decided int               // the change that was looked at last
	failed  map[string]string // digests that could not be admitted since, and why
}

func newKeeper(f *fleet, name string) *keeper {
	return &keeper{
		fleet: f, name: name, news: make(chan struct{}, 1), failed: map[string]string{},
		provider: &provider{host: f.host, worker: name, slots: make(chan struct{}, f.host.cfg.Worker(name).Calls)},
	}
}

// file notes what has become of the worker's file.
func (k *keeper) file(c worker.Change) {
	if c.Err == nil && c.Read != nil {
		c.Err = k.fleet.policy.Check(c.Read)
	}
	k.mu.Lock()
	k.change = c
	k.changes++
	k.mu.Unlock()
	k.nudge()
}

func (k *keeper) nudge() {
	select {
	case k.news <- struct{}{}:
	default: // it has not looked at the last one yet
	}
}

// keep decides until ctx ends.
func (k *keeper) keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.news:
			k.decide(ctx)
		}
	}
}

// decide looks at everything once and does what follows from it.
func (k *keeper) decide(ctx context.Context) {
	k.mu.Lock()
	change, n, serving := k.change, k.changes, k.serving
	k.mu.Unlock()
	if change.Name == "" {
		return
	}
	if n != k.decided {
		k.decided = n
		clear(k.failed) // what comes again is tried again
	}
	defer k.forget(n)
	record := &worker.Record{}
	if abi.ValidName(k.name) {
		var err error
		if record, err = k.fleet.history.Record(k.name); err != nil {
			k.fleet.host.log.Error("the history of a worker is lost; it begins anew", "worker", k.name, "error", err)
			record = &worker.Record{}
		}
	}
	if change.Gone {
		k.remove(ctx, record)
		return
	}
	var verdict worker.Verdict
	if change.Err != nil {
		verdict = worker.Verdict{State: worker.Refused, Reason: abi.MessageOf(change.Err)}
	} else {
		verdict = k.judge(change.Read, record)
	}
	if change.Read != nil {
		verdict.Digest = change.Read.Digest
	}
	if verdict.State == worker.Ready && (serving == nil || serving.digest != change.Read.Digest) {
		k.reconsider(record, change.Read.Digest)
		if err := k.swap(ctx, change.Read, record); err != nil {
			if ctx.Err() != nil {
				return
			}
			verdict.State, verdict.Reason = worker.Refused, abi.MessageOf(err)
		}
	}
	if verdict.State != worker.Ready {
		k.fallBack(ctx, record)
		k.mu.Lock()
		none := k.serving == nil
		k.mu.Unlock()
		if none && verdict.State == worker.Held { // beside nothing it is not held, it waits
			digest := verdict.Digest
			verdict = k.judge(change.Read, &worker.Record{Versions: record.Versions})
			verdict.Digest = digest
		}
	}
	k.settle(ctx)
	k.conclude(ctx, change, verdict, record)
}

// reconsider takes back what was said of a version that is about to be admitted,
// which can take seconds: who waits for a verdict is not to read the old one.
func (k *keeper) reconsider(record *worker.Record, digest string) {
	if record.Seen.Digest != digest || record.Seen.State == worker.Ready {
		return
	}
	record.Seen = worker.Verdict{}
	if err := k.fleet.history.Change(k.name, func(r *worker.Record) { r.Seen = worker.Verdict{} }); err != nil {
		k.fleet.host.log.Warn("the history of a worker is not written", "worker", k.name, "error", err)
	}
}

// forget drops the bytes of a change that was decided about: a module is large,
// and can be read again.
func (k *keeper) forget(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changes == n && k.change.Read != nil {
		slim := *k.change.Read
		slim.Wasm = nil
		k.change.Read = &slim
	}
}

// judge says whether a version may be served, as far as that can be said without
// compiling it again.
func (k *keeper) judge(f *worker.File, record *worker.Record) worker.Verdict {
	verdict := k.permitted(f, record)
	if why, ok := k.failed[f.Digest]; ok && verdict.State == worker.Ready {
		return worker.Verdict{State: worker.Refused, Reason: why}
	}
	return verdict
}

// permitted says whether a version may be served by what was decided, granted and
// remembered. It is for any goroutine.
func (k *keeper) permitted(f *worker.File, record *worker.Record) worker.Verdict {
	refused := func(state worker.State, format string, args ...any) worker.Verdict {
		return worker.Verdict{State: state, Reason: fmt.Sprintf(format, args...)}
	}
	decision := k.fleet.decided()[k.name]
	if p := decision.Pin; p != "" && p != f.Digest {
		return refused(worker.Held, "the worker is pinned to the version %.12s (wasmhost unpin %s)", p, k.name)
	}
	if v, ok := record.Find(f.Digest); ok && v.Bad != "" && !decision.When(f.Digest).After(v.BadAt) {
		return refused(worker.Refused, "it was taken back: %s (to try it again: wasmhost allow %s)", v.Bad, k.name)
	}
	cfg := k.fleet.host.now()
	missing := worker.AskOf(f.Manifest).Missing(k.fleet.given(k.name, cfg, f.Manifest)...)
	switch {
	case len(missing) == 0:
	case cfg.Admission.NewWorkers == config.TrustNone:
		return refused(worker.Refused, "it asks to %s, which the configuration does not grant", worker.Words(missing))
	case record.Serving != "" && record.Serving != f.Digest:
		return refused(worker.Held, "it asks for more than was granted: to %s (see: wasmhost allow %s)", worker.Words(missing), k.name)
	default:
		return refused(worker.Pending, "it asks to %s (see: wasmhost allow %s)", worker.Words(missing), k.name)
	}
	return worker.Verdict{State: worker.Ready}
}

// fallBack serves the version that may be served when the folder's may not: the
// one that is served, the pinned one, or the one before.
func (k *keeper) fallBack(ctx context.Context, record *worker.Record) {
	var try []string
	if pin := k.fleet.decided()[k.name].Pin; pin != "" {
		try = append(try, pin)
	}
	k.mu.Lock()
	serving := k.serving
	k.mu.Unlock()
	try = append(try, record.Serving)
	if before, ok := record.Before(); ok {
		try = append(try, before.Digest)
	}
	limit := k.fleet.host.cfg.Engine.MaxModuleBytes
	for _, digest := range try {
		if digest == "" {
			continue
		}
		f, err := k.fleet.history.Load(k.name, digest, limit)
		if err != nil || k.fleet.policy.Check(f) != nil || k.judge(f, record).State != worker.Ready {
			continue
		}
		if serving != nil && serving.digest == digest {
			return
		}
		if err = k.swap(ctx, f, record); err == nil || ctx.Err() != nil {
			return
		}
		k.fleet.host.log.Warn("a version that was served before is not admitted", "worker", k.name, "digest", digest[:12], "error", err)
	}
	if serving != nil {
		k.stop(ctx)
	}
}

// swap admits a version and serves it from now on. What runs on the one before
// ends there.
func (k *keeper) swap(ctx context.Context, f *worker.File, record *worker.Record) error {
	start, h := time.Now(), k.fleet.host
	if f.Wasm == nil {
		again, err := worker.Read(f.Entry, h.cfg.Engine.MaxModuleBytes)
		if err != nil {
			return err
		}
		if again.Digest != f.Digest {
			return abi.Errorf(abi.Unavailable, "the file is changing")
		}
		f = again
	}
	module, err := k.fleet.compile(ctx, f)
	if err != nil {
		if ctx.Err() == nil {
			k.failed[f.Digest] = abi.MessageOf(err)
		}
		return err
	}
	v := newVersion(f, module)
	if err := k.fleet.history.Keep(f, k.fleet.decided()[k.name].Pin); err != nil {
		k.retire(v)
		return err
	}
	from := record.Serving
	record.Serving = f.Digest
	k.mu.Lock()
	old := k.serving
	if old != nil {
		v.before = old.health()
	}
	k.serving = v
	k.mu.Unlock()
	k.settle(ctx)
	if old != nil {
		k.retire(old)
	}
	sandboxes := "snapshot"
	if ok, why := module.Snapshot(); !ok {
		sandboxes = "each started anew: " + why
	}
	h.log.Info("worker ready", "worker", k.name, "digest", f.Digest[:12], "bytes", len(f.Wasm), "sandboxes", sandboxes, "took", time.Since(start).Round(time.Millisecond))
	if from != f.Digest {
		k.tell(ctx, "worker:admitted", map[string]any{
			"digest": f.Digest, "version": v.name(), "from": from, "took_ms": time.Since(start).Milliseconds(),
		})
	}
	return nil
}

// settle makes the commands and the queue follow what is served.
func (k *keeper) settle(ctx context.Context) {
	h := k.fleet.host
	k.mu.Lock()
	v := k.serving
	k.mu.Unlock()
	if v == nil {
		return
	}
	cfg := h.workerConfig(k.name, v)
	k.provide(cfg)
	if !h.started.Load() {
		return
	}
	if err := h.state.Queue.Serve(k.name, queueConfig(cfg)); err != nil && ctx.Err() == nil {
		h.log.Error("a worker gets no tasks", "worker", k.name, "error", err)
	}
}

func queueConfig(w config.Worker) queue.WorkerConfig {
	return queue.WorkerConfig{Concurrency: w.Concurrency, Deadline: w.Deadline, MaxAttempts: w.MaxAttempts}
}

// stop serves no version. Tasks that wait go on to wait.
func (k *keeper) stop(ctx context.Context) {
	h := k.fleet.host
	_ = h.router.Provide(k.name, nil, nil) // taking back cannot fail
	k.mu.Lock()
	v := k.serving
	k.mu.Unlock()
	if h.started.Load() {
		drain, cancel := context.WithTimeout(ctx, h.cfg.Admission.Drain)
		err := h.state.Queue.Leave(drain, k.name)
		cancel()
		if err != nil && ctx.Err() == nil && v != nil {
			v.end()
			err = h.state.Queue.Leave(ctx, k.name)
		}
		if err != nil && ctx.Err() == nil {
			h.log.Error("a worker that is gone may still get tasks", "worker", k.name, "error", err)
		}
	}
	k.mu.Lock()
	k.serving = nil
	k.mu.Unlock()
	if v != nil {
		k.retire(v)
	}
}

// remove follows a file that is gone.
func (k *keeper) remove(ctx context.Context, record *worker.Record) {
	k.mu.Lock()
	was := k.info.Name != ""
	k.mu.Unlock()
	k.stop(ctx)
	if ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	k.info, k.change = worker.Info{}, worker.Change{}
	k.mu.Unlock()
	if abi.ValidName(k.name) {
		if err := k.fleet.history.Change(k.name, func(r *worker.Record) { r.Serving, r.Seen = "", worker.Verdict{} }); err != nil {
			k.fleet.host.log.Warn("the history of a worker is not written", "worker", k.name, "error", err)
		}
	}
	if was {
		k.fleet.host.log.Info("worker removed", "worker", k.name)
		k.tell(ctx, "worker:removed", map[string]any{"digest": record.Serving})
	}
}

// conclude writes down and tells what was made of the file, if that is news.
func (k *keeper) conclude(ctx context.Context, c worker.Change, verdict worker.Verdict, record *worker.Record) {
	h := k.fleet.host
	k.mu.Lock()
	v := k.serving
	info := h.state.infoOf(c)
	if v != nil {
		info.Serving, info.ServingVersion = v.digest, v.name()
		cfg := h.workerConfig(k.name, v)
		info.Concurrency, info.Deadline = cfg.Concurrency, cfg.Deadline
	}
	info.State, info.Reason = verdict.State, verdict.Reason
	k.info = info
	k.mu.Unlock()
	if before := record.Seen; before.Digest == verdict.Digest && before.State == verdict.State && before.Reason == verdict.Reason {
		return
	}
	verdict.At = time.Now().UTC()
	if abi.ValidName(k.name) {
		err := k.fleet.history.Change(k.name, func(r *worker.Record) {
			r.Seen = verdict
			if v == nil {
				r.Serving = ""
			}
		})
		if err != nil {
			h.log.Warn("the history of a worker is not written", "worker", k.name, "error", err)
		}
	}
	if verdict.State == worker.Ready {
		return
	}
	h.log.Warn("worker "+string(verdict.State), "worker", k.name, "file", c.File, "reason", verdict.Reason)
	name := "worker:held"
	if verdict.State == worker.Refused {
		name = "worker:refused"
	}
	k.tell(ctx, name, map[string]any{"digest": verdict.Digest, "state": verdict.State, "reason": clipText(verdict.Reason), "serving": info.Serving})
}

// tell records an event of the worker's life.
func (k *keeper) tell(ctx context.Context, name string, data map[string]any) {
	data["worker"] = k.name
	b, err := json.Marshal(data)
	if err == nil {
		_, err = k.fleet.host.state.Events.Emit(ctx, command.Event{Name: name, Data: b})
	}
	if err != nil && ctx.Err() == nil {
		k.fleet.host.log.Warn("news of a worker were not told", "worker", k.name, "event", name, "error", err)
	}
}
