package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

func TestStopDrains(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	q, other := open(t, path), open(t, path)
	began, finish := make(chan struct{}, 3), make(chan struct{})
	start(t, q, func(ctx context.Context, _ Delivery) (json.RawMessage, error) {
		began <- struct{}{}
		select {
		case <-finish:
		case <-ctx.Done():
			t.Error("a drained run was ended")
		}
		return nil, nil
	})
	running := []string{submit(t, q, Submission{}), submit(t, q, Submission{})}
	receive(t, began, "the first run")
	receive(t, began, "the second run")
	waiting := submit(t, q, Submission{})
	stopped := make(chan error, 1)
	go func() { stopped <- q.Stop(context.Background()) }()
	for _, id := range running {
		if s := task(t, other, id).State; s != Running {
			t.Errorf("task %s is %s", id, s)
		}
	}
	close(finish)
	if err := receive(t, stopped, "the stop"); err != nil {
		t.Fatal(err)
	}
	for _, id := range running {
		if s := task(t, other, id).State; s != Completed {
			t.Errorf("after the drain task %s is %s", id, s)
		}
	}
	// It ran if it was fetched before the stop began, and is untouched if not.
	if s := task(t, other, waiting).State; s != Queued && s != Completed {
		t.Errorf("the waiting task is %s", s)
	}
	if err := q.Stop(t.Context()); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

func TestStopInterrupts(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	began := make(chan int, 2)
	run := func(ctx context.Context, d Delivery) (json.RawMessage, error) {
		began <- d.Attempt
		if len(began) == 0 {
			return nil, nil
		}
		<-ctx.Done()
		return nil, abi.Errorf(abi.Permanent, "confused by the end")
	}
	start(t, q, run)
	id := submit(t, q, Submission{MaxAttempts: 1})
	awaitState(t, q, id, Running)
	stop(t, q)
	r := task(t, q, id)
	if r.State != Queued || r.Attempt != 0 || len(r.Errors) != 0 {
		t.Errorf("after an impatient stop: %+v", r)
	}
	if got := receive(t, began, "the first run"); got != 1 {
		t.Errorf("attempt %d, want 1", got)
	}
	start(t, q, func(_ context.Context, d Delivery) (json.RawMessage, error) {
		if d.Attempt != 1 {
			t.Errorf("attempt %d, want 1 again", d.Attempt)
		}
		return nil, nil
	})
	awaitState(t, q, id, Completed)
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	db := openDB(t, newPath(t))
	anonymous, err := Open(t.Context(), db, Config{})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, anonymous.Start(t.Context(), nil, nothing), abi.InvalidArgument)
	q, err := Open(t.Context(), db, Config{HostID: "h"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]WorkerConfig{
		"A": {}, "w": {Concurrency: -1}, "x": {Concurrency: 10_001}, "y": {Deadline: -1}, "z": {MaxAttempts: -1},
	} {
		wantCode(t, q.Start(t.Context(), map[string]WorkerConfig{name: c}, nothing), abi.InvalidArgument)
	}
	start(t, q, nothing)
	wantCode(t, q.Start(t.Context(), nil, nothing), abi.Conflict)
	for _, c := range []Config{{HostID: "a b"}, {HostID: strings.Repeat("h", 65)}, {MaxPayload: -1}, {KeepDead: -1}, {PollInterval: 1}} {
		_, err := Open(t.Context(), db, c)
		wantCode(t, err, abi.InvalidArgument)
	}
}

func TestStartWithoutWorkers(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	startWith(t, q, nil, nothing)
	if s := task(t, q, submit(t, q, Submission{})).State; s != Queued {
		t.Errorf("state %s", s)
	}
}

func TestBadDatabase(t *testing.T) {
	t.Parallel()
	quick := func(t *testing.T, path, options string) *sql.DB {
		t.Helper()
		db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(30)"+options)
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		t.Cleanup(func() { db.Close() }) //nolint:errcheck
		return db
	}
	t.Run("not a database", func(t *testing.T) {
		t.Parallel()
		path := emptyPath(t)
		if err := os.WriteFile(path, []byte(strings.Repeat("no database at all. ", 500)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), quick(t, path, ""), Config{})
		wantCode(t, err, abi.Corrupt)
	})
	t.Run("no such folder", func(t *testing.T) {
		t.Parallel()
		_, err := Open(t.Context(), quick(t, filepath.Join(t.TempDir(), "none", "host.db"), ""), Config{})
		wantCode(t, err, abi.Unavailable)
	})
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		path := newPath(t)
		open(t, path)
		q, err := Open(t.Context(), quick(t, path, "&_pragma=query_only(1)"), Config{})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = q.Submit(t.Context(), Submission{Worker: "w"})
		wantCode(t, err, abi.ReadOnly)
	})
	t.Run("locked", func(t *testing.T) {
		t.Parallel()
		path := newPath(t)
		open(t, path)
		q, err := Open(t.Context(), quick(t, path, ""), Config{})
		if err != nil {
			t.Fatal(err)
		}
		tx, err := openDB(t, path).BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = q.Submit(t.Context(), Submission{Worker: "w"})
		wantCode(t, err, abi.Unavailable)
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		submit(t, q, Submission{})
	})
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		path := newPath(t)
		open(t, path)
		db := quick(t, path, "")
		q, err := Open(t.Context(), db, Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), `PRAGMA max_page_count = 1`); err != nil {
			t.Fatal(err)
		}
		big := json.RawMessage(`{"a":"` + strings.Repeat("x", 1<<19) + `"}`)
		_, _, err = q.Submit(t.Context(), Submission{Worker: "w", Payload: big})
		wantCode(t, err, abi.Full)
	})
}

// A database that stays locked for a while delays tasks and loses none.
func TestLockedWhileWorking(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	q, other := open(t, path), open(t, path)
	locked := make(chan struct{})
	start(t, q, func(context.Context, Delivery) (json.RawMessage, error) {
		<-locked
		return nil, nil
	})
	id := submit(t, q, Submission{})
	awaitState(t, other, id, Running)
	tx, err := other.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	close(locked)
	timer := time.AfterFunc(500*time.Millisecond, func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	})
	defer timer.Stop()
	awaitState(t, q, id, Completed)
}
