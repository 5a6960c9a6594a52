package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/engine/rewrite"
)

// Module is compiled guest code and the sandboxes made from it. It is safe for
// concurrent use.
type Module struct {
	name     string
	engine   *Engine
	compiled wazero.CompiledModule
	limits   Limits
	keep     bool          // sandboxes are used for more than one task
	slots    chan struct{} // one token for each sandbox that may be in use
	deaths   deaths
	pace     pace
	tables   int64 // bytes that a sandbox's tables take at most

	initial  *rewrite.Initial // what starts a sandbox; nil when the module does all by itself
	snapshot *snapshot        // nil when each sandbox starts anew
	why      string           // there is no snapshot

	mu     sync.Mutex
	idle   []*Sandbox
	closed bool
}

// Isolation says how much of one task the next one in line may see.
type Isolation string

// The kinds of isolation.
const (
	// PerTask gives every task a sandbox that ran nothing before but its own
	// initialization. It is the default.
	PerTask Isolation = "task"
	// PerWorker keeps sandboxes for the same worker's next tasks, which find the
	// memory as it was left. It saves the time of making one.
	PerWorker Isolation = "worker"
)

// startLimit is how long a module may take to start when it is admitted.
const startLimit = 10 * time.Second

// ModuleConfig configures a [Module].
type ModuleConfig struct {
	Limits    Limits
	Sandboxes int // how many may be in use at once; default 1
	Isolation Isolation

	// SelfTest is a task that the module is to pass before it is admitted: on
	// the compiler and on the interpreter, with the same outcome. Nil for none.
	SelfTest *abi.Task
}

