package queue

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"github.com/wasmhost/wasmhost/abi"
)

// longestDeadline is that of workers which are not known at Start.
const longestDeadline = 24 * time.Hour

// leaveStep is how long River may hold its locks while a worker's last tasks
// end: others are added and removed in between.
const leaveStep = 50 * time.Millisecond

// config is how a worker's tasks are run.
func (w *work) config(worker string) WorkerConfig {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.workers[worker]
}

// Serve runs the tasks of one more worker, or runs those that begin from now on
// by another config, in which the concurrency must be the same. Between Start and
// Stop. Codes: InvalidArgument, Conflict.
func (q *Queue) Serve(worker string, c WorkerConfig) error {
	c = c.withDefaults()
	if err := c.validate(worker); err != nil {
		return err
	}
	q.workMu.Lock()
	defer q.workMu.Unlock()
	w := q.work
	if w == nil {
		return abi.Errorf(abi.Conflict, "queue: not started")
	}
	if c.Deadline > w.longest {
		return abi.Errorf(abi.InvalidArgument, "worker %s: deadline %v: up to %v", worker, c.Deadline, w.longest)
	}
	w.mu.Lock()
	before, served := w.workers[worker]
	if served && before.Concurrency != c.Concurrency {
		w.mu.Unlock()
		return abi.Errorf(abi.Conflict, "worker %s is served with a concurrency of %d", worker, before.Concurrency)
	}
	w.workers[worker] = c
	w.mu.Unlock()
	if served {
		return nil
	}
	if err := w.client.Queues().Add(worker, river.QueueConfig{MaxWorkers: c.Concurrency}); err != nil {
		w.mu.Lock()
		delete(w.workers, worker)
		w.mu.Unlock()
		return abi.Errorf(abi.Internal, "queue: serving %s: %w", worker, err)
	}
	return nil
}

// Leave begins no more tasks of a worker, which stay in the queue, and returns
// when those that run have ended. When ctx ends first it returns that, and is to
// be called again before the worker can be served anew. Leaving a worker that is
// not served does nothing.
func (q *Queue) Leave(ctx context.Context, worker string) error {
	for {
		q.workMu.Lock()
		w := q.work
		q.workMu.Unlock()
		if w == nil {
			return nil // Stop waits for all
		}
		if w.config(worker).Concurrency == 0 {
			return nil
		}
		step, cancel := context.WithTimeout(ctx, leaveStep)
		err := w.client.Queues().Remove(step, worker)
		cancel()
		var unknown *river.QueueNotFoundError
		switch {
		case err == nil || errors.As(err, &unknown):
			w.mu.Lock()
			delete(w.workers, worker)
			w.mu.Unlock()
			return nil
		case ctx.Err() != nil:
			return abi.Errorf(abi.CodeOf(ctx.Err()), "queue: tasks of %s still run: %w", worker, ctx.Err())
		}
		// Time for those who wait for River's locks.
		select {
		case <-ctx.Done():
		case <-time.After(leaveStep / 10):
		}
	}
}
