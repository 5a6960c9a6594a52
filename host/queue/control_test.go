package queue

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

func TestCancelWaiting(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	q, other := open(t, path), open(t, path)
	for _, s := range []Submission{{Worker: "w"}, {Worker: "w", At: time.Now().Add(time.Hour)}} {
		id := submit(t, q, s)
		got, err := other.Cancel(t.Context(), id)
		if err != nil || got.State != Cancelled || got.FinalizedAt.IsZero() {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	start(t, q, func(context.Context, Delivery) (json.RawMessage, error) {
		t.Error("a cancelled task ran")
		return nil, nil
	})
	awaitState(t, q, submit(t, q, Submission{Worker: "nobody"}), Queued)
}

// A run ends soon after its task is cancelled, by this process or another.
func TestCancelRunning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		remote bool
		within time.Duration // on a busy machine; the package's comment has an idle one's
	}{{"same process", false, 100 * time.Millisecond}, {"another process", true, 2 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			q := open(t, path)
			by := q
			if c.remote {
				by = open(t, path)
			}
			began, ended := make(chan struct{}), make(chan time.Time, 1)
			start(t, q, func(ctx context.Context, _ Delivery) (json.RawMessage, error) {
				close(began)
				<-ctx.Done()
				ended <- time.Now()
				return nil, abi.Errorf(abi.Failed, "interrupted somewhere")
			})
			id := submit(t, q, Submission{})
			receive(t, began, "the run")
			if got, err := by.Cancel(t.Context(), id); err != nil || got.State != Running {
				t.Errorf("got %+v, %v", got, err)
			}
			asked := time.Now()
			if d := receive(t, ended, "the end of the context").Sub(asked); d > c.within {
				t.Errorf("the context ended after %v, want %v", d, c.within)
			}
			r := awaitState(t, by, id, Cancelled)
			if len(r.Errors) != 1 || r.Errors[0].Code != abi.Cancelled {
				t.Errorf("got %+v", r.Errors)
			}
		})
	}
}

// A cancel is about the attempt that runs, not about one that a person begins
// after it, however soon.
func TestRetryRightAfterCancel(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	start(t, q, func(ctx context.Context, d Delivery) (json.RawMessage, error) {
		if d.Attempt == 1 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		select { // longer than the notification of the cancel takes
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(150 * time.Millisecond):
			return nil, nil
		}
	})
	for range 5 {
		id := submit(t, q, Submission{})
		awaitState(t, q, id, Running)
		if _, err := q.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		awaitState(t, q, id, Cancelled)
		if _, err := q.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if r := await(t, q, id, "ended", func(r Record) bool { return r.State.Finished() }); r.State != Completed {
			t.Fatalf("the retried task is %s: %+v", r.State, r.Errors)
		}
	}
}

func TestCancelTooLate(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	start(t, q, func(ctx context.Context, d Delivery) (json.RawMessage, error) {
		if d.Kind == "stubborn" {
			<-ctx.Done()
		}
		return json.RawMessage(`1`), nil
	})
	done := submit(t, q, Submission{})
	awaitState(t, q, done, Completed)
	if got, err := q.Cancel(t.Context(), done); err != nil || got.State != Completed {
		t.Errorf("cancelling a completed task: got %+v, %v", got, err)
	}
	stubborn := submit(t, q, Submission{Kind: "stubborn"})
	awaitState(t, q, stubborn, Running)
	if _, err := q.Cancel(t.Context(), stubborn); err != nil {
		t.Error(err)
	}
	if r := awaitState(t, q, stubborn, Completed); string(r.Result) != "1" {
		t.Errorf("a run that succeeded although cancelled: %+v", r)
	}
}

