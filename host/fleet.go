package host

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/engine"
	"github.com/wasmhost/wasmhost/host/worker"
)

// firstLook is how long a host waits, when it starts, for files to settle. One
// that somebody still writes is admitted when it is whole.
const firstLook = time.Second

// fleet is the set of workers: who is in the folder, and which version of each is
// served. Each worker has a [keeper], which decides about it alone, so that a slow
// module is in nobody's way; modules are compiled one at a time, beside the tasks.
type fleet struct {
	host     *Host
	folder   *worker.Folder
	history  *worker.History
	proposed *worker.Candidates
	policy   worker.Policy
	compiler chan struct{} // the token of who compiles

	mu        sync.RWMutex
	keepers   map[string]*keeper
	decisions worker.Decisions
	run       func(func()) // starts a goroutine; nil unless Run runs
	ctx       context.Context
}

func newFleet(h *Host) *fleet {
	a := h.cfg.Admission
	return &fleet{
		host: h, keepers: map[string]*keeper{}, decisions: worker.Decisions{}, compiler: make(chan struct{}, 1),
		folder:  worker.NewFolder(h.cfg.WorkersDir, h.cfg.Engine.MaxModuleBytes),
		history: worker.OpenHistory(h.cfg.StateDir), proposed: worker.OpenCandidates(h.cfg.StateDir),
		policy: worker.Policy{RequireSignature: a.RequireSignature, TrustedKeys: a.TrustedKeys},
	}
}

// open admits what is in the folder, one after the other. Only ctx ends it early.
func (f *fleet) open(ctx context.Context) error {
	decisions, err := worker.ReadDecisions(f.host.cfg.StateDir)
	if err != nil {
		return err
	}
	f.decisions = decisions
	f.sweep()
	for limit := time.Now().Add(firstLook); ; {
		changes, again, err := f.look()
		if err != nil {
			return err
		}
		for _, c := range changes {
			k := f.keeper(c.Name)
			k.file(c)
			k.decide(ctx)
			if ctx.Err() != nil {
				return abi.Errorf(abi.CodeOf(ctx.Err()), "admitting the worker %s: %w", c.Name, ctx.Err())
			}
		}
		if !again || time.Now().After(limit) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// look finishes what others have left half done, and looks at the folder.
func (f *fleet) look() ([]worker.Change, bool, error) {
	cfg := f.host.cfg
	busy, err := worker.FinishPlacing(cfg.StateDir, cfg.WorkersDir, cfg.Engine.MaxModuleBytes)
	if err != nil {
		f.host.log.Error("what a killed process began to deploy is not there", "error", err)
	}
	return f.folder.Look(busy...)
}

// sweep removes what processes have left that were killed while no host ran.
func (f *fleet) sweep() {
	worker.SweepDecisions(f.host.cfg.StateDir)
	if err := f.history.Sweep(); err != nil {
		f.host.log.Warn("what a killed host left is still there", "error", err)
	}
	names, _ := f.proposed.Names() // they are looked at again
	for _, name := range names {
		if !f.proposed.Wanted(name) {
			_ = f.proposed.Sweep(name)
		}
	}
}

// follow follows the folder and the operator's decisions until ctx ends.
func (f *fleet) follow(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	f.mu.Lock()
	f.ctx, f.run = ctx, all.Go
	for _, k := range f.keepers {
		f.run(func() { k.keep(ctx) })
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.run = nil
		f.mu.Unlock()
	}()
	log := f.host.log
	wrong := ""
	say := func(err error) {
		if text := err.Error(); text != wrong {
			wrong = text
			log.Error("workers stay as they are", "error", err)
		}
	}
	worker.Follow(ctx, []string{f.host.cfg.WorkersDir}, log, func() (again bool) {
		decisions, err := worker.ReadDecisions(f.host.cfg.StateDir)
		if err != nil {
			say(err)
		} else if !reflect.DeepEqual(decisions, f.decided()) {
			f.mu.Lock()
			f.decisions = decisions
			f.mu.Unlock()
			f.wake()
		}
		if err := f.candidates(ctx); err != nil {
			say(err)
		}
		changes, again, err := f.look()
		if err != nil {
			say(err)
			return false
		}
		for _, c := range changes {
			f.keeper(c.Name).file(c)
		}
		return again
	})
}

func (f *fleet) decided() worker.Decisions {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.decisions
}

// keeper returns a worker's keeper, which begins to work if Run runs.
func (f *fleet) keeper(name string) *keeper {
	f.mu.Lock()
	defer f.mu.Unlock()
	k, ok := f.keepers[name]
	if !ok {
		k = newKeeper(f, name)
		f.keepers[name] = k
		if f.run != nil {
			ctx := f.ctx
			f.run(func() { k.keep(ctx) })
		}
	}
	return k
}

func (f *fleet) all() []*keeper {
	f.mu.RLock()
	defer f.mu.RUnlock()
	all := make([]*keeper, 0, len(f.keepers))
	for _, name := range slices.Sorted(maps.Keys(f.keepers)) {
		all = append(all, f.keepers[name])
	}
	return all
}

// compile compiles a module when it is its turn.
func (f *fleet) compile(ctx context.Context, file *worker.File) (*engine.Module, error) {
	select {
	case f.compiler <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-f.compiler }()
	return f.host.compile(ctx, file)
}

// wake makes every keeper decide anew.
func (f *fleet) wake() {
	for _, k := range f.all() {
		k.nudge()
	}
}

// infos describes the workers, by name.
func (f *fleet) infos() []worker.Info {
	var infos []worker.Info
	for _, k := range f.all() {
		k.mu.Lock()
		if k.info.Name != "" {
			infos = append(infos, k.info)
		}
		k.mu.Unlock()
	}
	return infos
}

// take returns the version of a worker that is served, for one use. It is the
// caller's until it is given back, whatever is served by then. Code: Unavailable.
func (f *fleet) take(name string) (v *version, giveBack func(), err error) {
	f.mu.RLock()
	k := f.keepers[name]
	f.mu.RUnlock()
	if k != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		if v = k.serving; v != nil {
			v.users++
			return v, func() { k.giveBack(v) }, nil
		}
	}
	return nil, nil, abi.Errorf(abi.Unavailable, "no version of the worker %q is served at the moment", name)
}

// served are the versions that are served, by the worker's name.
func (f *fleet) served() map[string]*version {
	served := map[string]*version{}
	for _, k := range f.all() {
		k.mu.Lock()
		if k.serving != nil {
			served[k.name] = k.serving
		}
		k.mu.Unlock()
	}
	return served
}

// given is what a worker has been given, in the configuration and beside it.
func (f *fleet) given(name string, cfg *config.Config, m *abi.Manifest) []worker.Ask {
	given := []worker.Ask{configAsk(cfg.Worker(name))}
	switch cfg.Admission.NewWorkers {
	case config.TrustManifest:
		return append(given, worker.AskOf(m))
	case config.TrustNone:
		return given
	}
	return append(given, f.decided()[name].Asks()...)
}

// close frees the modules. No task may run.
func (f *fleet) close() {
	for _, k := range f.all() {
		k.mu.Lock()
		v := k.serving
		k.serving = nil
		k.mu.Unlock()
		if v != nil {
			k.retire(v)
		}
	}
}
