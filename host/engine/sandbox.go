package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/host/engine/rewrite"
)

// Sandbox is one instance of a module: memory of its own, one task at a time.
// It belongs to whoever [Module.With] lent it to.
type Sandbox struct {
	module   *Module
	instance api.Module
	input    api.Function
	work     api.Function
	counter  api.MutableGlobal // of fuel
	memory   memory
	globals  []api.MutableGlobal // those that a snapshot brings back
	stdout   output
	stderr   output
	broken   bool          // not to be used again
	used     bool          // ran a task
	took     time.Duration // of a processor, by the last task that was not cancelled
	guest    guestContext
	task     taskState
	buf      []byte // the encoded task, kept for the next one
}

// taskState is what a sandbox holds for the task it runs. It is zero between tasks.
type taskState struct {
	env      Env
	ctx      context.Context
	cursors  []Rows // a cursor's number is its index + 1; nil when closed
	open     int
	pending  []byte // what the import pending hands over next
	result   []byte
	logLines int
	panicked string // the last line of stderr that says why a Go guest died
	usage    Usage
	fuel     fuel
}

// Usage is what one task took of the engine.
type Usage struct {
	Wall        time.Duration // from the call of wasmhost_input to the end
	Host        time.Duration // the part of Wall spent in host functions
	CPU         time.Duration // of the task's thread, host functions included; 0 where the system does not tell
	HostCalls   int64
	BytesIn     int64  // from guest to host
	BytesOut    int64  // from host to guest
	PeakMemory  uint64 // bytes of linear memory, the sandbox's largest so far
	CommandsRun int64
	Fuel        int64 // the same for the same work on every machine
}

// guestContext is the context that guest calls run with: it brings the sandbox
// to the host functions. One per sandbox, so that a call allocates nothing.
type guestContext struct {
	context.Context
	sandbox *Sandbox
}

type sandboxKey struct{}

func (c *guestContext) Value(key any) any {
	if key == (sandboxKey{}) {
		return c.sandbox
	}
	return c.Context.Value(key)
}

// errStopped is the panic with which a host function ends a guest whose
// context is over.
var errStopped = errors.New("the task's context is over")

// newSandbox makes a sandbox from the snapshot, or starts one anew where there
// is none.
func (m *Module) newSandbox(ctx context.Context) (*Sandbox, error) { return m.newSandboxIn(ctx, nil) }

// newSandboxIn makes a sandbox in a world, nil for the real one. This is the one
// place where a sandbox is made.
func (m *Module) newSandboxIn(ctx context.Context, w *world) (_ *Sandbox, err error) {
	s := &Sandbox{module: m}
	var from *image
	initial := uint64(m.compiled.ExportedMemories()[abi.ExportMemory].Min()) * pageSize
	if m.snapshot != nil {
		from = m.snapshot.image
		initial = from.size
	}
	if s.memory, err = newMemory(m.limits.MemoryBytes, initial, from); err != nil {
		return nil, abi.Errorf(abi.Unavailable, "module %s: no memory for a sandbox: %w", m.name, err)
	}
	defer func() {
		if err != nil {
			s.close(context.WithoutCancel(ctx))
		}
	}()
	s.stdout = output{sandbox: s, level: abi.Info}
	s.stderr = output{sandbox: s, level: abi.Warn}
	s.task.ctx = ctx
	s.guest = guestContext{Context: ctx, sandbox: s}
	config := w.configure(s, wazero.NewModuleConfig().
		WithName(""). // anonymous: there may be many
		WithStartFunctions().
		WithEnv("GOMEMLIMIT", strconv.FormatUint(goMemLimit(m.limits.MemoryBytes), 10)).
		WithStdout(&s.stdout).
		WithStderr(&s.stderr))
	withMemory := experimental.WithMemoryAllocator(&s.guest, experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory {
		return s.memory
	}))
	s.instance, err = m.engine.runtime.InstantiateModule(withMemory, m.compiled, config)
	if err == nil {
		err = s.findGlobals(m.globals())
	}
	if err == nil && m.snapshot == nil {
		err = s.load()
	}
	if err != nil {
		return nil, s.cannotStart(ctx, "cannot be instantiated", err)
	}
	s.counter = counterOf(s.instance)
	s.input = s.instance.ExportedFunction(abi.ExportInput)
	s.work = s.instance.ExportedFunction(abi.ExportWork)
	if m.snapshot != nil {
		if err := s.begin(); err != nil {
			return nil, abi.Errorf(abi.Internal, "module %s: restoring its snapshot: %w", m.name, err)
		}
	} else if init := s.instance.ExportedFunction(abi.ExportInitialize); init != nil {
		err := init.CallWithStack(&s.guest, nil)
		s.stdout.flush()
		s.stderr.flush()
		if err != nil {
			return nil, s.cannotStart(ctx, abi.ExportInitialize+" failed", err)
		}
	}
	s.task = taskState{}
	return s, nil
}

