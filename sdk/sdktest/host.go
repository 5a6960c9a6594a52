package sdktest

import (
	"maps"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/sdk"
)

// Host is a host in memory. It serves one run at a time and is not safe for
// concurrent use, except that Before's function may use it.
type Host struct {
	t        testing.TB
	tables   map[string]map[string]*Table // by handle and collection
	config   map[string]any
	sessions map[string]session
	commands map[string]func(params map[string]any) (any, error)
	expected map[string][]*Expectation
	queries  map[string]func(params map[string]any) ([]string, [][]any, error)

	events    []Event
	logs      []Log
	progress  []Progress
	submitted []Submitted

	limit  int // bytes of the worker's buffers that are used; 0 for all
	before func(*Call) error
	fail   map[string][]error
	kill   int // calls until the host is killed; negative for never
}

// Call is one call of the worker to the host.
type Call struct {
	N       int    // 1 for the first of the run
	Import  string // the function, by its name in package abi
	Command string // for abi.ImportCommand

	Query     *abi.Query     // for abi.ImportRowsOpen
	Mutations []abi.Mutation // for abi.ImportRowsWrite
}

// Task is a task for a worker.
type Task struct {
	ID       string // task-1 unless given
	Kind     string
	Payload  map[string]any
	Attempt  int // 1 unless given
	Deadline time.Time
	Handles  map[string]string // role to handle
}

// TaskOf returns the first attempt at a task.
func TaskOf(kind string, payload map[string]any) Task {
	return Task{Kind: kind, Payload: payload}
}

// Result is how a run ended, beside its error.
type Result struct {
	Value       any           // what the worker returned, decoded
	After       time.Duration // with abi.Later: when to run the task again
	Calls       int           // calls that the worker made
	OpenCursors int           // queries that the worker did not close
}

// New returns a host without tables. Where a test asks it for something that
// makes no sense, it ends the test.
func New(t testing.TB) *Host {
	return &Host{
		t:        t,
		tables:   map[string]map[string]*Table{},
		sessions: map[string]session{},
		commands: map[string]func(map[string]any) (any, error){},
		expected: map[string][]*Expectation{},
		queries:  map[string]func(map[string]any) ([]string, [][]any, error){},
		fail:     map[string][]error{},
		kill:     -1,
	}
}

// BufferLimit makes the host use no more than n bytes of any buffer that the
// worker supplies for rows or an answer, so that small data comes in many
// pieces and in pieces that do not fit; 0 for no limit.
func (h *Host) BufferLimit(n int) { h.limit = n }

// Before has a function called before every call is done. An error of it makes
// the call fail without any effect. A later Before replaces it; nil removes it.
func (h *Host) Before(f func(*Call) error) { h.before = f }

// FailNext makes the next call of an import fail with err and without any
// effect. Called again, it adds one more failure. The import log cannot fail.
func (h *Host) FailNext(name string, err error) {
	h.t.Helper()
	switch name {
	case abi.ImportRowsOpen, abi.ImportRowsNext, abi.ImportRowsClose, abi.ImportRowsWrite,
		abi.ImportCommand, abi.ImportProgress, abi.ImportTaskReturn:
	default:
		h.t.Fatalf("sdktest: FailNext of %q, which cannot fail", name)
	}
	if abi.CodeOf(err) == abi.OK {
		h.t.Fatalf("sdktest: FailNext of %s without an error", name)
	}
	h.fail[name] = append(h.fail[name], err)
}

// KillAfter makes the next run end right after its call number n, as if the
// host had been killed then; 0 ends it before its first call.
func (h *Host) KillAfter(n int) { h.kill = n }

// Run runs a worker on a task. Its error is nil when the task is completed,
// and an *abi.Error with the code and text that the worker handed over when
// not; a run that KillAfter ended has the code abi.Interrupted.
func (h *Host) Run(w sdk.Worker, task Task) (Result, error) {
	h.t.Helper()
	if task.ID == "" {
		task.ID = "task-1"
	}
	at := abi.Task{ID: task.ID, Key: "key of " + task.ID, Kind: task.Kind, Attempt: max(task.Attempt, 1), Handles: maps.Clone(task.Handles)}
	if !task.Deadline.IsZero() {
		at.DeadlineMS = task.Deadline.UnixMilli()
	}
	var payload wire.Writer
	if task.Payload != nil {
		if err := payload.Value(task.Payload); err != nil {
			h.t.Fatalf("sdktest: payload: %v", err)
		}
		at.Payload = payload.B
	}
	var input wire.Writer
	input.Task(&at)

	r := &run{h: h, task: task.ID, kill: h.kill, cursors: map[uint32]*cursor{}}
	h.kill = -1

	// In a goroutine of its own, since a killed host ends by runtime.Goexit:
	// a panic is what the SDK would catch.
	code, ended := abi.Interrupted, make(chan struct{})
	go func() {
		defer close(ended)
		if r.kill == 0 {
			r.die()
		}
		code = sdk.Serve(r, w, input.B)
	}()
	<-ended
	return r.result(code)
}

// run is one run of a worker: the sdk.Host that the worker sees.
type run struct {
	h       *Host
	task    string
	kill    int
	dead    bool
	calls   int
	last    string // the import called last
	pending []byte
	value   []byte // what task_return got
	cursors map[uint32]*cursor
	opened  uint32
}

