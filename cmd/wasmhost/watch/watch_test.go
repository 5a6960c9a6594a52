package watch

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/queue"
)

// script plays successive states of a task, the last one for ever.
type script struct {
	records []queue.Record
	next    int
}

func (s *script) Task(ctx context.Context, id string) (*queue.Record, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r := s.records[min(s.next, len(s.records)-1)]
	s.next++
	r.ID = id
	return &r, nil
}

func running(done, total int64) queue.Record {
	return queue.Record{State: queue.Running, Attempt: 1, MaxAttempts: 3, Done: done, Total: total}
}

func TestLines(t *testing.T) {
	t.Parallel()
	failure := []queue.Failure{{Attempt: 1, Code: abi.Unavailable, Message: "locked"}}
	at := time.Date(2024, 5, 1, 12, 0, 0, 0, time.Local)
	tests := []struct {
		name    string
		records []queue.Record
		want    string
	}{
		{"completes", []queue.Record{
			{State: queue.Queued}, {State: queue.Queued}, running(0, 0), running(5, 100), running(10, 100), running(12, 100), running(100, 100),
			{State: queue.Completed, Attempt: 1, Done: 100, Total: 100},
		}, "task 7 queued\ntask 7 running, attempt 1 of 3\ntask 7 10 of 100 rows (10 %)\ntask 7 100 of 100 rows (100 %)\ntask 7 completed\n"},
		{"ends between two looks", []queue.Record{
			running(0, 0), {State: queue.Completed, Attempt: 1, Done: 100, Total: 100},
		}, "task 7 running, attempt 1 of 3\ntask 7 100 of 100 rows (100 %)\ntask 7 completed\n"},
		{"retries and dies", []queue.Record{
			running(0, 0),
			{State: queue.Retrying, Attempt: 1, Errors: failure, ScheduledAt: at},
			{State: queue.Running, Attempt: 2, MaxAttempts: 2, Errors: failure},
			{State: queue.Dead, Attempt: 2, Errors: failure},
		}, "task 7 running, attempt 1 of 3\ntask 7 retrying, next attempt at 2024-05-01 12:00:00: unavailable: locked\n" +
			"task 7 running, attempt 2 of 2\ntask 7 dead: unavailable: locked\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				r, err := Task(t.Context(), &script{records: tt.records}, "7", Options{Out: &out, Unit: "rows"})
				if err != nil || r.State != tt.records[len(tt.records)-1].State {
					t.Fatalf("got %+v, %v", r, err)
				}
				if got := out.String(); got != tt.want {
					t.Errorf("got\n%s\nwant\n%s", got, tt.want)
				}
			})
		})
	}
}

func TestLinesWithoutTotal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// A count each poll for 25 seconds: far fewer lines than counts.
		s := &script{records: []queue.Record{running(0, 0)}}
		for i := range int64(500) {
			s.records = append(s.records, running(i+1, 0))
		}
		s.records = append(s.records, queue.Record{State: queue.Completed, Attempt: 1, Done: 500})
		var out bytes.Buffer
		if _, err := Task(t.Context(), s, "7", Options{Out: &out}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(out.String(), "steps\n"); got != 2 {
			t.Errorf("got %d lines of progress in 25 s, want 2:\n%s", got, &out)
		}
	})
}

func TestIdleIsSaidOnce(t *testing.T) {
	t.Parallel()
	for _, terminal := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("enough"))
			defer cancel()
			var out bytes.Buffer
			r, err := Task(ctx, &script{records: []queue.Record{{State: queue.Queued}}}, "7", Options{Out: &out, Terminal: terminal, Idle: "nobody runs"})
			if err == nil || err.Error() != "enough" || r == nil || r.State != queue.Queued {
				t.Errorf("got %+v, %v; want the queued task and the cause", r, err)
			}
			if got := strings.Count(out.String(), "nobody runs\n"); got != 1 {
				t.Errorf("terminal %t: said %d times, want once:\n%s", terminal, got, &out)
			}
		})
	}
}

func TestBar(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &script{records: []queue.Record{
			{State: queue.Queued}, running(0, 0), running(0, 200), running(50, 200), running(200, 200), {State: queue.Completed, Attempt: 1, Done: 200, Total: 200},
		}}
		if _, err := Task(t.Context(), s, "7", Options{Out: &out, Terminal: true, Unit: "rows"}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"task 7", "25%", "(50/200", "rows/s", "100%", "(200/200"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the bar never shows %q:\n%q", want, &out)
			}
		}
		if strings.Contains(out.String(), "queued") {
			t.Errorf("the bar is drawn before the task runs:\n%q", &out)
		}
	})
}

func TestUnknownTask(t *testing.T) {
	t.Parallel()
	_, err := Task(t.Context(), missing{}, "7", Options{})
	if !errors.Is(err, abi.NotFound) {
		t.Errorf("got %v, want %v", err, abi.NotFound)
	}
}

type missing struct{}

func (missing) Task(context.Context, string) (*queue.Record, error) {
	return nil, abi.Errorf(abi.NotFound, "no task")
}
