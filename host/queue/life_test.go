package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

func TestCompleted(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	q, other := open(t, path), open(t, path)
	got := make(chan Delivery, 1)
	start(t, q, func(ctx context.Context, d Delivery) (json.RawMessage, error) {
		if end, ok := ctx.Deadline(); !ok || !end.Equal(d.Deadline) {
			t.Errorf("deadline of the context is %v, of the delivery %v", end, d.Deadline)
		}
		got <- d
		return json.RawMessage(`{"archived": 3}`), nil
	})
	id := submit(t, other, Submission{Kind: "k", Payload: json.RawMessage(`{"n":1}`)})
	d := receive(t, got, "the delivery")
	if d.ID != id || d.Worker != "w" || d.Kind != "k" || string(d.Payload) != `{"n":1}` || d.Attempt != 1 {
		t.Errorf("got delivery %+v", d)
	}
	if left := time.Until(d.Deadline); left < 59*time.Minute || left > time.Hour {
		t.Errorf("deadline in %v, want the default of an hour", left)
	}
	r := awaitState(t, other, id, Completed)
	if string(r.Result) != `{"archived":3}` || r.Attempt != 1 || r.AttemptedAt.IsZero() || r.FinalizedAt.IsZero() || len(r.Errors) != 0 {
		t.Errorf("got %+v", r)
	}
	if !d.Created.Equal(r.CreatedAt) || d.Created.IsZero() {
		t.Errorf("the delivery was created at %v, the task at %v", d.Created, r.CreatedAt)
	}
}

// The oldest task is one that has not ended, whatever it waits for.
func TestOldest(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	oldest := func() time.Time {
		t.Helper()
		at, err := q.Oldest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	if at := oldest(); !at.IsZero() {
		t.Errorf("of no tasks: %v", at)
	}
	first := submit(t, q, Submission{Kind: "k", At: time.Now().Add(time.Hour)})
	second := submit(t, q, Submission{Kind: "k"})
	for _, id := range []string{first, second} {
		if at, want := oldest(), task(t, q, id).CreatedAt; !at.Equal(want) {
			t.Errorf("got %v, want %v", at, want)
		}
		if _, err := q.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if at := oldest(); !at.IsZero() {
		t.Errorf("when all have ended: %v", at)
	}
}

// A run's error decides the task's next state.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		err    error
		states []State // any of these
		code   abi.Code
		text   string
	}{
		{"retryable", abi.Errorf(abi.Unavailable, "primary is locked"), []State{Retrying, Queued, Running}, abi.Unavailable, "primary is locked"},
		{"trap", abi.Errorf(abi.Trap, "unreachable: at f: g"), []State{Retrying, Queued, Running}, abi.Trap, "unreachable: at f: g"},
		{"no code", errors.New("odd"), []State{Retrying, Queued, Running}, abi.Internal, "odd"},
		{"wrapped", fmt.Errorf("page 3: %w", abi.Errorf(abi.Conflict, "row 9")), []State{Retrying, Queued, Running}, abi.Conflict, "page 3: conflict: row 9"},
		{"permanent", abi.Errorf(abi.Permanent, "bad row 7"), []State{Dead}, abi.Permanent, "bad row 7"},
		{"not granted", abi.Errorf(abi.NotGranted, "primary"), []State{Dead}, abi.NotGranted, "primary"},
		{"cancelled by itself", context.Canceled, []State{Dead}, abi.Cancelled, "context canceled"},
		{"message too long", abi.Errorf(abi.Permanent, "%s", strings.Repeat("é", 3000)), []State{Dead}, abi.Permanent, strings.Repeat("é", 2048) + "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			q := open(t, newPath(t))
			start(t, q, func(context.Context, Delivery) (json.RawMessage, error) { return nil, c.err })
			id := submit(t, q, Submission{})
			r := await(t, q, id, "failed", func(r Record) bool { return len(r.Errors) > 0 })
			ok := false
			for _, s := range c.states {
				ok = ok || r.State == s
			}
			if !ok {
				t.Errorf("state %s, want one of %v", r.State, c.states)
			}
			if f := r.Errors[0]; f.Code != c.code || f.Message != c.text || f.Attempt != 1 || f.At.IsZero() {
				t.Errorf("got %+v, want %v %q", f, c.code, c.text)
			}
		})
	}
}

