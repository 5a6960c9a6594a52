package queue

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// How often Wait looks: seldom while nothing was heard of the task, at once and
// then ever less often when its run has returned, since how a run failed is
// written a little later.
const (
	waitPoll      = time.Second
	waitPollFirst = 10 * time.Millisecond
)

// waiters are those who wait for tasks that this Queue may run.
type waiters struct {
	mu    sync.Mutex
	tasks map[int64][]chan struct{} // each of capacity 1
}

func (w *waiters) add(id int64) chan struct{} {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tasks == nil {
		w.tasks = map[int64][]chan struct{}{}
	}
	w.tasks[id] = append(w.tasks[id], c)
	return c
}

func (w *waiters) remove(id int64, c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tasks[id] = slices.DeleteFunc(w.tasks[id], func(other chan struct{}) bool { return other == c })
	if len(w.tasks[id]) == 0 {
		delete(w.tasks, id)
	}
}

func (w *waiters) wake(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.tasks[id] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Wait returns a task when it is finished: as soon as that is written down if
// this Queue runs it and it completes, within a second otherwise. Codes:
// NotFound, and that of ctx when it ends first.
func (q *Queue) Wait(ctx context.Context, id string) (*Record, error) {
	n, err := parseID(id)
	if err != nil {
		return nil, err
	}
	woken := q.waiters.add(n)
	defer q.waiters.remove(n, woken)
	pause := waitPoll
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		var finished bool
		err := q.db.QueryRowContext(ctx, `SELECT state IN ('completed', 'cancelled', 'discarded') FROM river_job WHERE id = ?`, n).Scan(&finished)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil, abi.Errorf(abi.NotFound, "no task %q", id)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, dbError("waiting for task "+id, err)
		case finished:
			return q.Task(ctx, id)
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-woken:
			pause = waitPollFirst
		case <-timer.C:
			pause = min(2*pause, waitPoll)
		}
	}
}