func TestRetryByHand(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	good := make(chan struct{})
	start(t, q, func(ctx context.Context, d Delivery) (json.RawMessage, error) {
		select {
		case <-good:
			return nil, nil
		default:
		}
		switch d.Kind {
		case "permanent":
			return nil, abi.Errorf(abi.Permanent, "no")
		case "running":
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, abi.Errorf(abi.Failed, "no")
	})
	permanent := submit(t, q, Submission{Kind: "permanent"})
	exhausted := submit(t, q, Submission{MaxAttempts: 1})
	running := submit(t, q, Submission{Worker: "x", Kind: "running"})
	scheduled := submit(t, q, Submission{At: time.Now().Add(time.Hour)})
	cancelled := submit(t, q, Submission{At: time.Now().Add(time.Hour)})
	awaitState(t, q, permanent, Dead)
	awaitState(t, q, exhausted, Dead)
	awaitState(t, q, running, Running)
	if _, err := q.Cancel(t.Context(), cancelled); err != nil {
		t.Fatal(err)
	}
	_, err := q.Retry(t.Context(), running)
	wantCode(t, err, abi.Conflict)
	close(good)
	for _, id := range []string{permanent, exhausted, scheduled, cancelled} {
		if _, err := q.Retry(t.Context(), id); err != nil {
			t.Error(err)
		}
		awaitState(t, q, id, Completed)
	}
	_, err = q.Retry(t.Context(), permanent)
	wantCode(t, err, abi.Conflict)
	if r := task(t, q, exhausted); r.Attempt != 2 || r.MaxAttempts != 2 || len(r.Errors) != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestRetryWhoseUniqueKeyIsTaken(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	old := submit(t, q, Submission{UniqueKey: "k"})
	if _, err := q.Cancel(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	submit(t, q, Submission{UniqueKey: "k"})
	_, err := q.Retry(t.Context(), old)
	wantCode(t, err, abi.Conflict)
	if s := task(t, q, old).State; s != Cancelled {
		t.Errorf("state %s", s)
	}
}

func TestNoSuchTask(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	for _, id := range []string{"1", "0", "-1", "", "x", "01", "9223372036854775808", "1 OR 1=1"} {
		_, err := q.Task(t.Context(), id)
		wantCode(t, err, abi.NotFound)
		_, err = q.Cancel(t.Context(), id)
		wantCode(t, err, abi.NotFound)
		_, err = q.Retry(t.Context(), id)
		wantCode(t, err, abi.NotFound)
	}
}

// List by state and the state in a Record are two pieces of code; here they
// must agree for every state.
func TestListByState(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	q, other := open(t, path), open(t, path)
	q.cfg.RetryBase, q.cfg.RetryCap = time.Minute, time.Minute
	start(t, q, func(ctx context.Context, d Delivery) (json.RawMessage, error) {
		switch d.Kind {
		case "dead":
			return nil, abi.Permanent
		case "retrying":
			return nil, abi.Failed
		case "running":
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return nil, nil
	})
	want := map[State][]string{}
	for s, submission := range map[State]Submission{
		Queued:    {Worker: "nobody"},
		Scheduled: {At: time.Now().Add(time.Hour)},
		Running:   {Worker: "x", Kind: "running"},
		Retrying:  {Kind: "retrying"},
		Completed: {},
		Cancelled: {Worker: "nobody"},
		Dead:      {Kind: "dead"},
	} {
		id := submit(t, q, submission)
		if s == Cancelled {
			if _, err := q.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		awaitState(t, q, id, s)
		want[s] = []string{id}
	}
	soon := submit(t, q, Submission{Worker: "nobody", At: time.Now().Add(9 * time.Second)})
	want[Scheduled] = append(want[Scheduled], soon)
	for _, s := range States() {
		got, err := other.List(t.Context(), Filter{States: []State{s}})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range got {
			ids = append(ids, r.ID)
			if r.State != s {
				t.Errorf("listing %s gives task %s, which is %s", s, r.ID, r.State)
			}
		}
		slices.Sort(ids)
		slices.Sort(want[s])
		if !slices.Equal(ids, want[s]) {
			t.Errorf("listing %s gives %v, want %v", s, ids, want[s])
		}
	}
	if got, err := other.List(t.Context(), Filter{States: []State{Dead, Completed, Dead}}); err != nil || len(got) != 2 {
		t.Errorf("listing two states gives %d tasks, %v", len(got), err)
	}
	if got, err := other.List(t.Context(), Filter{Worker: "x"}); err != nil || len(got) != 1 {
		t.Errorf("listing worker x gives %d tasks, %v", len(got), err)
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	var want []string
	for range 7 {
		want = append(want, submit(t, q, Submission{}))
	}
	slices.Reverse(want)
	var got []string
	for f := (Filter{Limit: 3}); ; {
		page, err := q.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			got = append(got, r.ID)
		}
		f.After = page[len(page)-1].ID
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, f := range []Filter{{Limit: -1}, {Limit: 1001}, {States: []State{"odd"}}, {Worker: "A"}} {
		_, err := q.List(t.Context(), f)
		wantCode(t, err, abi.InvalidArgument)
	}
}
