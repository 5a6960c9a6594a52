package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// selfTestLimit is how long a self-test may take on each of the two engines. The
// interpreter takes some fifty times as long as compiled code.
const selfTestLimit = 30 * time.Second

// selfTest runs a module's own test as compiled code and on the interpreter, in
// the same made-up world, and compares what came of it. The interpreter is slow
// and simple: where the two differ, the compiler has most likely made other code
// of the module than its author wrote.
func (e *Engine) selfTest(ctx context.Context, m *Module, wasm []byte, cfg ModuleConfig) error {
	compiled, err := m.tryOut(ctx, cfg.SelfTest)
	if err != nil {
		return err
	}
	if compiled.err != nil {
		return m.invalid("its self-test failed: %s", compiled.err)
	}
	slow, err := New(ctx, Config{MaxModuleBytes: e.cfg.MaxModuleBytes, Logger: e.cfg.Logger, interpreter: true})
	if err != nil {
		return err
	}
	defer slow.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it holds no files
	reference, err := slow.load(ctx, m.name, wasm, cfg)
	if err != nil {
		return err
	}
	defer reference.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the engine goes with it
	interpreted, err := reference.tryOut(ctx, cfg.SelfTest)
	if err != nil {
		return err
	}
	if what := compiled.differs(interpreted); what != "" {
		return m.invalid("its self-test does not do the same as compiled code and on the interpreter: %s", what)
	}
	return nil
}

// tryOut runs one task in a new sandbox with nothing around it, and no rows and
// commands to be had. The error is that of ctx, or says that it took too long.
func (m *Module) tryOut(ctx context.Context, task *abi.Task) (*trial, error) {
	limited, cancel := context.WithTimeout(ctx, selfTestLimit)
	defer cancel()
	t := &trial{calls: sha256.New()}
	s, err := m.newSandboxIn(limited, newWorld())
	if err == nil {
		defer s.close(context.WithoutCancel(ctx))
		t.result, t.usage, t.err = s.Run(limited, task, t)
		err = limited.Err()
	}
	switch {
	case ctx.Err() != nil:
		return nil, abi.Errorf(abi.CodeOf(ctx.Err()), "the self-test of module %s: %w", m.name, ctx.Err())
	case limited.Err() != nil:
		return nil, m.invalid("its self-test did not end within %v", selfTestLimit)
	}
	return t, err
}

// trial is the [Env] of a self-test, and what came of it.
type trial struct {
	result []byte
	usage  Usage
	err    error
	calls  hash.Hash // of all calls, one after the other
}

// differs names the first thing in which two trials are not the same, "" for
// none.
func (t *trial) differs(o *trial) string {
	const most = 64
	short := func(b []byte) string { return fmt.Sprintf("%.*x (%d bytes)", most, b[:min(len(b), most)], len(b)) }
	switch {
	case o.err != nil:
		return fmt.Sprintf("the interpreter ended with %s", o.err)
	case !bytes.Equal(t.result, o.result):
		return fmt.Sprintf("the result was %s and %s", short(t.result), short(o.result))
	case !bytes.Equal(t.calls.Sum(nil), o.calls.Sum(nil)):
		return fmt.Sprintf("it called the host %d and %d times, and not all with the same arguments", t.usage.HostCalls, o.usage.HostCalls)
	case t.usage.Fuel != o.usage.Fuel:
		return fmt.Sprintf("it used %d and %d units of fuel", t.usage.Fuel, o.usage.Fuel)
	case t.usage.PeakMemory != o.usage.PeakMemory:
		return fmt.Sprintf("its memory grew to %d and %d bytes", t.usage.PeakMemory, o.usage.PeakMemory)
	}
	return ""
}

var errSelfTest = abi.Errorf(abi.NotGranted, "there are no rows and commands in a self-test")

func (t *trial) OpenRows(_ context.Context, q *abi.Query) (Rows, error) {
	fmt.Fprintf(t.calls, "open %+v\n", *q)
	return nil, errSelfTest
}

func (t *trial) WriteRows(_ context.Context, ms []abi.Mutation, rows []byte) ([]abi.WriteResult, error) {
	fmt.Fprintf(t.calls, "write %+v\n", ms)
	t.calls.Write(rows)
	return nil, errSelfTest
}

func (t *trial) Command(_ context.Context, r *abi.Request) ([]byte, error) {
	fmt.Fprintf(t.calls, "command %q\n", r.Name)
	t.calls.Write(r.Params)
	return nil, errSelfTest
}

func (t *trial) Progress(_ context.Context, done, total int64) error {
	fmt.Fprintf(t.calls, "progress %d %d\n", done, total)
	return nil
}

func (t *trial) Log(_ context.Context, level abi.Level, line string) {
	fmt.Fprintf(t.calls, "log %d %s\n", level, line)
}
