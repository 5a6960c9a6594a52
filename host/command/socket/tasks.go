package socket

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

// Worker is the worker behind a task socket.
type Worker interface {
	// Submit stores a task, durably. With created false an unfinished one has
	// its unique key, whose id it returns.
	Submit(ctx context.Context, s command.Submission) (id string, created bool, err error)

	// Position is the place of a task among those that have not begun: 1 for
	// the next, 0 for one that runs or has ended.
	Position(ctx context.Context, id string) (int64, error)

	// Wait returns the result of a task when it has completed, and its error
	// when it ended otherwise. When ctx ends first the error is DeadlineExceeded
	// and says how far the task is.
	Wait(ctx context.Context, id string) (json.RawMessage, error)

	// Status returns figures as they are now.
	Status(ctx context.Context) (Status, error)
}

// Status is how a worker and its host are.
type Status struct {
	Worker, Version string
	Uptime          time.Duration
	Queued, Running int64 // tasks; those that wait for their time are queued
	Processed       int64 // attempts that ended since the host started
	Failed          int64 // of those
	MemoryBytes     int64 // of the host's process
	LimitBytes      int64 // of all sandboxes of the worker together
	Threads         int   // of the host's process
}

// MaxQueued is how many tasks may wait for a worker before its socket takes no
// more: a client that only ever submits does not fill the disk.
const MaxQueued = 1000

// TaskConfig is Config for a task socket.
type TaskConfig struct {
	Config
	Worker   string
	Shutdown bool // whether a client may close the socket to new tasks
}

// ServeTasks listens and gives tasks of whoever connects to a worker. For ctx
// and codes see [ServeCommands]. Stop the Server when done.
func ServeTasks(ctx context.Context, cfg TaskConfig, w Worker) (*Server, error) {
	cfg.Config = cfg.withDefaults()
	return serve(ctx, cfg.Config, newTasks(cfg, w))
}

// tasks is the two dialects of a task socket.
type tasks struct {
	cfg    TaskConfig
	worker Worker
	gate   chan struct{} // of capacity 1: held while a task is admitted
	shut   atomic.Bool   // no more tasks are taken
}

func newTasks(cfg TaskConfig, w Worker) *tasks {
	return &tasks{cfg: cfg, worker: w, gate: make(chan struct{}, 1)}
}

// request tells the dialects apart.
func (d *tasks) request(line []byte) (do func(context.Context) any, pipelined bool) {
	o, err := parseLine(line)
	switch {
	case err != nil:
	case o.given("command") && o.given("type"):
		err = abi.Errorf(abi.InvalidArgument, "the line has a command and a type: one of them is needed")
	case o.given("command"):
		return d.flat(o), false
	case o.given("type") || o.given("id"):
		return d.envelope(o), true
	default:
		err = abi.Errorf(abi.InvalidArgument, "the line has neither a command nor a type")
	}
	return func(context.Context) any { return d.failure(err) }, false
}

// failure is an object that a client of either dialect can read.
func (d *tasks) failure(err error) any {
	return map[string]any{
		"status": "error", "success": false, "error": abi.MessageOf(err), "errorType": errorType(err),
	}
}

// submit stores a task unless too many wait.
func (d *tasks) submit(ctx context.Context, s command.Submission) (id string, err error) {
	select {
	case d.gate <- struct{}{}: // one at a time, or several would take the last place
		defer func() { <-d.gate }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if d.shut.Load() {
		return "", abi.Errorf(abi.Unavailable, "worker %s was shut down on this socket: it takes no tasks until the host starts again", d.cfg.Worker)
	}
	st, err := d.worker.Status(ctx)
	if err != nil {
		return "", err
	}
	if st.Queued >= MaxQueued {
		return "", abi.Errorf(abi.Unavailable, "%d tasks wait for worker %s, no more are taken: try again later", st.Queued, d.cfg.Worker)
	}
	s.Worker = d.cfg.Worker
	id, _, err = d.worker.Submit(ctx, s)
	return id, err
}

// errorType is the code of an error in the words of the envelope.
func errorType(err error) string {
	switch abi.CodeOf(err) {
	case abi.InvalidArgument, abi.NotGranted, abi.LimitExceeded:
		return "validation"
	case abi.DeadlineExceeded:
		return "timeout"
	case abi.NotFound, abi.UnknownHandle, abi.UnknownCollection, abi.UnknownColumn, abi.UnknownCommand, abi.UnknownWorker:
		return "not_found"
	}
	return "internal"
}
