package host

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/metrics"
	"github.com/wasmhost/wasmhost/host/worker"
)

// canaryTick is how often it is looked whether a candidate is still wanted.
const canaryTick = 200 * time.Millisecond

// canary compares a candidate with the version that is served: see
// [State.Propose]. One goroutine owns it and writes its report; tasks that come by
// are its witnesses. The candidate serves nothing, so whatever becomes of it, the
// version that is served is in nobody's way.
type canary struct {
	keeper  *keeper
	request worker.Request
	against *version
	version *version      // the candidate
	news    chan struct{} // holds one

	mu     sync.Mutex
	seen   map[string]bool   // tasks that were taken up
	begun  map[string]*Doing // what the candidate did with those whose real run has not ended
	report Canary
}

// candidates takes up those that were proposed since.
func (f *fleet) candidates(ctx context.Context) error {
	names, err := f.proposed.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !f.proposed.Wanted(name) {
			if err := f.proposed.Sweep(name); err != nil {
				f.host.log.Warn("a candidate that nobody wants any more is still there", "worker", name, "error", err)
			}
			continue
		}
		request, err := f.proposed.Request(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it comes
		}
		if err != nil {
			return err
		}
		k := f.keeper(name)
		if request.ID == k.compared {
			continue
		}
		k.compared = request.ID
		var before Canary
		if there, err := f.proposed.Reported(name, request, &before); err != nil || there && before.State.over() {
			continue
		}
		c := &canary{
			keeper: k, request: request, news: make(chan struct{}, 1), seen: map[string]bool{}, begun: map[string]*Doing{},
			report: Canary{Worker: name, Digest: request.Digest, Wanted: request.Tasks, Tasks: []CanaryTask{}},
		}
		f.run(func() { c.run(ctx) })
	}
	return nil
}

// run compares until it is done, not wanted any more, or ctx ends.
func (c *canary) run(ctx context.Context) {
	k := c.keeper
	log := k.fleet.host.log.With("worker", k.name, "digest", c.request.Digest[:min(12, len(c.request.Digest))])
	switch err := c.prepare(ctx); {
	case err == nil:
		defer c.dismiss()
		log.Info("a candidate is compared", "tasks", c.request.Tasks)
	case ctx.Err() != nil:
		return // the next host begins anew
	default:
		c.end(CanaryRefused, abi.MessageOf(err))
	}
	tick := time.NewTicker(canaryTick)
	defer tick.Stop()
	for {
		report := c.reported()
		if err := k.fleet.proposed.Report(k.name, c.request, report); err != nil && k.fleet.proposed.Wanted(k.name) {
			log.Warn("the report on a candidate is not written", "error", err)
		}
		if report.State.over() {
			log.Info("a candidate was compared", "state", report.State, "reason", report.Reason, "compared", report.Compared, "different", report.Different)
			if report.State == CanaryDone {
				k.tell(ctx, "worker:compared", map[string]any{
					"digest": report.Digest, "version": report.Version, "against": report.Against, "compared": report.Compared, "different": report.Different,
				})
			}
			return
		}
		for wait := true; wait; {
			select {
			case <-ctx.Done():
				return
			case <-c.news:
				wait = false
			case <-tick.C:
				if !k.fleet.proposed.Wanted(k.name) {
					log.Info("a candidate was taken back")
					return // the folder is swept at the next look
				}
				wait = k.current() == c.against
			}
		}
		if k.current() != c.against {
			c.end(CanaryRefused, "another version of the worker came to be served meanwhile")
		}
	}
}

// current is the version that is served.
func (k *keeper) current() *version {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.serving
}