// cannotStart says why no sandbox could be made. The runtime's error is not
// wrapped: a guest that exits with the right status would pass for the end of
// a context.
func (s *Sandbox) cannotStart(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return abi.Errorf(abi.CodeOf(ctx.Err()), "module %s: %s: it was stopped: %w", s.module.name, what, ctx.Err())
	}
	return s.module.invalid("%s: %s", what, s.whyTrapped(err))
}

// globals is how many a snapshot has to bring back.
func (m *Module) globals() int {
	if m.initial == nil {
		return 0
	}
	return m.initial.Globals
}

// load does what the runtime would have done when it made the instance, had the
// module not been prepared for snapshots.
func (s *Sandbox) load() error {
	initial := s.module.initial
	if initial == nil {
		return nil
	}
	for i, d := range initial.Data {
		if !s.instance.Memory().Write(d.Offset, d.Bytes) {
			return fmt.Errorf("data segment %d: out of bounds memory access", i)
		}
	}
	if initial.Start {
		return s.instance.ExportedFunction(rewrite.StartName).CallWithStack(&s.guest, nil)
	}
	return nil
}

// goMemLimit is what a Go guest's collector should keep below. Without it the
// guest's heap grows past the limit of its memory with most of it garbage.
func goMemLimit(limit uint64) uint64 {
	const apart = 2 << 20 // the guest's own data and stacks
	soft := limit / 8 * 7
	if soft > 2*apart {
		soft -= apart
	}
	return soft
}

// Run gives the sandbox one task and returns what it handed to task_return.
//
// The error is an abi.Error: the guest's own code and text, with a [*LaterError]
// beneath when it asked for a pause; abi.Trap when it died;
// abi.DeadlineExceeded or abi.Cancelled when ctx ended it. After any end but a
// return the sandbox is spent, and [Module.With] will not hand it out again.
func (s *Sandbox) Run(ctx context.Context, task *abi.Task, env Env) (result []byte, usage Usage, err error) {
	s.used = true
	s.task = taskState{env: env, ctx: nested(ctx)}
	s.task.fuel.begin(s.counter, s.module.limits.Fuel)
	s.guest.Context = ctx
	// What the thread uses from here on is the task's alone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, cpu := time.Now(), threadCPU()
	code, err := s.call(task)
	s.finish(context.WithoutCancel(ctx))
	result, usage = s.task.result, s.task.usage
	usage.Wall, usage.CPU = time.Since(start), threadCPU()-cpu
	usage.PeakMemory = s.memory.peak()
	usage.Fuel = s.task.fuel.used(s.counter)
	s.took = 0
	if !errors.Is(ctx.Err(), context.Canceled) { // or it is not the guest's doing
		s.took = cmp.Or(usage.CPU, usage.Wall-usage.Host)
	}
	if err != nil {
		s.broken = true
		result, err = nil, s.stopped(ctx, err)
	} else if code != abi.OK {
		s.broken = code == abi.Trap
		result, err = nil, guestError(ctx, code, result)
	}
	s.task = taskState{}
	s.guest.Context = context.Background()
	return result, usage, err
}

