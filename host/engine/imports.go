package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// hostFunc is one import of the contract: its arguments are on the stack, and
// its result is one packed i64.
type hostFunc func(s *Sandbox, ctx context.Context, stack []uint64) abi.Result

// instantiateImports offers the contract's functions to all guests.
func instantiateImports(ctx context.Context, r wazero.Runtime) (api.Module, error) {
	b := r.NewHostModuleBuilder(abi.Module)
	for _, f := range []struct {
		name   string
		params []api.ValueType
		call   hostFunc
	}{
		{abi.ImportRowsOpen, []api.ValueType{i32, i32}, rowsOpen},
		{abi.ImportRowsNext, []api.ValueType{i32, i32, i32}, rowsNext},
		{abi.ImportRowsClose, []api.ValueType{i32}, rowsClose},
		{abi.ImportRowsWrite, []api.ValueType{i32, i32, i32, i32, i32, i32}, rowsWrite},
		{abi.ImportCommand, []api.ValueType{i32, i32, i32, i32}, command},
		{abi.ImportProgress, []api.ValueType{i64, i64}, progress},
		{abi.ImportPending, []api.ValueType{i32, i32}, pending},
		{abi.ImportTaskReturn, []api.ValueType{i32, i32}, taskReturn},
	} {
		b.NewFunctionBuilder().
			WithGoModuleFunction(bind(f.name, f.call), f.params, []api.ValueType{i64}).
			Export(f.name)
	}
	b.NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(guestLog), []api.ValueType{i32, i32, i32}, nil).
		Export(abi.ImportLog)
	return b.Instantiate(ctx)
}

// bind puts around an import what all of them need: nothing runs for a task
// that is over, the time is accounted for, and no panic reaches the guest.
func bind(name string, f hostFunc) api.GoModuleFunc {
	return func(ctx context.Context, _ api.Module, stack []uint64) {
		s := ctx.Value(sandboxKey{}).(*Sandbox)
		s.stopIfOver()
		start := time.Now()
		stack[0] = uint64(s.guarded(name, f, stack))
		s.task.usage.Host += time.Since(start)
		s.task.usage.HostCalls++
		s.stopIfOver()
	}
}

// stopIfOver unwinds the guest when its task's context has ended. A code would
// leave it to the guest whether it stops.
func (s *Sandbox) stopIfOver() {
	if s.task.ctx.Err() != nil {
		panic(errStopped)
	}
}

func (s *Sandbox) guarded(name string, f hostFunc, stack []uint64) (res abi.Result) {
	defer func() {
		if p := recover(); p != nil {
			s.broken = true
			res = s.fail(fmt.Errorf("panic in %s: %v\n%s", name, p, debug.Stack()))
		}
	}()
	if s.task.env == nil {
		return s.fail(abi.Errorf(abi.NotGranted, "%s: no task is running", name))
	}
	// Not for what a guest needs to end well.
	if u, most := &s.task.usage, s.module.limits.TransferBytes; most > 0 && u.BytesIn+u.BytesOut > most &&
		name != abi.ImportPending && name != abi.ImportTaskReturn {
		return s.fail(overLimit("transfer_bytes", "%s: the task has moved %d bytes, at most %d", name, u.BytesIn+u.BytesOut, most))
	}
	return f(s, s.task.ctx, stack)
}

// fail leaves the error's text to be read with pending.
func (s *Sandbox) fail(err error) abi.Result {
	code := abi.CodeOf(err)
	text := abi.MessageOf(err)
	if code == abi.Internal {
		// What is wrong inside the host is the operator's to know.
		s.module.engine.cfg.Logger.Error("host function failed", "module", s.module.name, "error", err)
		text = "internal error; the host's log says more"
	}
	if code == abi.OK || code == abi.BufferTooSmall {
		code = abi.Internal // both would be read as an answer
	}
	const most = 4096
	s.task.pending = []byte(text[:min(len(text), most)])
	return abi.Pack(code, uint32(len(s.task.pending)))
}