// Compile checks wasm against the contract and compiles it. name is the
// worker's, for messages. Every failure that is the module's own is
// abi.InvalidModule and says what is wrong.
//
// The bytes are not kept.
func (e *Engine) Compile(ctx context.Context, name string, wasm []byte, cfg ModuleConfig) (*Module, error) {
	m, err := e.load(ctx, name, wasm, cfg)
	if err != nil {
		return nil, err
	}
	if cfg.SelfTest != nil {
		if err := e.selfTest(ctx, m, wasm, cfg); err != nil {
			_ = m.Close(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	// One sandbox shows what the declarations cannot: that it links and starts.
	// It, or one made from its snapshot, is the first task's.
	if err := m.With(starting, func(s *Sandbox) error { return m.takeSnapshot(starting, s) }); err != nil {
		_ = m.Close(context.WithoutCancel(ctx))
		if ctx.Err() == nil && starting.Err() != nil {
			return nil, m.invalid("did not start within %v", startLimit)
		}
		return nil, err
	}
	if ok, why := m.Snapshot(); !ok {
		e.cfg.Logger.DebugContext(ctx, "no snapshot: each sandbox initializes itself", "module", name, "why", why)
	}
	return m, nil
}

// load does all of Compile that does not run the module.
func (e *Engine) load(ctx context.Context, name string, wasm []byte, cfg ModuleConfig) (m *Module, err error) {
	if n := int64(len(wasm)); n > e.cfg.MaxModuleBytes {
		return nil, abi.Errorf(abi.InvalidModule, "module %s: %d bytes are more than the limit of %d", name, n, e.cfg.MaxModuleBytes)
	}
	// The runtime's decoder is fuzzed by its authors, and yet a panic in it must
	// not take the host down with one bad file.
	defer func() {
		if p := recover(); p != nil {
			err = abi.Errorf(abi.InvalidModule, "module %s: the compiler gave up on it: %v", name, p)
		}
	}()
	limits := cfg.Limits.withDefaults()
	keep := cfg.Isolation == PerWorker
	metered, report, err := rewrite.Instrument(wasm, rewrite.Config{Snapshot: true, Limits: rewrite.Limits{
		ModuleBytes:   int(e.cfg.MaxModuleBytes),
		MemoryPages:   int(limits.MemoryBytes / pageSize),
		Tables:        maxTables,
		TableElements: limits.TableElements,
		TableGrowth:   limits.TableGrowth,
	}})
	if err != nil {
		return nil, abi.Errorf(abi.InvalidModule, "module %s: not valid Wasm: %s", name, readable(abi.MessageOf(err), maxText))
	}
	compiled, err := e.runtime.CompileModule(ctx, metered)
	if ctx.Err() != nil {
		if err == nil {
			_ = compiled.Close(context.WithoutCancel(ctx))
		}
		return nil, abi.Errorf(abi.CodeOf(ctx.Err()), "compiling module %s: %w", name, ctx.Err())
	}
	if err != nil {
		return nil, abi.Errorf(abi.InvalidModule, "module %s: not valid Wasm: %s", name, readable(err.Error(), maxText))
	}
	m = &Module{
		name:     name,
		engine:   e,
		compiled: compiled,
		limits:   limits,
		keep:     keep,
		initial:  report.Initial,
		why:      string(report.Obstacle),
		tables:   int64(report.Elements) * tableElementBytes,
		slots:    make(chan struct{}, max(cfg.Sandboxes, 1)),
	}
	if keep {
		m.why = "its sandboxes are kept from task to task"
	}
	if err := m.checkContract(); err != nil {
		_ = m.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return m, nil
}

// With runs f with a sandbox that nobody else uses meanwhile. It waits until
// one may be taken, or ctx ends. f must not keep the sandbox.
//
// A ctx that an [Env] was given counts the guests that wait for its call to
// return: more than Limits.NestedCalls of them are abi.LimitExceeded.
func (m *Module) With(ctx context.Context, f func(*Sandbox) error) error {
	if n, most := nesting(ctx), m.limits.NestedCalls; n > most {
		return overLimit("nested_calls", "worker %s: %d calls wait for one another, at most %d", m.name, n, most)
	}
	select {
	case m.slots <- struct{}{}:
	case <-ctx.Done():
		return abi.Errorf(abi.CodeOf(ctx.Err()), "waiting for a sandbox of %s: %w", m.name, ctx.Err())
	}
	defer func() { <-m.slots }()
	if err := m.wait(ctx, m.deaths.pause(time.Now())); err != nil {
		return err
	}
	s, err := m.take(ctx)
	if err != nil {
		return err
	}
	defer m.giveBack(context.WithoutCancel(ctx), s)
	return f(s)
}

func (m *Module) take(ctx context.Context) (*Sandbox, error) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, abi.Errorf(abi.Unavailable, "module %s is closed", m.name)
	}
	if n := len(m.idle); n > 0 {
		s := m.idle[n-1] // the last one used has the warmest memory
		m.idle = m.idle[:n-1]
		m.mu.Unlock()
		return s, nil
	}
	m.mu.Unlock()
	if err := m.wait(ctx, m.pace.take(time.Now(), m.tables)); err != nil {
		return nil, err
	}
	return m.newSandbox(ctx)
}

func (m *Module) giveBack(ctx context.Context, s *Sandbox) {
	// A panic of the caller's may have left s in the middle of a call.
	if s.task.env != nil {
		s.broken = true
	}
	if s.used {
		// As many of them as may run at once share what the module gets.
		m.deaths.note(time.Now(), s.broken, s.took*time.Duration(cap(m.slots)))
	}
	whole := !s.broken && (m.keep || !s.used || m.snapshot != nil && s.restore() == nil)
	m.mu.Lock()
	keep := whole && !m.closed
	if keep {
		m.idle = append(m.idle, s)
	}
	m.mu.Unlock()
	if !keep {
		s.close(ctx)
	}
}

// Close closes the sandboxes that are idle; one in use is closed when it comes
// back. Afterwards With fails.
func (m *Module) Close(ctx context.Context) error {
	m.mu.Lock()
	idle := m.idle
	m.idle, m.closed = nil, true
	m.mu.Unlock()
	for _, s := range idle {
		s.close(ctx)
	}
	if m.snapshot != nil {
		m.snapshot.image.close()
	}
	// The code stays mapped until the engine closes: a sandbox may still run it.
	if len(m.slots) == 0 {
		if err := m.compiled.Close(ctx); err != nil {
			return fmt.Errorf("closing module %s: %w", m.name, err)
		}
	}
	return nil
}
