package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/command/ai"
	"github.com/wasmhost/wasmhost/host/data/sqlite"
	"github.com/wasmhost/wasmhost/host/engine"
	"github.com/wasmhost/wasmhost/host/metrics"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/web"
	"github.com/wasmhost/wasmhost/host/worker"
)

// drainLimit is how long running tasks may go on after a host was told to
// stop. What has not ended by then is taken up again after the next start.
const drainLimit = 10 * time.Second

// webLimit is how long requests may go on after the last task.
const webLimit = time.Second

// Host serves the workers of one folder: see fleet.
type Host struct {
	cfg       *config.Config                // that it was started with
	live      atomic.Pointer[config.Config] // see now
	log       *slog.Logger
	unlock    func() error // of the state folder
	state     *State
	engine    *engine.Engine
	databases *databases
	router    *command.Router
	models    *ai.Service
	outside   outside
	metrics   *metrics.Metrics
	oldest    time.Time // when the oldest task was submitted that had not ended when Run began; zero for none
	fleet     *fleet
	started   atomic.Bool // tasks are taken
	web       *web.Server // nil unless it is configured, and while Run does not run
	ready     chan struct{}
	floor     []byte        // see engine.HeapFloor
	dry       chan struct{} // has the token of the dry run that runs
}

// New opens all that the host needs and compiles the workers. It fails when
// the host itself cannot work: its state folder is in use or not writable. A
// worker or database that is unusable is logged, and listed by [Host.Workers].
//
// Close the host when done, after Run has returned.
func New(ctx context.Context, cfg *config.Config, log *slog.Logger) (_ *Host, err error) {
	h := &Host{cfg: cfg, log: log, metrics: metrics.New(), floor: make([]byte, engine.HeapFloor), ready: make(chan struct{}), dry: make(chan struct{}, 1)}
	h.live.Store(cfg)
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	if h.state, err = OpenState(ctx, cfg, log); err != nil {
		return nil, err
	}
	if h.unlock, err = LockState(cfg.StateDir); err != nil {
		return nil, err
	}
	if h.outside, err = openOutside(ctx, cfg.Orchestrator, h.state, log); err != nil {
		return nil, err
	}
	if h.outside.client != nil {
		h.metrics.WatchOrchestrator(h.outside.figures)
	}
	h.router = command.NewRouter(log)
	h.router.Observe(h.metrics.Called)
	if err := h.outside.register(h.router, cfg.Orchestrator, command.Builtins{
		Events: h.state.Events, Sessions: h.state.Sessions, Config: settings{h}, Tasks: h.state,
	}); err != nil {
		return nil, fmt.Errorf("registering commands: %w", err)
	}
	if h.models, err = openModels(h); err != nil {
		return nil, err
	}
	ec := engine.Config{MaxModuleBytes: cfg.Engine.MaxModuleBytes, Logger: log}
	if cfg.Engine.CompileCache {
		ec.CacheDir = filepath.Join(cfg.StateDir, "compiled")
	}
	if h.engine, err = engine.New(ctx, ec); err != nil {
		return nil, err
	}
	h.databases = newDatabases(ctx, cfg.Data, log)
	h.metrics.Watch(h.databases.figures)
	h.fleet = newFleet(h)
	return h, h.fleet.open(ctx)
}

// settings is the configuration as config/get sees it.
type settings struct{ host *Host }

// Lookup implements [command.Config].
func (s settings) Lookup(_ context.Context, key string) (any, bool, error) {
	value, found := s.host.now().Setting(key)
	return value, found, nil
}

// State returns the host's database. It is the host's to close.
func (h *Host) State() *State { return h.state }

// Workers returns the workers in the folder, those that are not served as they
// are there with a reason.
func (h *Host) Workers() []worker.Info { return h.fleet.infos() }

// DataStats returns what the stores of each handle hold and have written.
func (h *Host) DataStats() map[string]sqlite.Stats { return h.databases.stats() }

// Ready is closed when Run has begun to take tasks and every socket is there.
func (h *Host) Ready() <-chan struct{} { return h.ready }

