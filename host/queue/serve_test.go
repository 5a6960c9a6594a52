package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// A worker is served from the moment it is added, not before; when it is left its
// running task ends, and what is queued stays.
func TestServeAndLeave(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	began, goOn := make(chan string, 10), make(chan struct{})
	startWith(t, q, nil, func(ctx context.Context, d Delivery) (json.RawMessage, error) {
		began <- d.ID
		select {
		case <-goOn:
		case <-ctx.Done():
		}
		return nil, ctx.Err()
	})
	first := submit(t, q, Submission{Kind: "k"})
	second := submit(t, q, Submission{Kind: "k"})
	wantCode(t, q.Serve("w", WorkerConfig{Deadline: 25 * time.Hour}), abi.InvalidArgument)
	wantCode(t, q.Serve("W", WorkerConfig{}), abi.InvalidArgument)
	if err := q.Leave(t.Context(), "w"); err != nil {
		t.Errorf("leaving a worker that is not served: %v", err)
	}
	if err := q.Serve("w", WorkerConfig{}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, began, "the first task"); got != first {
		t.Errorf("task %s began first", got)
	}
	wantCode(t, q.Serve("w", WorkerConfig{Concurrency: 3}), abi.Conflict)
	if err := q.Serve("w", WorkerConfig{Deadline: time.Minute}); err != nil {
		t.Errorf("another deadline: %v", err)
	}

	short, cancel := context.WithTimeout(t.Context(), 3*leaveStep)
	defer cancel()
	wantCode(t, q.Leave(short, "w"), abi.DeadlineExceeded)
	close(goOn)
	if err := q.Leave(t.Context(), "w"); err != nil {
		t.Fatal(err)
	}
	awaitState(t, q, first, Completed)
	if r := task(t, q, second); r.State != Queued {
		t.Errorf("the task behind it is %s", r.State)
	}
	if err := q.Serve("w", WorkerConfig{Concurrency: 3}); err != nil {
		t.Fatal(err)
	}
	awaitState(t, q, second, Completed)
}

func TestServeNeedsStart(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	wantCode(t, q.Serve("w", WorkerConfig{}), abi.Conflict)
	if err := q.Leave(t.Context(), "w"); err != nil {
		t.Error(err)
	}
}

// Workers come and go while tasks do: each task runs once.
func TestServeHammer(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	var runs sync.Map
	startWith(t, q, nil, func(_ context.Context, d Delivery) (json.RawMessage, error) {
		n, _ := runs.LoadOrStore(d.ID, new(atomic.Int32))
		n.(*atomic.Int32).Add(1)
		return nil, nil
	})
	var ids [4][]string
	var wg sync.WaitGroup
	for i := range ids {
		name := fmt.Sprintf("w%d", i)
		wg.Go(func() {
			for range 15 {
				ids[i] = append(ids[i], submit(t, q, Submission{Worker: name, Kind: "k"}))
			}
		})
		wg.Go(func() {
			for range 5 {
				if err := q.Serve(name, WorkerConfig{Concurrency: 2}); err != nil {
					t.Error(err)
				}
				if err := q.Leave(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
			if err := q.Serve(name, WorkerConfig{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, list := range ids {
		for _, id := range list {
			awaitState(t, q, id, Completed)
			if n, ok := runs.Load(id); !ok || n.(*atomic.Int32).Load() != 1 {
				t.Errorf("task %s did not run once", id)
			}
		}
	}
}