// call brings the task into the guest's memory and lets it work.
func (s *Sandbox) call(task *abi.Task) (abi.Code, error) {
	w := wire.Writer{B: s.buf[:0]}
	w.Task(task)
	s.buf = w.B
	stack := [1]uint64{api.EncodeU32(uint32(len(w.B)))}
	if err := s.input.CallWithStack(&s.guest, stack[:]); err != nil {
		return 0, err
	}
	ptr := api.DecodeU32(stack[0])
	if ptr == 0 || !s.instance.Memory().Write(ptr, w.B) {
		return 0, fmt.Errorf("%s gave no room for %d bytes of input (%#x)", abi.ExportInput, len(w.B), ptr)
	}
	s.task.usage.BytesOut += int64(len(w.B))
	stack[0] = api.EncodeU32(uint32(len(w.B)))
	if err := s.work.CallWithStack(&s.guest, stack[:]); err != nil {
		return 0, err
	}
	return abi.Code(api.DecodeU32(stack[0])), nil
}

// finish closes what the guest left open.
func (s *Sandbox) finish(ctx context.Context) {
	s.stdout.flush()
	s.stderr.flush()
	s.sayDropped(ctx)
	for _, rows := range s.task.cursors {
		if rows != nil {
			_ = rows.Close()
		}
	}
}

// stopped says why a call did not return.
func (s *Sandbox) stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return abi.Errorf(abi.CodeOf(ctx.Err()), "the guest was stopped: %w", ctx.Err())
	}
	if errors.Is(err, errFuel) {
		return overLimit("fuel", "the guest was stopped: it used more than %d units of fuel", s.module.limits.Fuel)
	}
	return abi.Errorf(abi.Trap, "%s", s.whyTrapped(err))
}

// whyTrapped makes one readable text of a trap: the guest's own last words, if
// it had any, then the runtime's reason and the top of the guest's stack.
func (s *Sandbox) whyTrapped(err error) string {
	var exit *sys.ExitError
	text := err.Error()
	if errors.As(err, &exit) {
		text = fmt.Sprintf("the guest exited with status %d", exit.ExitCode())
	}
	if s.task.panicked != "" {
		text = s.task.panicked + " (" + text
		if i := strings.IndexByte(text, '\n'); i >= 0 {
			text = text[:i]
		}
		text += ")"
	}
	lines := strings.SplitN(text, "\n", 10)
	if len(lines) == 10 {
		lines[9] = "\t…"
	}
	return readable(strings.Join(lines, "\n"), maxText)
}

// LaterError is under the error of a task that asked to be run again later.
type LaterError struct {
	After   time.Duration // 0 leaves the pause to the host
	Message string
}

func (e *LaterError) Error() string { return e.Message }

// guestError makes an error of the code that wasmhost_work returned and the
// text that came with it.
func guestError(ctx context.Context, code abi.Code, text []byte) error {
	e, err := wire.ReadTaskError(text)
	switch {
	case len(text) == 0:
		e.Message = "the worker gave no reason"
	case err != nil:
		e.Message = readable(string(text), 1024) // a guest that sent its text bare
	default:
		e.Message = readable(e.Message, maxText)
	}
	switch {
	case code == abi.Later:
		after := time.Duration(min(max(e.AfterMS, 0), maxLater.Milliseconds())) * time.Millisecond
		return abi.Errorf(abi.Later, "%w", &LaterError{After: after, Message: e.Message})
	case !fromGuest(code), code == abi.Cancelled && ctx.Err() == nil, code == abi.DeadlineExceeded && ctx.Err() == nil:
		return abi.Errorf(abi.Failed, "%s (%s)", e.Message, code)
	}
	return abi.Errorf(code, "%s", e.Message)
}

// maxLater bounds the pause that a guest can ask for.
const maxLater = 24 * time.Hour

// fromGuest says whether a guest may end its task with code. The others speak
// of things that only the host can know.
func fromGuest(code abi.Code) bool {
	switch code {
	case abi.Interrupted, abi.InvalidModule, abi.Internal, abi.UnknownWorker:
		return false
	}
	_, known := abi.ParseCode(code.String())
	return known
}

// Discard keeps the sandbox from being used for another task.
func (s *Sandbox) Discard() { s.broken = true }

func (s *Sandbox) close(ctx context.Context) {
	if s.instance != nil {
		_ = s.instance.Close(ctx) // it has no files whose closing could fail
	}
	s.memory.release()
}