// prepare admits the candidate, as far as a version is that is not to be served,
// and lets tasks come to it.
func (c *canary) prepare(ctx context.Context) error {
	k, h := c.keeper, c.keeper.fleet.host
	f, err := k.fleet.proposed.Load(k.name, c.request, h.cfg.Engine.MaxModuleBytes)
	if err != nil {
		return err
	}
	if err := k.fleet.policy.Check(f); err != nil {
		return err
	}
	record, err := k.fleet.history.Record(k.name)
	if err != nil {
		return err
	}
	if v := k.permitted(f, record); v.State != worker.Ready {
		return abi.Errorf(abi.NotGranted, "%s", v.Reason)
	}
	switch serving := k.current(); {
	case serving == nil:
		return abi.Errorf(abi.Unavailable, "no version of %s is served that it could be compared with", k.name)
	case serving.digest == f.Digest:
		return abi.Errorf(abi.Conflict, "it is the version that is served")
	}
	module, err := k.fleet.compile(ctx, f)
	if err != nil {
		return err
	}
	v := newVersion(f, module)
	k.mu.Lock()
	c.version, c.against = v, k.serving
	if c.against != nil {
		k.canary = c
	}
	k.mu.Unlock()
	if c.against == nil {
		k.retire(v)
		return abi.Errorf(abi.Unavailable, "no version of %s is served any more", k.name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.State, c.report.Version = CanaryComparing, v.name()
	c.report.Against, c.report.AgainstVersion = c.against.digest, c.against.name()
	return nil
}

// dismiss lets no more tasks come, and ends what still runs on the candidate.
func (c *canary) dismiss() {
	c.keeper.mu.Lock()
	c.keeper.canary = nil
	c.keeper.mu.Unlock()
	c.keeper.retire(c.version)
	c.version.end()
}

// end ends the comparison, unless it has ended.
func (c *canary) end(state CanaryState, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.become(state, reason)
}

// become notes how far the comparison is, and has it reported. It needs mu.
func (c *canary) become(state CanaryState, reason string) {
	if !c.report.State.over() {
		c.report.State, c.report.Reason = state, reason
	}
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// reported is the report as it stands.
func (c *canary) reported() Canary {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.report
	r.Tasks = r.Tasks[:len(r.Tasks):len(r.Tasks)]
	return r
}

// claim says whether a task is to be compared, once.
func (c *canary) claim(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[id] || c.report.State != CanaryComparing || c.report.Compared+len(c.begun) >= c.request.Tasks {
		return false
	}
	c.seen[id], c.begun[id] = true, nil
	return true
}

// rehearsed notes what the candidate did with a task.
func (c *canary) rehearsed(id string, did *Doing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun[id] = did
}

// skip gives up on a task that cannot be compared.
func (c *canary) skip(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.begun, id)
	c.report.Skipped++
	c.become(CanaryComparing, "")
}

// awaits says whether a task's real run is to be compared.
func (c *canary) awaits(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun[id] != nil
}

// heard takes in what became of a task whose run was watched.
func (c *canary) heard(j *job, result []byte, bill metrics.Bill, err error) {
	old := doing(j.watch, result, bill, err)
	if !old.comparable() || j.once != nil && j.once.recalled {
		c.skip(j.task.ID)
		return
	}
	c.compare(j.task.ID, j.task.Kind, old)
}

// compare notes what the version that is served did with the same task.
func (c *canary) compare(id, kind string, old *Doing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	did := c.begun[id]
	delete(c.begun, id)
	if c.report.State.over() {
		return
	}
	t := CanaryTask{ID: id, Kind: kind, Old: old.Brief, New: did.Brief, Differences: differences(old, did)}
	if len(t.Differences) > 0 {
		if c.report.Different++; c.report.Different > shownDifferent {
			t.Differences = brief(t.Differences)
		}
	}
	c.report.Tasks = append(c.report.Tasks, t)
	c.report.Compared++
	switch {
	case c.report.Compared >= c.request.Tasks:
		c.become(CanaryDone, "")
	case did.Code == abi.DeadlineExceeded.String() && old.Code != did.Code:
		c.become(CanaryDone, "it ran out of time, and holds up no more tasks")
	default:
		c.become(CanaryComparing, "")
	}
}