// view returns the guest's own bytes. They are the host's to read until the
// host function returns.
func (s *Sandbox) view(what string, ptr, n uint64, name string, limit int) ([]byte, error) {
	if n32 := uint32(n); uint64(n32) > uint64(limit) {
		return nil, overLimit(name, "%s: %d bytes, at most %d", what, n32, limit)
	}
	b, ok := s.instance.Memory().Read(uint32(ptr), uint32(n))
	if !ok {
		return nil, abi.Errorf(abi.InvalidArgument, "%s: %d bytes at %#x are outside of the memory", what, uint32(n), uint32(ptr))
	}
	return b, nil
}

// room is view for a buffer that the host writes to.
func (s *Sandbox) room(ptr, n uint64) ([]byte, error) {
	return s.view("buffer", ptr, n, "", math.MaxInt)
}

// answer copies an answer into the guest's buffer, or keeps it for pending.
func (s *Sandbox) answer(buf, b []byte) abi.Result {
	s.task.usage.BytesOut += int64(len(b))
	if len(b) <= len(buf) {
		return abi.Pack(abi.OK, uint32(copy(buf, b)))
	}
	return s.keep(b)
}

func (s *Sandbox) keep(b []byte) abi.Result {
	if len(b) > s.module.limits.ResponseBytes {
		return s.fail(overLimit("response_bytes", "an answer of %d bytes, at most %d", len(b), s.module.limits.ResponseBytes))
	}
	s.task.pending = b
	return abi.Pack(abi.BufferTooSmall, uint32(len(b)))
}

func rowsOpen(s *Sandbox, ctx context.Context, stack []uint64) abi.Result {
	req, err := s.view("query", stack[0], stack[1], "request_bytes", s.module.limits.RequestBytes)
	if err != nil {
		return s.fail(err)
	}
	s.task.usage.BytesIn += int64(len(req))
	if s.task.open >= s.module.limits.OpenCursors {
		return s.fail(overLimit("open_cursors", "%d cursors are open: close one", s.task.open))
	}
	q, err := wire.ReadQuery(req)
	if err != nil {
		return s.fail(err)
	}
	q.Lookup = bytes.Clone(q.Lookup) // the cursor outlives this call, the guest's buffer may not
	rows, err := s.task.env.OpenRows(ctx, &q)
	if err != nil {
		return s.fail(err)
	}
	s.task.open++
	for i, c := range s.task.cursors {
		if c == nil {
			s.task.cursors[i] = rows
			return abi.Pack(abi.OK, uint32(i+1))
		}
	}
	s.task.cursors = append(s.task.cursors, rows)
	return abi.Pack(abi.OK, uint32(len(s.task.cursors)))
}

func (s *Sandbox) cursor(n uint64) (Rows, error) {
	i := uint64(uint32(n))
	if i == 0 || i > uint64(len(s.task.cursors)) || s.task.cursors[i-1] == nil {
		return nil, abi.Errorf(abi.InvalidArgument, "cursor %d is not open", i)
	}
	return s.task.cursors[i-1], nil
}

func rowsNext(s *Sandbox, ctx context.Context, stack []uint64) abi.Result {
	rows, err := s.cursor(stack[0])
	if err != nil {
		return s.fail(err)
	}
	buf, err := s.room(stack[1], stack[2])
	if err != nil {
		return s.fail(err)
	}
	n, err := rows.Next(ctx, buf)
	if err == nil {
		s.task.usage.BytesOut += int64(n)
		return abi.Pack(abi.OK, uint32(n))
	}
	var small *TooSmallError
	if !errors.As(err, &small) {
		return s.fail(err)
	}
	if small.Size > s.module.limits.ResponseBytes {
		return s.fail(overLimit("response_bytes", "a row of %d bytes, at most %d", small.Size, s.module.limits.ResponseBytes))
	}
	b := make([]byte, small.Size)
	if n, err = rows.Next(ctx, b); err != nil {
		return s.fail(err)
	}
	s.task.usage.BytesOut += int64(n)
	return s.keep(b[:n])
}

func rowsClose(s *Sandbox, _ context.Context, stack []uint64) abi.Result {
	rows, err := s.cursor(stack[0])
	if err != nil {
		return s.fail(err)
	}
	s.task.cursors[uint32(stack[0])-1] = nil
	s.task.open--
	if err := rows.Close(); err != nil {
		return s.fail(err)
	}
	return abi.Pack(abi.OK, 0)
}

