package crash

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/wasmhost/wasmhost/cmd/wasmhost/fixture"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
)

const (
	table = "chat_messages"
	// So many rows begin in the primary, and so many of them stay there.
	rows, keep = 240, 40
	// Small pages make many moments in little time.
	page = 10

	stateDir = "state"
	compiled = "compiled" // in stateDir
	hostDB   = stateDir + "/host.db"

	// What the host's log says when it is ready, and when the task is done.
	serving   = `"msg":"serving"`
	completed = `"msg":"task completed"`
)

// databases are those of a site.
var databases = []string{"primary.db", "archive.db", hostDB}

// databaseFiles are their files, in which crashes can be seen.
var databaseFiles = func() (files []string) {
	for _, db := range databases {
		files = append(files, db, db+"-wal", db+"-journal")
	}
	return files
}()

// folders are those in which these files are.
var folders = []string{".", stateDir}

// scene is what a site is made for.
type scene struct {
	worker  string // its name
	source  string // its package, below the root
	config  string // its part of the configuration
	kind    string // of the task
	payload string
	events  string // a pattern of those that it emits

	// look returns what is wrong with the rows of the databases in a folder,
	// which has the files alone.
	look func(ctx context.Context, s *site, dir string) (verdict, error)
}

// archiving moves rows from one database to another.
var archiving = scene{
	worker: "archive", source: "guests/archive", kind: "archive", events: "archive:*",
	payload: fmt.Sprintf(`{"collection":%q,"keep":%d}`, table, keep),
	config: fmt.Sprintf(`
[workers.archive.grants]
commands = ["events/emit", "config/get", "session/get", "session/set"]
config = ["archive.*"]
data = { primary = ["read", "delete"], archive = ["read", "insert", "update"] }
[settings.archive]
batchSize = %d
`, page),
	look: lookForMoved,
}

// site is a folder with a task that is about to begin.
type site struct {
	scene
	dir    string
	binary string
	before image             // of the databases
	rows   map[string]string // of the primary, by id
	task   string
}