func TestRetriesUntilItSucceeds(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	start(t, q, func(_ context.Context, d Delivery) (json.RawMessage, error) {
		if d.Attempt < 3 {
			return nil, abi.Errorf(abi.Failed, "attempt %d", d.Attempt)
		}
		return nil, nil
	})
	r := awaitState(t, q, submit(t, q, Submission{}), Completed)
	if r.Attempt != 3 || len(r.Errors) != 2 || r.Errors[1].Message != "attempt 2" || r.Errors[1].Attempt != 2 {
		t.Errorf("got %+v", r)
	}
}

func TestDeadAfterItsAttempts(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	startWith(t, q, map[string]WorkerConfig{"w": {MaxAttempts: 2}},
		func(context.Context, Delivery) (json.RawMessage, error) { return nil, abi.Errorf(abi.Failed, "no") })
	for _, c := range []struct{ asked, want int }{{0, 2}, {3, 3}} {
		r := awaitState(t, q, submit(t, q, Submission{MaxAttempts: c.asked}), Dead)
		if len(r.Errors) != c.want || r.Attempt != c.want || r.MaxAttempts != c.want || r.FinalizedAt.IsZero() {
			t.Errorf("asked for %d: got %+v, want %d attempts", c.asked, r, c.want)
		}
	}
}

func TestLater(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	var runs atomic.Int32
	start(t, q, func(_ context.Context, d Delivery) (json.RawMessage, error) {
		if d.Attempt != 1 {
			t.Errorf("attempt %d: asking for later used one up", d.Attempt)
		}
		if runs.Add(1) <= 3 {
			return nil, fmt.Errorf("no source yet: %w", &LaterError{After: 10 * time.Millisecond, Err: errors.New("empty")})
		}
		return nil, nil
	})
	r := awaitState(t, q, submit(t, q, Submission{MaxAttempts: 1}), Completed)
	if runs.Load() != 4 || r.Attempt != 1 || len(r.Errors) != 0 {
		t.Errorf("%d runs, %+v", runs.Load(), r)
	}
}

