package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"runtime/metrics"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/command/socket"
	"github.com/wasmhost/wasmhost/host/queue"
)

// socketLimit is how long clients have to take the last replies.
const socketLimit = time.Second

// sockets are what a running host serves on Unix sockets.
type sockets []*socket.Server

// openSockets listens on every socket that is configured. After an error none
// is left.
func (h *Host) openSockets(ctx context.Context, t *tally) (_ sockets, err error) {
	var all sockets
	defer func() {
		if err != nil {
			err = errors.Join(err, all.stop(ctx))
		}
	}()
	add := func(s *socket.Server, err error) error {
		if err == nil {
			all = append(all, s)
		}
		return err
	}
	if c := h.cfg.Command; c.Socket != "" {
		cfg := socketConfig(c.Socket, c.SocketMode, c.SocketGroup, h.log)
		if err := add(socket.ServeCommands(ctx, cfg, h.router, command.Operator())); err != nil {
			return nil, err
		}
		h.log.Info("serving commands", "socket", c.Socket, "mode", c.SocketMode)
	}
	for _, name := range slices.Sorted(maps.Keys(h.cfg.Workers)) {
		w := h.cfg.Workers[name]
		if w.Socket == "" {
			continue
		}
		cfg := socket.TaskConfig{
			Config: socketConfig(w.Socket, w.SocketMode, w.SocketGroup, h.log),
			Worker: name, Shutdown: w.SocketShutdown,
		}
		if err := add(socket.ServeTasks(ctx, cfg, &socketWorker{host: h, name: name, cfg: w, tally: t})); err != nil {
			return nil, err
		}
		h.log.Info("serving tasks", "worker", name, "socket", w.Socket, "mode", w.SocketMode)
	}
	return all, nil
}

func socketConfig(path, mode, group string, log *slog.Logger) socket.Config {
	bits, _ := strconv.ParseUint(mode, 8, 9) // the configuration has checked it
	return socket.Config{File: socket.File{Path: path, Mode: fs.FileMode(bits), Group: group}, Logger: log}
}

// stop stops all of them at the same time.
func (s sockets) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), socketLimit)
	defer cancel()
	errs := make([]error, len(s))
	var wg sync.WaitGroup
	for i, server := range s {
		wg.Go(func() { errs[i] = server.Stop(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stopping the sockets: %w", err)
	}
	return nil
}

// tally counts attempts at tasks since the host began to serve.
type tally struct {
	since time.Time

	mu      sync.Mutex
	workers map[string]attempts
}

type attempts struct{ ended, failed int64 }

func newTally() *tally { return &tally{since: time.Now(), workers: map[string]attempts{}} }

// of counts what run does. An attempt that was ended from outside, or asked to
// be run later, has not failed.
func (t *tally) of(run queue.RunFunc) queue.RunFunc {
	return func(ctx context.Context, d queue.Delivery) (json.RawMessage, error) {
		result, err := run(ctx, d)
		t.mu.Lock()
		defer t.mu.Unlock()
		n := t.workers[d.Worker]
		n.ended++
		if code := abi.CodeOf(err); code != abi.OK && code != abi.Later && code != abi.Cancelled {
			n.failed++
		}
		t.workers[d.Worker] = n
		return result, err
	}
}

func (t *tally) worker(name string) attempts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.workers[name]
}

// socketWorker is a worker as its task socket sees it.
type socketWorker struct {
	host  *Host
	name  string
	cfg   config.Worker
	tally *tally
}

var _ socket.Worker = (*socketWorker)(nil)

func (w *socketWorker) Submit(ctx context.Context, s command.Submission) (id string, created bool, err error) {
	return w.host.state.SubmitTask(ctx, s)
}

func (w *socketWorker) Position(ctx context.Context, id string) (int64, error) {
	return w.host.state.Queue.Position(ctx, id)
}

func (w *socketWorker) Wait(ctx context.Context, id string) (json.RawMessage, error) {
	r, err := w.host.state.Queue.Wait(ctx, id)
	switch {
	case err == nil:
		return outcomeOf(r)
	case ctx.Err() == nil:
		return nil, err
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), socketLimit)
	defer cancel()
	if r, err = w.host.state.Queue.Task(look, id); err != nil {
		return nil, abi.Errorf(abi.DeadlineExceeded, "task %s goes on; how far it is cannot be told: %w", id, err)
	}
	if r.State.Finished() {
		return outcomeOf(r)
	}
	why := ""
	if n := len(r.Errors); n > 0 {
		why = ", after " + r.Errors[n-1].Code.String() + ": " + r.Errors[n-1].Message
	}
	return nil, abi.Errorf(abi.DeadlineExceeded, "task %s is %s%s, and goes on", id, r.State, why)
}

// outcomeOf is the result of a finished task, or why it has none.
func outcomeOf(r *queue.Record) (json.RawMessage, error) {
	if r.State == queue.Completed {
		if r.Result == nil {
			return json.RawMessage("null"), nil
		}
		return r.Result, nil
	}
	if n := len(r.Errors); n > 0 {
		last := r.Errors[n-1]
		return nil, abi.Errorf(last.Code, "task %s is %s: %s: %s", r.ID, r.State, last.Code, last.Message)
	}
	return nil, abi.Errorf(abi.Cancelled, "task %s is %s", r.ID, r.State)
}

func (w *socketWorker) Status(ctx context.Context) (socket.Status, error) {
	load, err := w.host.state.Queue.Load(ctx, w.name)
	if err != nil {
		return socket.Status{}, err
	}
	n := w.tally.worker(w.name)
	memory, threads := processFigures()
	s := socket.Status{
		Worker: w.name, Uptime: time.Since(w.tally.since),
		Queued: load.Queued + load.Waiting, Running: load.Running, Processed: n.ended, Failed: n.failed,
		MemoryBytes: memory, LimitBytes: int64(w.cfg.MemoryMB) << 20 * int64(w.cfg.Concurrency), Threads: threads,
	}
	if v := w.host.fleet.served()[w.name]; v != nil {
		s.Version = v.name()
	}
	return s, nil
}

// processFigures returns how much memory the process has, and how many threads.
func processFigures() (memory int64, threads int) {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/sched/threads/total:threads"}}
	metrics.Read(samples)
	memory, threads = int64(samples[0].Value.Uint64()), int(samples[1].Value.Uint64())
	// Linux knows what is resident, the guests' memory included, which Go's
	// runtime does not see: https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(b); len(f) > 1 {
			if pages, err := strconv.ParseInt(string(f[1]), 10, 64); err == nil {
				memory = pages * int64(os.Getpagesize())
			}
		}
	}
	return memory, threads
}
