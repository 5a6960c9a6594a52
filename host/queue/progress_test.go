package queue

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

func TestProgressIsSeenByOthers(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	q, other := open(t, path), open(t, path)
	step := make(chan int64)
	start(t, q, func(_ context.Context, d Delivery) (json.RawMessage, error) {
		for n := range step {
			d.Progress(n, 100)
		}
		return nil, nil
	})
	id := submit(t, q, Submission{})
	for _, n := range []int64{10, 60} {
		step <- n
		r := await(t, other, id, "further", func(r Record) bool { return r.Done == n })
		if r.State != Running || r.Total != 100 {
			t.Errorf("got %+v", r)
		}
	}
	step <- 99
	step <- 100
	close(step)
	r := awaitState(t, other, id, Completed)
	if r.Done != 100 {
		t.Errorf("a completed task shows %d, want its last, 100", r.Done)
	}
	if got, err := other.List(t.Context(), Filter{}); err != nil || got[0].Done != 100 {
		t.Errorf("listed as %+v, %v", got, err)
	}
}

func TestProgressIsThrottled(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	if _, err := q.db.ExecContext(t.Context(), `
		CREATE TABLE writes (n INTEGER);
		CREATE TRIGGER a AFTER INSERT ON task_progress BEGIN INSERT INTO writes VALUES (1); END;
		CREATE TRIGGER b AFTER UPDATE ON task_progress BEGIN INSERT INTO writes VALUES (1); END`); err != nil {
		t.Fatal(err)
	}
	const lasts = 700 * time.Millisecond
	var calls int64
	start(t, q, func(_ context.Context, d Delivery) (json.RawMessage, error) {
		for end := time.Now().Add(lasts); time.Now().Before(end); {
			calls++
			d.Progress(calls, 0)
		}
		return nil, nil
	})
	r := awaitState(t, q, submit(t, q, Submission{}), Completed)
	if r.Done != calls {
		t.Errorf("shows %d, want %d", r.Done, calls)
	}
	var writes int64
	if err := q.db.QueryRowContext(t.Context(), `SELECT count(*) FROM writes`).Scan(&writes); err != nil {
		t.Fatal(err)
	}
	if most := int64(lasts/progressInterval) + 3; writes > most || writes < 2 {
		t.Errorf("%d calls made %d writes, want 2 to %d", calls, writes, most)
	}
}

func TestProgressOfNegativeCountsAndAfterTheEnd(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	kept := make(chan Delivery, 1)
	start(t, q, func(_ context.Context, d Delivery) (json.RawMessage, error) {
		d.Progress(-5, -1)
		d.Progress(4, -1)
		kept <- d
		return nil, nil
	})
	id := submit(t, q, Submission{})
	awaitState(t, q, id, Completed)
	d := receive(t, kept, "the delivery")
	d.Progress(9, 9)
	if err := q.ledger.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := task(t, q, id); r.Done != 4 || r.Total != 0 {
		t.Errorf("got %d/%d, want 4/0", r.Done, r.Total)
	}
	Delivery{}.Progress(1, 1) // a Delivery made by hand
}

func TestProgressIsSweptWithItsTask(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	id := submit(t, q, Submission{})
	n, err := parseID(id)
	if err != nil {
		t.Fatal(err)
	}
	q.ledger.setProgress(n, counts{1, 2})
	q.ledger.setProgress(n+1, counts{1, 2}) // no such task
	if err := q.ledger.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := q.ledger.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := q.db.QueryRowContext(t.Context(), `SELECT count(*) FROM task_progress`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d rows left (%v), want 1", left, err)
	}
}