func (r *run) result(code abi.Code) (Result, error) {
	r.h.t.Helper()
	res := Result{Calls: r.calls, OpenCursors: len(r.cursors)}
	switch {
	case r.dead:
		if r.calls == 0 {
			return res, abi.Errorf(abi.Interrupted, "the host was killed before the first call")
		}
		return res, abi.Errorf(abi.Interrupted, "the host was killed after call %d, %s", r.calls, r.last)
	case code != abi.OK:
		e, err := wire.ReadTaskError(r.value)
		if err != nil {
			r.h.t.Errorf("sdktest: the worker ended with %s and handed over no error: %v", code, err)
		}
		res.After = time.Duration(e.AfterMS) * time.Millisecond
		return res, &abi.Error{Code: code, Message: e.Message}
	case r.value == nil:
		return res, nil
	}
	rd := wire.NewReader(r.value)
	v, err := rd.Value()
	if err == nil {
		err = rd.End()
	}
	if err != nil {
		r.h.t.Errorf("sdktest: the worker's result: %v", err)
	}
	res.Value = v
	return res, nil
}

// die ends the worker's goroutine. Its deferred functions run, and find a host
// that does nothing any more.
func (r *run) die() {
	r.dead = true
	runtime.Goexit()
}

var errDead = abi.Errorf(abi.Interrupted, "the host is gone")

// call does one call: do is what it does and may return the number for the
// result.
func (r *run) call(c *Call, do func() (uint32, error)) abi.Result {
	if r.dead {
		return abi.Pack(errDead.Code, 0)
	}
	r.calls++
	r.last = c.Import
	c.N = r.calls
	if c.Import != abi.ImportPending {
		r.pending = nil
	}
	err := r.fault(c)
	var n uint32
	if err == nil {
		n, err = do()
	}
	res := abi.Pack(abi.OK, n)
	if err != nil {
		if abi.CodeOf(err) != abi.BufferTooSmall || r.pending == nil {
			r.pending = []byte(abi.MessageOf(err))
		}
		res = abi.Pack(abi.CodeOf(err), uint32(len(r.pending)))
	}
	if r.calls == r.kill {
		r.die()
	}
	return res
}

func (r *run) fault(c *Call) error {
	if f := r.h.before; f != nil {
		if err := f(c); err != nil {
			return err
		}
	}
	if list := r.h.fail[c.Import]; len(list) > 0 {
		r.h.fail[c.Import] = list[1:]
		return list[0]
	}
	return nil
}

// answer puts b into the worker's buffer, or keeps it until the worker asks.
func (r *run) answer(b, buf []byte) (uint32, error) {
	if len(b) > len(r.bounded(buf)) {
		r.pending = b
		return 0, abi.BufferTooSmall
	}
	return uint32(copy(buf, b)), nil
}

// bounded is what the host uses of a buffer.
func (r *run) bounded(buf []byte) []byte {
	if r.h.limit > 0 {
		return buf[:min(len(buf), r.h.limit)]
	}
	return buf
}

func (r *run) RowsOpen(request []byte) abi.Result {
	c := Call{Import: abi.ImportRowsOpen}
	q, err := wire.ReadQuery(request)
	if err == nil {
		c.Query = &q
	}
	return r.call(&c, func() (uint32, error) {
		if err != nil {
			return 0, err
		}
		return r.open(&q)
	})
}

func (r *run) RowsNext(id uint32, buf []byte) abi.Result {
	return r.call(&Call{Import: abi.ImportRowsNext}, func() (uint32, error) {
		c, err := r.cursor(id)
		if err != nil {
			return 0, err
		}
		return c.next(r, buf)
	})
}

func (r *run) RowsClose(id uint32) abi.Result {
	return r.call(&Call{Import: abi.ImportRowsClose}, func() (uint32, error) {
		_, err := r.cursor(id)
		delete(r.cursors, id)
		return 0, err
	})
}

func (r *run) RowsWrite(head, rows, buf []byte) abi.Result {
	c := Call{Import: abi.ImportRowsWrite}
	ms, err := wire.ReadMutations(head)
	c.Mutations = ms
	return r.call(&c, func() (uint32, error) {
		if err != nil {
			return 0, err
		}
		results, err := r.h.write(ms, rows)
		if err != nil {
			return 0, err
		}
		var w wire.Writer
		w.WriteResults(results)
		return r.answer(w.B, buf)
	})
}

func (r *run) Command(request, buf []byte) abi.Result {
	c := Call{Import: abi.ImportCommand}
	q, err := wire.ReadRequest(request)
	c.Command = q.Name
	return r.call(&c, func() (uint32, error) {
		if err != nil {
			return 0, err
		}
		v, err := r.execute(&q)
		if err != nil {
			return 0, err
		}
		var w wire.Writer
		if err := w.Value(v); err != nil {
			return 0, abi.Errorf(abi.Internal, "command %s: %w", q.Name, err)
		}
		return r.answer(w.B, buf)
	})
}

func (r *run) Progress(done, total int64) abi.Result {
	return r.call(&Call{Import: abi.ImportProgress}, func() (uint32, error) {
		r.h.progress = append(r.h.progress, Progress{Task: r.task, Done: done, Total: total})
		return 0, nil
	})
}

func (r *run) Log(level abi.Level, text []byte) {
	r.call(&Call{Import: abi.ImportLog}, func() (uint32, error) {
		r.h.logs = append(r.h.logs, Log{Level: level, Text: string(text)})
		return 0, nil
	})
}

func (r *run) Pending(buf []byte) abi.Result {
	return r.call(&Call{Import: abi.ImportPending}, func() (uint32, error) {
		if len(buf) < len(r.pending) {
			return 0, abi.BufferTooSmall
		}
		n := copy(buf, r.pending)
		r.pending = nil
		return uint32(n), nil
	})
}

func (r *run) TaskReturn(value []byte) abi.Result {
	return r.call(&Call{Import: abi.ImportTaskReturn}, func() (uint32, error) {
		if uint64(len(value)) > math.MaxInt32 {
			return 0, abi.Errorf(abi.LimitExceeded, "the result is too large")
		}
		r.value = append([]byte{}, value...)
		return 0, nil
	})
}