func rowsWrite(s *Sandbox, ctx context.Context, stack []uint64) abi.Result {
	head, err := s.view("mutation", stack[0], stack[1], "request_bytes", s.module.limits.RequestBytes)
	if err != nil {
		return s.fail(err)
	}
	rows, err := s.view("rows", stack[2], stack[3], "response_bytes", s.module.limits.ResponseBytes)
	if err != nil {
		return s.fail(err)
	}
	// Looked at before anything is written: an answer that cannot be delivered
	// would leave the guest in doubt about rows that were committed.
	buf, err := s.room(stack[4], stack[5])
	if err != nil {
		return s.fail(err)
	}
	s.task.usage.BytesIn += int64(len(head)) + int64(len(rows))
	ms, err := wire.ReadMutations(head)
	if err != nil {
		return s.fail(err)
	}
	results, err := s.task.env.WriteRows(ctx, ms, rows)
	if err != nil {
		return s.fail(err)
	}
	var w wire.Writer
	w.WriteResults(results)
	return s.answer(buf, w.B)
}

func command(s *Sandbox, ctx context.Context, stack []uint64) abi.Result {
	req, err := s.view("command", stack[0], stack[1], "request_bytes", s.module.limits.RequestBytes)
	if err != nil {
		return s.fail(err)
	}
	buf, err := s.room(stack[2], stack[3])
	if err != nil {
		return s.fail(err)
	}
	s.task.usage.BytesIn += int64(len(req))
	if s.task.usage.CommandsRun >= int64(s.module.limits.Commands) {
		return s.fail(overLimit("commands", "the task has called %d commands", s.task.usage.CommandsRun))
	}
	s.task.usage.CommandsRun++
	r, err := wire.ReadRequest(req)
	if err != nil {
		return s.fail(err)
	}
	result, err := s.task.env.Command(ctx, &r)
	if err != nil {
		return s.fail(err)
	}
	return s.answer(buf, result)
}

func progress(s *Sandbox, ctx context.Context, stack []uint64) abi.Result {
	done, total := int64(stack[0]), int64(stack[1])
	if done < 0 || total < 0 {
		return s.fail(abi.Errorf(abi.InvalidArgument, "progress: %d of %d: neither can be negative", done, total))
	}
	if err := s.task.env.Progress(ctx, done, total); err != nil {
		return s.fail(err)
	}
	return abi.Pack(abi.OK, 0)
}

// pending hands over what the last call left, once. A buffer that is too small
// gets nothing, and it can be asked for again.
func pending(s *Sandbox, _ context.Context, stack []uint64) abi.Result {
	buf, err := s.room(stack[0], stack[1])
	if err != nil {
		return s.fail(err)
	}
	if len(s.task.pending) > len(buf) {
		return abi.Pack(abi.BufferTooSmall, uint32(len(s.task.pending)))
	}
	n := copy(buf, s.task.pending)
	s.task.pending = nil
	return abi.Pack(abi.OK, uint32(n))
}

func taskReturn(s *Sandbox, _ context.Context, stack []uint64) abi.Result {
	b, err := s.view("result", stack[0], stack[1], "result_bytes", s.module.limits.ResultBytes)
	if err != nil {
		return s.fail(err)
	}
	s.task.usage.BytesIn += int64(len(b))
	s.task.result = bytes.Clone(b)
	return abi.Pack(abi.OK, 0)
}

// guestLog has no result: a line that cannot be read is passed over.
func guestLog(ctx context.Context, guest api.Module, stack []uint64) {
	s := ctx.Value(sandboxKey{}).(*Sandbox)
	s.stopIfOver()
	s.task.usage.HostCalls++
	// The limit is applied by logLine, which cuts; here it only keeps a huge
	// length from being copied.
	n := min(uint64(uint32(stack[2])), uint64(s.module.limits.LogLineBytes))
	// Not s.instance: a start function logs before there is one.
	if line, ok := guest.Memory().Read(uint32(stack[1]), uint32(n)); ok {
		s.logLine(abi.Level(uint32(stack[0])), line)
	}
}
