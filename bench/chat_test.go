package bench

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/metrics"
	"github.com/wasmhost/wasmhost/host/queue"
)

const schema = `CREATE TABLE chat_messages (
	id TEXT PRIMARY KEY, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, version REAL NOT NULL,
	room_id TEXT NOT NULL, sender_id TEXT NOT NULL, sender_name TEXT, sender_type TEXT, content TEXT,
	status TEXT, priority TEXT, timestamp TEXT NOT NULL, edited_at TEXT, reactions TEXT, thread TEXT,
	reply_to_id TEXT, metadata TEXT)`

const columns = 17

// guests are the workers' files. Those in Go are built once for all benchmarks.
var guests = map[string]string{"c": "cguest/guest.wasm"}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "bench")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		for name, pkg := range map[string]string{
			"archive": "github.com/wasmhost/wasmhost/guests/archive", "go": "./guest",
		} {
			file := filepath.Join(dir, name+".wasm")
			build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, pkg)
			build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "building %s: %v\n%s", pkg, err, out)
				return 1
			}
			guests[name] = file
		}
		return m.Run()
	}())
}

func open(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(10000)&_pragma=cache_size(-65536)&_txlock=immediate")
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	return db
}

// newDatabase makes a database of n chat messages of about 400 bytes, with
// random keys, and an index on their time.
func newDatabase(tb testing.TB, path string, n int) {
	tb.Helper()
	db := open(tb, path)
	defer db.Close()
	random := rand.New(rand.NewPCG(1, 2))
	tx, err := db.Begin()
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := tx.Exec(schema); err != nil {
		tb.Fatal(err)
	}
	insert, err := tx.Prepare("INSERT INTO chat_messages VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")
	if err != nil {
		tb.Fatal(err)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "etaoin shrdlu"[random.IntN(13)]
		}
		return string(b)
	}
	uuid := func() string {
		return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", random.Uint32(), random.IntN(1<<16), random.IntN(1<<12), random.IntN(1<<12), random.Uint64()>>16)
	}
	for i := range n {
		at := start.Add(time.Duration(i) * time.Second).Format("2006-01-02T15:04:05.000Z")
		if _, err := insert.Exec(uuid(), at, at, 1.0, uuid(), uuid(), "Ada", "user", `{"text":"`+text(120)+`"}`,
			"sent", "normal", at, nil, "[]", nil, nil, "{}"); err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := tx.Exec("CREATE INDEX by_time ON chat_messages(timestamp)"); err != nil {
		tb.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		tb.Fatal(err)
	}
}

func newArchive(tb testing.TB, path string) {
	tb.Helper()
	db := open(tb, path)
	defer db.Close()
	if _, err := db.Exec(schema); err != nil {
		tb.Fatal(err)
	}
}

func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	src, err := os.Open(from)
	if err != nil {
		tb.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		tb.Fatal(err)
	}
	// Or it would be written in the middle of what is measured.
	if err := errors.Join(dst.Sync(), dst.Close()); err != nil {
		tb.Fatal(err)
	}
}

// server is a host with all guests and the handles primary and archive.
type server struct {
	host *host.Host
	stop func()
}

func newServer(tb testing.TB, dir string) *server {
	tb.Helper()
	workers := filepath.Join(dir, "workers")
	if err := os.Mkdir(workers, 0o755); err != nil {
		tb.Fatal(err)
	}
	for name, file := range guests {
		copyFile(tb, file, filepath.Join(workers, name+".wasm"))
	}
	file := filepath.Join(dir, "wasmhost.toml")
	text := `
[data.handles.primary]
path = "primary.db"
[data.handles.archive]
path = "archive.db"
[workers.archive.grants]
commands = ["events/emit", "config/get", "session/get", "session/set"]
config = ["archive.*"]
data = { primary = ["read", "delete"], archive = ["read", "insert", "update"] }
[workers.go]
concurrency = 2
[workers.go.limits]
commands = 10000000
[workers.go.grants]
commands = ["ping", "c/answer"]
data = { primary = ["read"] }
[workers.c.grants]
provides = ["c/answer"]
data = { primary = ["read"] }
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	cfg, err := config.Load(config.Options{File: file, Flags: map[string]string{
		"state_dir": filepath.Join(dir, "state"), "workers_dir": workers,
	}})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h, err := host.New(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	select {
	case <-h.Ready():
	case err := <-done:
		tb.Fatal(err)
	}
	return &server{host: h, stop: func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
		if err := h.Close(); err != nil {
			tb.Error(err)
		}
	}}
}

// outcome is what a task returned and took.
type outcome struct {
	Result json.RawMessage
	Bill   metrics.Bill
}

// run submits a task, waits for its end and returns what came of it. What it
// cost is in the bill, so waiting by a poll does not falsify it.
func (s *server) run(tb testing.TB, worker, kind, payload string) outcome {
	tb.Helper()
	ctx := context.Background()
	id, _, err := s.host.State().Submit(ctx, queue.Submission{Worker: worker, Kind: kind, Payload: json.RawMessage(payload), MaxAttempts: 1})
	if err != nil {
		tb.Fatal(err)
	}
	for {
		task, err := s.host.State().Queue.Task(ctx, id)
		if err != nil {
			tb.Fatal(err)
		}
		if task.State == queue.Completed {
			var bill metrics.Bill
			if err := json.Unmarshal(task.Bill, &bill); err != nil {
				tb.Fatal(err)
			}
			return outcome{Result: task.Result, Bill: bill}
		}
		if task.State.Finished() {
			tb.Fatalf("task %s is %s: %+v", id, task.State, task.Errors)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func wall(out outcome) time.Duration { return time.Duration(out.Bill.WallMS * 1e6) }

// cpu is the processor time that this process has taken.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// samples are the times that the sides of a comparison took, by name, in rounds
// of one each. Others use the machine as well, so what is told of a side is its
// median, and of two sides the median of what the rounds say.
type samples map[string][]time.Duration

func (s samples) add(side string, took time.Duration) { s[side] = append(s[side], took) }

// rate reports the rows that a side does in a second.
func (s samples) rate(b *testing.B, rows int, sides ...string) {
	for _, side := range sides {
		b.ReportMetric(float64(rows)/median(s[side]).Seconds(), side+"-rows/s")
	}
}

// ratio returns how many times as fast side is as base.
func (s samples) ratio(side, base string) float64 {
	ratios := make([]float64, len(s[side]))
	for i := range ratios {
		ratios[i] = s[base][i].Seconds() / s[side][i].Seconds()
	}
	return median(ratios)
}

// ratios reports ratio for each base, by the name side/base and what follows.
func (s samples) ratios(b *testing.B, side, what string, bases ...string) {
	for _, base := range bases {
		b.ReportMetric(s.ratio(side, base), side+"/"+base+what)
	}
}

func median[T time.Duration | float64](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