func TestLaterWithoutATime(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	start(t, q, func(context.Context, Delivery) (json.RawMessage, error) { return nil, abi.Later })
	r := awaitState(t, q, submit(t, q, Submission{}), Scheduled)
	if wait := time.Until(r.ScheduledAt); wait < 5*time.Second || wait > 10*time.Second {
		t.Errorf("runs again in %v, want about 10 s", wait)
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	start(t, q, func(_ context.Context, d Delivery) (json.RawMessage, error) {
		if d.Attempt == 1 {
			panic("permanent: not really")
		}
		return nil, nil
	})
	r := awaitState(t, q, submit(t, q, Submission{}), Completed)
	if len(r.Errors) != 1 || r.Errors[0].Code != abi.Internal || r.Errors[0].Message != "panic: permanent: not really" {
		t.Errorf("got %+v", r.Errors)
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	startWith(t, q, map[string]WorkerConfig{"w": {Deadline: 30 * time.Millisecond}},
		func(ctx context.Context, d Delivery) (json.RawMessage, error) {
			if d.Attempt > 1 {
				return nil, nil
			}
			<-ctx.Done()
			// What a store says whose query was interrupted.
			return nil, abi.Errorf(abi.Cancelled, "query interrupted")
		})
	r := awaitState(t, q, submit(t, q, Submission{}), Completed)
	if len(r.Errors) != 1 || r.Errors[0].Code != abi.DeadlineExceeded {
		t.Errorf("got %+v", r.Errors)
	}
}

func TestResultRefused(t *testing.T) {
	t.Parallel()
	for name, result := range map[string]string{
		"no JSON": `{"a"`,
		"too big": `"` + strings.Repeat("x", 1<<20) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := open(t, newPath(t))
			start(t, q, func(context.Context, Delivery) (json.RawMessage, error) { return json.RawMessage(result), nil })
			r := awaitState(t, q, submit(t, q, Submission{}), Dead)
			if len(r.Errors) != 1 || r.Errors[0].Code != abi.Permanent || !strings.Contains(r.Errors[0].Message, "result") || r.Result != nil {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestPriorityOrder(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	var want []string
	byPriority := map[int][]string{}
	for i := range 12 {
		p := 4 - i%4
		byPriority[p] = append(byPriority[p], submit(t, q, Submission{Priority: p}))
	}
	for p := 1; p <= 4; p++ {
		want = append(want, byPriority[p]...)
	}
	ran := make(chan string, len(want))
	startWith(t, q, map[string]WorkerConfig{"w": {}}, func(_ context.Context, d Delivery) (json.RawMessage, error) {
		ran <- d.ID
		return nil, nil
	})
	for i, id := range want {
		if got := receive(t, ran, "a run"); got != id {
			t.Fatalf("run %d is of task %s, want %s of %v", i, got, id, want)
		}
	}
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	began := make(chan time.Time, 1)
	start(t, q, func(context.Context, Delivery) (json.RawMessage, error) {
		began <- time.Now()
		return nil, nil
	})
	at := time.Now().Add(400 * time.Millisecond)
	id := submit(t, q, Submission{At: at})
	if s := task(t, q, id).State; s != Scheduled {
		t.Errorf("state %s, want scheduled", s)
	}
	far := submit(t, q, Submission{At: time.Now().Add(time.Hour)})
	got := receive(t, began, "the run")
	if got.Before(at.Add(-time.Millisecond)) || got.After(at.Add(2*time.Second)) {
		t.Errorf("ran %v after its time", got.Sub(at))
	}
	awaitState(t, q, id, Completed)
	if s := task(t, q, far).State; s != Scheduled {
		t.Errorf("task of the next hour is %s", s)
	}
	awaitState(t, q, submit(t, q, Submission{At: time.Now().Add(-time.Hour)}), Completed)
}

func TestUnservedWorkerWaits(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	start(t, q, nothing)
	id := submit(t, q, Submission{Worker: "nobody"})
	awaitState(t, q, submit(t, q, Submission{Worker: "x"}), Completed)
	if s := task(t, q, id).State; s != Queued {
		t.Errorf("state %s, want queued", s)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := &backoff{base: time.Second, most: 5 * time.Minute}
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 1000: 5 * time.Minute} {
		low, high := b.wait(attempt, 0), b.wait(attempt, 0.999999)
		if low != want*8/10 || high > min(want*12/10, 5*time.Minute) || high < want {
			t.Errorf("attempt %d waits %v to %v, want about %v", attempt, low, high, want)
		}
	}
}

// Every submitted task runs exactly once, no matter who submits while who runs.
func TestHammer(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	q, other := open(t, path), open(t, path)
	const submitters, each = 8, 100 / slow
	var mu sync.Mutex
	ran := map[string]int{}
	all := make(chan struct{})
	startWith(t, q, map[string]WorkerConfig{"w": {Concurrency: 4}}, func(_ context.Context, d Delivery) (json.RawMessage, error) {
		d.Progress(1, 1)
		mu.Lock()
		defer mu.Unlock()
		ran[d.ID]++
		if len(ran) == submitters*each {
			close(all)
		}
		return nil, nil
	})
	var wg sync.WaitGroup
	for range submitters {
		wg.Go(func() {
			for range each {
				if _, _, err := q.Submit(t.Context(), Submission{Worker: "w"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	receive(t, all, "the last run")
	if err := q.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for id, n := range ran {
		if n != 1 {
			t.Errorf("task %s ran %d times", id, n)
		}
	}
	got, err := other.List(t.Context(), Filter{States: []State{Completed}, Limit: 1000})
	if err != nil || len(got) != submitters*each {
		t.Errorf("%d tasks completed (%v), want %d", len(got), err, submitters*each)
	}
}
