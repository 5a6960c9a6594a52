package command

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/wasmhost/wasmhost/abi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openDB opens the database at path as package host does.
func openDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate"+
		"&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "host.db") }

// openLog returns an event log on the database at path, with its own handle, as
// another process would have.
func openLog(t testing.TB, path string) *Events {
	t.Helper()
	log, err := OpenEvents(t.Context(), openDB(t, path), EventsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func openSessions(t testing.TB, path string) *Sessions {
	t.Helper()
	s, err := OpenSessions(t.Context(), openDB(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type mapConfig map[string]any

func (m mapConfig) Lookup(_ context.Context, key string) (any, bool, error) {
	v, ok := m[key]
	return v, ok, nil
}

// taskList is a Submitter that remembers what it was given.
type taskList struct {
	got []Submission
	err error
}

func (l *taskList) SubmitTask(_ context.Context, s Submission) (string, bool, error) {
	if l.err != nil {
		return "", false, l.err
	}
	l.got = append(l.got, s)
	return "17", len(l.got) == 1, nil
}

// world is a Router with the built-in commands and what they work on.
type world struct {
	router   *Router
	events   *Events
	sessions *Sessions
	config   mapConfig
	tasks    *taskList
}

func newWorld(t testing.TB) *world {
	t.Helper()
	path := newPath(t)
	w := &world{
		router: NewRouter(nil), events: openLog(t, path), sessions: openSessions(t, path),
		config: mapConfig{}, tasks: &taskList{},
	}
	if err := RegisterBuiltins(w.router, Builtins{Events: w.events, Sessions: w.sessions, Config: w.config, Tasks: w.tasks}); err != nil {
		t.Fatal(err)
	}
	return w
}

func caller(worker string, commands ...string) Caller {
	return Caller{Worker: worker, Task: "t1", Grants: Grants{Commands: commands, Events: []string{"*"}}}
}

// everything is a worker that may call every built-in command and read every
// key without a dot in it.
func everything(worker string) Caller {
	c := caller(worker, "ping", "events/*", "config/*", "session/*", "tasks/*")
	c.Grants.Config = []string{"archive.*"}
	return c
}

// execute calls a command with params as another msgpack library writes them.
func execute(t testing.TB, r *Router, c Caller, name string, params any) (map[string]any, error) {
	t.Helper()
	b, err := msgpack.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.Execute(context.Background(), c, name, b)
	if err != nil {
		return nil, err
	}
	d := msgpack.NewDecoder(bytes.NewReader(out))
	result, err := d.DecodeMap()
	if err != nil {
		t.Fatalf("result % x: %v", out, err)
	}
	return result, nil
}

func mustExecute(t testing.TB, r *Router, c Caller, name string, params any) map[string]any {
	t.Helper()
	result, err := execute(t, r, c, name, params)
	if err != nil {
		t.Fatal(err)
	}
	return result
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
	case v, ok := <-c:
		if !ok {
			t.Fatalf("%s did not come: closed", what)
		}
		return v
	case <-time.After(15 * time.Second):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

func emit(t testing.TB, log *Events, events ...Event) []int64 {
	t.Helper()
	ids, err := log.Emit(context.Background(), events...)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}
