package queue

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

func TestWait(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	release := make(chan error)
	start(t, q, func(ctx context.Context, d Delivery) (json.RawMessage, error) {
		select {
		case err := <-release:
			return json.RawMessage(`{"n":1}`), err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	type end struct {
		r   *Record
		err error
	}
	wait := func(id string) chan end {
		c := make(chan end, 1)
		go func() {
			r, err := q.Wait(context.Background(), id)
			c <- end{r, err}
		}()
		return c
	}

	id := submit(t, q, Submission{})
	first, second := wait(id), wait(id)
	awaitState(t, q, id, Running)
	release <- nil
	for _, c := range []chan end{first, second} {
		if e := receive(t, c, "the end"); e.err != nil || e.r.State != Completed || string(e.r.Result) != `{"n":1}` {
			t.Errorf("completed: got %+v, %v", e.r, e.err)
		}
	}
	if r, err := q.Wait(t.Context(), id); err != nil || r.State != Completed {
		t.Errorf("of a task that has ended: got %+v, %v", r, err)
	}

	id = submit(t, q, Submission{})
	c := wait(id)
	release <- abi.Errorf(abi.Permanent, "no")
	if e := receive(t, c, "the end"); e.err != nil || e.r.State != Dead {
		t.Errorf("dead: got %+v, %v", e.r, e.err)
	}

	id = submit(t, q, Submission{})
	c = wait(id)
	if _, err := q.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if e := receive(t, c, "the end"); e.err != nil || e.r.State != Cancelled {
		t.Errorf("cancelled: got %+v, %v", e.r, e.err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	id = submit(t, q, Submission{At: time.Now().Add(time.Hour)})
	cancel()
	if _, err := q.Wait(ctx, id); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that was ended: %v", err)
	}
	_, err := q.Wait(t.Context(), "9999")
	wantCode(t, err, abi.NotFound)
	_, err = q.Wait(t.Context(), "x")
	wantCode(t, err, abi.NotFound)

	q.waiters.mu.Lock()
	defer q.waiters.mu.Unlock()
	if len(q.waiters.tasks) != 0 {
		t.Errorf("%d waits are left behind", len(q.waiters.tasks))
	}
}

// A task that another process finishes is noticed without being told.
func TestWaitForAnotherProcess(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	q, other := open(t, path), open(t, path)
	id := submit(t, q, Submission{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if r, err := q.Wait(context.Background(), id); err != nil || r.State != Cancelled {
			t.Errorf("got %+v, %v", r, err)
		}
	})
	if _, err := other.Cancel(t.Context(), id); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func TestPositionAndLoad(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	at := time.Now().Add(time.Hour)
	later := submit(t, q, Submission{At: at.Add(time.Minute), Priority: 1})
	sooner := submit(t, q, Submission{At: at, Priority: 4})
	a, low := submit(t, q, Submission{}), submit(t, q, Submission{Priority: 3})
	submit(t, q, Submission{Worker: "x"})
	b := submit(t, q, Submission{})
	positions := func(want map[string]int64) {
		t.Helper()
		for id, n := range want {
			if got, err := q.Position(t.Context(), id); err != nil || got != n {
				t.Errorf("task %s has the position %d, %v; want %d", id, got, err, n)
			}
		}
	}
	load := func(want Load) {
		t.Helper()
		if got, err := q.Load(t.Context(), "w"); err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	positions(map[string]int64{a: 1, b: 2, low: 3, sooner: 4, later: 5})
	load(Load{Queued: 3, Waiting: 2})
	if _, err := q.Cancel(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	positions(map[string]int64{a: 0, b: 1, low: 2, sooner: 3, later: 4})
	load(Load{Queued: 2, Waiting: 2})

	begun := make(chan string, 1)
	startWith(t, q, map[string]WorkerConfig{"w": {}}, func(ctx context.Context, d Delivery) (json.RawMessage, error) {
		begun <- d.ID
		<-ctx.Done()
		return nil, ctx.Err()
	})
	// What Position calls the first is what River begins.
	if got := receive(t, begun, "a run"); got != b {
		t.Errorf("task %s was begun first, want %s", got, b)
	}
	positions(map[string]int64{b: 0, low: 1, sooner: 2, later: 3})
	load(Load{Queued: 1, Waiting: 2, Running: 1})

	_, err := q.Position(t.Context(), "9999")
	wantCode(t, err, abi.NotFound)
	_, err = q.Load(t.Context(), "No")
	wantCode(t, err, abi.InvalidArgument)
}