// compile admits one worker's file, which passes its self-test if it has one.
func (h *Host) compile(ctx context.Context, file *worker.File) (*engine.Module, error) {
	cfg := configOf(h.cfg.Worker(file.Name), file.Manifest)
	mc := engine.ModuleConfig{
		Sandboxes: cfg.Concurrency + cfg.Calls,
		Isolation: engine.Isolation(cfg.Isolation),
		Limits:    limitsOf(cfg),
	}
	if file.Manifest != nil && file.Manifest.SelfTest != nil {
		test := file.Manifest.SelfTest
		mc.SelfTest = &abi.Task{ID: "self-test", Kind: test.Kind, Attempt: 1, Handles: cfg.Handles}
		if test.Payload != nil {
			payload, err := json.Marshal(test.Payload)
			if err == nil {
				mc.SelfTest.Payload, err = payloadToWire(payload)
			}
			if err != nil {
				return nil, abi.Errorf(abi.InvalidModule, "manifest: self_test: %w", err)
			}
		}
	}
	return h.engine.Compile(ctx, file.Name, file.Wasm, mc)
}

// limitsOf is what the engine holds a worker to.
func limitsOf(w config.Worker) engine.Limits {
	return engine.Limits{
		MemoryBytes: uint64(w.MemoryMB) << 20, Fuel: w.Fuel,
		OpenCursors: w.Limits.OpenCursors, RequestBytes: w.Limits.RequestBytes, ResponseBytes: w.Limits.ResponseBytes,
		ResultBytes: w.Limits.ResultBytes, Commands: w.Limits.Commands, NestedCalls: w.Limits.NestedCalls,
		TransferBytes: w.Limits.TransferBytes, LogLines: w.Limits.LogLines,
	}
}

// Run takes tasks until ctx ends, then lets the running ones finish for up to
// ten seconds; what is still running after that is taken up by the next Run on
// this state folder. Run once.
func (h *Host) Run(ctx context.Context) error {
	workers := map[string]queue.WorkerConfig{}
	for name, v := range h.fleet.served() {
		workers[name] = queueConfig(h.workerConfig(name, v))
	}
	if h.cfg.Web.Listen != "" {
		var err error
		if h.web, err = web.Start(ctx, h.cfg.Web.Listen, h.metrics.Handler(), h.log); err != nil {
			return err
		}
		h.log.Info("serving metrics", "url", "http://"+h.web.Addr()+"/metrics")
	}
	t := newTally()
	open, err := h.openSockets(ctx, t)
	if err == nil {
		err = h.serve(ctx, workers, t.of(h.runTask))
		err = errors.Join(err, open.stop(ctx))
	}
	if h.web != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), webLimit)
		defer cancel()
		if werr := h.web.Stop(stop); err == nil {
			err = werr
		}
	}
	return err
}

// serve runs the queue until ctx ends, and delivers what it tells meanwhile.
func (h *Host) serve(ctx context.Context, workers map[string]queue.WorkerConfig, run queue.RunFunc) error {
	defer h.outside.deliver(ctx)()
	if err := h.beginTriggers(ctx); err != nil {
		return err
	}
	var err error
	if h.oldest, err = h.state.Queue.Oldest(ctx); err != nil {
		return err
	}
	h.state.before = h.rehearse
	if err := h.state.Queue.Start(ctx, workers, run); err != nil {
		// What was cut off need not say so: a commit only says that its
		// transaction is over.
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("starting the queue: %w", err)
	}
	h.started.Store(true)
	var background sync.WaitGroup
	defer background.Wait()
	background.Go(func() { h.reload(ctx) })
	background.Go(func() { h.triggers(ctx) })
	background.Go(func() { h.schedule(ctx) })
	background.Go(func() { h.fleet.follow(ctx) })
	close(h.ready)
	<-ctx.Done()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	if err := h.state.Queue.Stop(drain); err != nil {
		return fmt.Errorf("stopping the queue: %w", err)
	}
	return nil
}

// WebAddr returns the address that metrics are served on, "" if they are not.
// It can be called when [Host.Ready] is closed.
func (h *Host) WebAddr() string {
	if h.web == nil {
		return ""
	}
	return h.web.Addr()
}

// Close frees what New opened. Run must have returned.
func (h *Host) Close() error {
	ctx := context.Background()
	var errs []error
	if h.fleet != nil {
		h.fleet.close()
	}
	if h.engine != nil {
		errs = append(errs, h.engine.Close(ctx))
	}
	if h.databases != nil {
		errs = append(errs, h.databases.Close())
	}
	if h.models != nil {
		h.models.Close()
	}
	h.outside.close()
	if h.state != nil {
		errs = append(errs, h.state.Close())
	}
	if h.unlock != nil {
		errs = append(errs, h.unlock()) // last: nobody else may open what is still in use
	}
	return errors.Join(errs...)
}