// newSite builds the binary and the worker, has the worker compiled, and
// submits the task.
func newSite(t *testing.T, what scene) *site {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{scene: what, dir: filepath.Join(dir, "site"), binary: fixture.Program(t, dir), before: image{}}
	fixture.Guest(t, filepath.Join(dir, "workers", s.worker+".wasm"), s.source)
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.dir, "wasmhost.toml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
state_dir = %q
workers_dir = %q
[data.handles.primary]
path = "primary.db"
[data.handles.archive]
path = "archive.db"
%s`, stateDir, filepath.Join(dir, "workers"), s.config), 0o600); err != nil {
		t.Fatal(err)
	}
	makeTable(t, filepath.Join(s.dir, "primary.db"), rows)
	makeTable(t, filepath.Join(s.dir, "archive.db"), 0)

	// A host without a task compiles the worker, which the others then need not.
	idle := s.host(s.dir)
	idle.until = serving
	if r, err := trace(idle, nil); err != nil || r.exit != 0 {
		t.Fatalf("a host with nothing to do: %v, %+v", err, r)
	}
	cfg, err := config.Load(config.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	state, err := host.OpenState(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.task, _, err = state.Submit(t.Context(), queue.Submission{
		Worker: s.worker, Kind: s.kind, Payload: json.RawMessage(s.payload),
	})
	if err := errors.Join(err, state.Close()); err != nil {
		t.Fatal(err)
	}
	if s.before, err = readImage(s.dir); err != nil {
		t.Fatal(err)
	}
	if s.rows, err = readTable(t.Context(), filepath.Join(s.dir, "primary.db")); err != nil || len(s.rows) != rows {
		t.Fatalf("%d rows: %v", len(s.rows), err)
	}
	// Looking may have changed which files there are.
	if err := s.fill(s.dir, s.before); err != nil {
		t.Fatal(err)
	}
	return s
}

// host is the program that runs the task.
func (s *site) host(dir string) program {
	return program{
		argv: []string{s.binary, "--config", filepath.Join(dir, "wasmhost.toml"), "run"},
		env:  []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "WASMHOST_LOG__FORMAT=json"},
		dir:  dir, until: completed,
	}
}

// copy makes another site with these databases. Remove it when done.
func (s *site) copy(dbs image) (string, error) {
	dir, err := os.MkdirTemp(filepath.Dir(s.dir), "copy")
	if err != nil {
		return "", err
	}
	return dir, errors.Join(s.copyTo(dir), s.fill(dir, dbs))
}

func (s *site) copyTo(dir string) error {
	if err := os.Mkdir(filepath.Join(dir, stateDir), 0o700); err != nil {
		return err
	}
	for _, name := range []string{"wasmhost.toml", filepath.Join(stateDir, "host.id")} {
		b, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	// Compiled code is only read, and the files are large.
	code := os.DirFS(filepath.Join(s.dir, stateDir))
	return fs.WalkDir(code, compiled, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, stateDir, name)
		if d.IsDir() {
			return os.Mkdir(to, 0o700)
		}
		return os.Link(filepath.Join(s.dir, stateDir, name), to)
	})
}

// fill gives a folder these databases and no other files of databases.
func (s *site) fill(dir string, dbs image) error {
	if err := os.MkdirAll(filepath.Join(dir, stateDir), 0o700); err != nil {
		return err
	}
	for _, db := range databases {
		if err := os.Remove(filepath.Join(dir, db+"-shm")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, file := range databaseFiles {
		path := filepath.Join(dir, file)
		data, ok := dbs[file]
		if !ok {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// readImage reads the files of the databases.
func readImage(dir string) (image, error) {
	m := image{}
	for _, file := range databaseFiles {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m[file] = b
	}
	return m, nil
}

// outcome is what the host recorded of the task: all of it is the same after
// any number of crashes.
type outcome struct {
	state  queue.State
	result string
	events []string
}

// outcome reads what became of the task on a site whose host has stopped.
func (s *site) outcome(ctx context.Context, dir string) (*outcome, error) {
	cfg, err := config.Load(config.Options{File: filepath.Join(dir, "wasmhost.toml")})
	if err != nil {
		return nil, err
	}
	state, err := host.OpenState(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer state.Close()
	task, err := state.Queue.Task(ctx, s.task)
	if err != nil {
		return nil, err
	}
	o := &outcome{state: task.State}
	if task.State == queue.Completed {
		if o.result, err = timeless(task.Result); err != nil {
			return nil, err
		}
	}
	events, err := state.Events.Since(ctx, 0, 10*rows, s.events)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		data, err := timeless(e.Data)
		if err != nil {
			return nil, err
		}
		o.events = append(o.events, e.Name+" "+data)
	}
	return o, nil
}

// timeless returns an object without what depends on the clock.
func timeless(object json.RawMessage) (string, error) {
	var m map[string]any
	if err := json.Unmarshal(object, &m); err != nil {
		return "", err
	}
	delete(m, "duration_ms")
	b, err := json.Marshal(m)
	return string(b), err
}

func open(path string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
}

// makeTable makes a database with n rows, some of which are larger than a
// page of SQLite.
func makeTable(t *testing.T, path string, n int) {
	t.Helper()
	db, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	exec := func(query string, args ...any) {
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("PRAGMA journal_mode = WAL")
	exec("CREATE TABLE " + logTable + " (task TEXT, n INTEGER, body TEXT)")
	exec("CREATE TABLE " + table + " (id TEXT PRIMARY KEY, timestamp TEXT NOT NULL, version REAL, content TEXT, extra BLOB)")
	exec("BEGIN")
	for i := range n {
		extra := []byte{byte(i), 0, 0xff}
		if i%25 == 0 {
			extra = slices.Repeat(extra, 2000)
		}
		exec("INSERT INTO "+table+" VALUES (?, ?, ?, ?, ?)",
			fmt.Sprintf("id-%x", i*2654435761), fmt.Sprintf("2026-01-01T00:00:%08d", i/3), i, strings.Repeat(fmt.Sprintf("text of %d, ", i), 1+i%9), extra)
	}
	exec("COMMIT")
}
