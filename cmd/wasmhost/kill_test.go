package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/wasmhost/wasmhost/cmd/wasmhost/fixture"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
)

// TestKilledHostLosesNothing runs the real binary and kills it with SIGKILL at
// up to ten random moments while its worker archives, and at five at least. In the end every row must be
// in exactly one of the two databases, unchanged, every event recorded once,
// and the task completed.
func TestKilledHostLosesNothing(t *testing.T) {
	t.Parallel()
	const (
		rows, keep = 3000, 200
		kills      = 10
		fewest     = 5
	)
	dir := t.TempDir()
	binary := fixture.Program(t, dir)
	fixture.Guest(t, filepath.Join(dir, "workers", "archive.wasm"), "guests/archive")
	file := filepath.Join(dir, "wasmhost.toml")
	// Small pages make many moments to be killed in.
	if err := os.WriteFile(file, []byte(`
[data.handles.primary]
path = "primary.db"
[data.handles.archive]
path = "archive.db"
[workers.archive]
max_attempts = 3 # fewer than kills: an interrupted attempt does not count
[workers.archive.grants]
commands = ["events/emit", "config/get", "session/get", "session/set"]
config = ["archive.*"]
data = { primary = ["read", "delete"], archive = ["read", "insert", "update"] }
[settings.archive]
batchSize = 10
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"primary.db", "archive.db"} {
		db := openTable(t, filepath.Join(dir, name))
		if name == "primary.db" {
			fillTable(t, db, rows)
		}
	}
	original := readTable(t, filepath.Join(dir, "primary.db"))

	cfg, err := config.Load(config.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	state, err := host.OpenState(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	id, _, err := state.Submit(t.Context(), queue.Submission{
		Worker: "archive", Kind: "archive",
		Payload: json.RawMessage(fmt.Sprintf(`{"collection":"chat_messages","keep":%d}`, keep)),
	})
	if err != nil {
		t.Fatal(err)
	}

	var task *queue.Record
	done := int64(0)
	killed := 0
	for ; killed < kills; killed++ {
		run := exec.Command(binary, "--config", file, "run")
		var log bytes.Buffer
		run.Stderr = &log
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		var err error
		task, err = pollTask(t, state, id, func(task *queue.Record) bool { return task.Done > done || task.State.Finished() })
		if err == nil && !task.State.Finished() {
			// The moment of the kill is the point of this test, and random.
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		}
		_ = run.Process.Kill()
		_ = run.Wait()
		if err != nil {
			t.Fatalf("%v; the host said:\n%s", err, &log)
		}
		// What it wrote until it died, so that the next one must do something,
		// and not only be alive, before it is killed.
		if task, err = state.Queue.Task(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if task.State.Finished() {
			break
		}
		done = task.Done
	}
	if killed < fewest {
		t.Fatalf("the task ended before the kill number %d: make it longer", killed+1)
	}
	if !task.State.Finished() {
		task = lastHost(t, state, id, binary, file)
	}
	if task.State != queue.Completed || len(task.Errors) != killed {
		t.Errorf("the task is %s, with %d interruptions on record; want completed with %d", task.State, len(task.Errors), killed)
	}
	primary, archive := readTable(t, filepath.Join(dir, "primary.db")), readTable(t, filepath.Join(dir, "archive.db"))
	if len(primary) != keep || len(archive) != rows-keep {
		t.Errorf("%d rows in the primary, %d in the archive; want %d and %d", len(primary), len(archive), keep, rows-keep)
	}
	for id, row := range original {
		p, inPrimary := primary[id]
		a, inArchive := archive[id]
		switch {
		case !inPrimary && !inArchive:
			t.Errorf("row %s is lost", id)
		case inPrimary && inArchive:
			t.Errorf("row %s is in both", id)
		case p+a != row:
			t.Errorf("row %s was %s and is %s", id, row, p+a)
		}
	}
	seen := map[string]int{}
	for event, err := range state.Events.Follow(t.Context(), 0, "archive:*") {
		if err != nil {
			t.Fatal(err)
		}
		seen[event.Name+string(event.Data)]++
		if event.Name == "archive:complete" {
			break
		}
	}
	for event, n := range seen {
		if n != 1 {
			t.Errorf("recorded %d times: %s", n, event)
		}
	}
	if want := (rows-keep)/100 + 1; len(seen) != want {
		t.Errorf("%d events, want %d", len(seen), want)
	}
}

// lastHost runs a host until the task has ended, and interrupts it.
func lastHost(t *testing.T, state *host.State, id, binary, file string) *queue.Record {
	t.Helper()
	run := exec.Command(binary, "--config", file, "run")
	var log bytes.Buffer
	run.Stderr = &log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	task, err := pollTask(t, state, id, func(task *queue.Record) bool { return task.State.Finished() })
	_ = run.Process.Signal(os.Interrupt)
	if werr := run.Wait(); werr != nil {
		t.Errorf("the last host, after an interrupt: %v\n%s", werr, &log)
	}
	if err != nil {
		t.Fatalf("%v; the host said:\n%s", err, &log)
	}
	return task
}

// pollTask polls a task until it is as wanted.
func pollTask(t *testing.T, state *host.State, id string, wanted func(*queue.Record) bool) (*queue.Record, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		task, err := state.Queue.Task(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("watching task %s: %w", id, err)
		}
		if wanted(task) {
			return task, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func openTable(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Exec("CREATE TABLE IF NOT EXISTS chat_messages (id TEXT PRIMARY KEY, timestamp TEXT NOT NULL, version REAL, content TEXT, extra BLOB)"); err != nil {
		t.Fatal(err)
	}
	return db
}

func fillTable(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := tx.Exec("INSERT INTO chat_messages VALUES (?, ?, ?, ?, ?)",
			fmt.Sprintf("id-%x", i*2654435761), fmt.Sprintf("2026-01-01T00:00:%08d", i/3), i, fmt.Sprintf("text of %d", i), []byte{byte(i), 0, 0xff}); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// readTable returns all rows by id, in a form in which only equal rows look equal.
func readTable(t *testing.T, path string) map[string]string {
	t.Helper()
	rows, err := openTable(t, path).Query("SELECT id, quote(timestamp) || quote(version) || quote(content) || quote(extra) FROM chat_messages")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var id, row string
		if err := rows.Scan(&id, &row); err != nil {
			t.Fatal(err)
		}
		all[id] = row
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
