package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/wasmhost/wasmhost/abi"
)

// dial opens the database at path as package host does.
func dial(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate"+
		"&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)")
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

func openDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// newPath returns the path of a database with the queue's tables in it: a copy,
// because making them takes half a second under the race detector.
func newPath(t testing.TB) string {
	t.Helper()
	content, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	path := emptyPath(t)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// emptyPath returns the path of a database that is not there yet.
func emptyPath(t testing.TB) string { return filepath.Join(t.TempDir(), "host.db") }

var migrated = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "queue")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "host.db")
	db, err := dial(path)
	if err != nil {
		return nil, err
	}
	_, err = Open(context.Background(), db, Config{})
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// open returns a Queue on the database at path, with its own handle, as another
// process would have.
func open(t testing.TB, path string) *Queue {
	t.Helper()
	q, err := Open(t.Context(), openDB(t, path), Config{HostID: "host-a", RetryBase: 20 * time.Millisecond, RetryCap: 80 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// start starts q with the workers w and x and stops it when the test ends.
func start(t testing.TB, q *Queue, run RunFunc) {
	t.Helper()
	startWith(t, q, map[string]WorkerConfig{"w": {Concurrency: 2}, "x": {}}, run)
}

func startWith(t testing.TB, q *Queue, workers map[string]WorkerConfig, run RunFunc) {
	t.Helper()
	if err := q.Start(t.Context(), workers, run); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, q) })
}

// stop ends what runs and waits for it.
func stop(t testing.TB, q *Queue) {
	t.Helper()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := q.Stop(now); err != nil {
		t.Error(err)
	}
}

func submit(t testing.TB, q *Queue, s Submission) string {
	t.Helper()
	if s.Worker == "" {
		s.Worker = "w"
	}
	id, created, err := q.Submit(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	if !created {
		t.Fatalf("task %s existed already", id)
	}
	return id
}

func task(t testing.TB, q *Queue, id string) Record {
	t.Helper()
	r, err := q.Task(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return *r
}

// await returns the task as soon as it satisfies ok.
func await(t testing.TB, q *Queue, id string, what string, ok func(Record) bool) Record {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		r := task(t, q, id)
		if ok(r) {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("task %s is not %s: %+v", id, what, r)
		}
	}
}

func awaitState(t testing.TB, q *Queue, id string, want State) Record {
	t.Helper()
	return await(t, q, id, string(want), func(r Record) bool { return r.State == want })
}

func wantCode(t testing.TB, err error, want abi.Code) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(15 * time.Second):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

func nothing(context.Context, Delivery) (json.RawMessage, error) { return nil, nil }
