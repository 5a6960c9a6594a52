package host_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/metrics"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/worker"
)

var (
	archiveWasm string // the archive worker, built by TestMain
	historyWasm string // the worker of testdata/history
	compiled    string // a compile cache that knows it
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "host")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		archiveWasm, historyWasm = filepath.Join(dir, "archive.wasm"), filepath.Join(dir, "history.wasm")
		for wasm, source := range map[string]string{archiveWasm: "../guests/archive", historyWasm: "./testdata/history/guest"} {
			build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", wasm, source)
			build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "building %s: %v\n%s", source, err, out)
				return 1
			}
		}
		// Compiling takes seconds under the race detector: once is enough.
		w := &world{dir: filepath.Join(dir, "world")}
		w.must(os.MkdirAll(filepath.Join(w.dir, "workers"), 0o755))
		w.must(os.Link(archiveWasm, filepath.Join(w.dir, "workers", "archive.wasm")))
		w.must(os.Link(historyWasm, filepath.Join(w.dir, "workers", "history.wasm")))
		h, err := host.New(context.Background(), w.config(), slog.New(slog.DiscardHandler))
		w.must(err)
		w.must(h.Close())
		compiled = filepath.Join(w.dir, "state", "compiled")
		return m.Run()
	}())
}

// world is a folder with a host's configuration, workers and databases.
type world struct {
	testing.TB
	dir     string
	toml    string
	adapter string // of the databases
	timeout string // when they are locked
}

const grants = `
[workers.archive]
max_attempts = 1
[workers.archive.grants]
commands = ["events/emit", "config/get", "session/get", "session/set"]
config = ["archive.*"]
data = { primary = ["read", "delete"], archive = ["read", "insert", "update"] }
[settings.archive]
batchSize = 200
`

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir(), toml: grants, adapter: "daemon", timeout: "100ms"}
	w.must(os.Mkdir(w.path("workers"), 0o755))
	w.must(os.Link(archiveWasm, w.path("workers/archive.wasm")))
	w.must(os.CopyFS(w.path("state/compiled"), os.DirFS(compiled)))
	w.makeTable("primary.db")
	w.makeTable("archive.db")
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

func (w *world) must(err error) {
	if err == nil {
		return
	}
	if w.TB == nil {
		panic(err)
	}
	w.Helper()
	w.Fatal(err)
}

func (w *world) config() *config.Config {
	file := filepath.Join(w.dir, "wasmhost.toml")
	text := "state_dir = 'state'\nworkers_dir = 'workers'\n" +
		fmt.Sprintf("[data]\nadapter = '%s'\n", w.adapter) +
		fmt.Sprintf("[data.handles.primary]\npath = 'primary.db'\nbusy_timeout = '%s'\n", w.timeout) +
		fmt.Sprintf("[data.handles.archive]\npath = 'archive.db'\nbusy_timeout = '%s'\n", w.timeout) + w.toml
	if w.toml == "" {
		text = "state_dir = 'state'\nworkers_dir = 'workers'\n"
	}
	w.must(os.WriteFile(file, []byte(text), 0o600))
	cfg, err := config.Load(config.Options{File: file})
	w.must(err)
	return cfg
}

func (w *world) open(name string) *sql.DB {
	w.Helper()
	db, err := sql.Open("sqlite", "file:"+w.path(name)+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	w.must(err)
	w.Cleanup(func() { db.Close() })
	return db
}

func (w *world) exec(db *sql.DB, statement string, args ...any) {
	w.Helper()
	_, err := db.Exec(statement, args...)
	w.must(err)
}

func (w *world) makeTable(name string) {
	w.Helper()
	db := w.open(name)
	w.exec(db, "CREATE TABLE chat_messages (id TEXT PRIMARY KEY, timestamp TEXT NOT NULL, version REAL, content TEXT, extra BLOB)")
	w.must(db.Close())
}

// fill adds rows 0 to n-1, the oldest first.
func (w *world) fill(db *sql.DB, n int) {
	w.Helper()
	tx, err := db.Begin()
	w.must(err)
	for i := range n {
		_, err := tx.Exec("INSERT INTO chat_messages VALUES (?, ?, ?, ?, ?)",
			fmt.Sprintf("id-%05d", i*7919%n), fmt.Sprintf("2026-01-01T00:00:%08d", i), i, "text of "+fmt.Sprint(i), []byte{byte(i), 0, 0xff})
		w.must(err)
	}
	w.must(tx.Commit())
}

// dump returns all rows in a form in which equal rows look equal, storage
// classes included.
func (w *world) dump(db *sql.DB) []string {
	w.Helper()
	rows, err := db.Query("SELECT quote(id) || quote(timestamp) || quote(version) || quote(content) || quote(extra) FROM chat_messages ORDER BY timestamp")
	w.must(err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		w.must(rows.Scan(&s))
		all = append(all, s)
	}
	w.must(rows.Err())
	return all
}

// start runs a host on the world until the test ends or stop is called.
func (w *world) start() (h *host.Host, stop func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h, err := host.New(ctx, w.config(), slog.New(slog.NewTextHandler(w.Output(), nil)))
	if err != nil {
		cancel()
		w.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	select {
	case <-h.Ready():
	case err := <-done:
		cancel()
		w.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
		if err := h.Close(); err != nil {
			w.Error(err)
		}
	}
	w.Cleanup(stop)
	return h, stop
}

func (w *world) submit(h *host.Host, payload string) string {
	w.Helper()
	id, _, err := h.State().Submit(w.Context(), queue.Submission{Worker: "archive", Kind: "archive", Payload: json.RawMessage(payload)})
	w.must(err)
	return id
}

// wait returns a task when it has ended.
func (w *world) wait(h *host.Host, id string) *queue.Record {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		task, err := h.State().Queue.Task(w.Context(), id)
		w.must(err)
		if task.State.Finished() {
			return task
		}
	}
	w.Fatalf("task %s did not end within a minute", id)
	return nil
}

func TestArchiveEndToEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	primary, archive := w.open("primary.db"), w.open("archive.db")
	w.fill(primary, 1500)
	before := w.dump(primary)

	h, stop := w.start()
	id := w.submit(h, `{"collection":"chat_messages","keep":300}`)
	task := w.wait(h, id)
	if task.State != queue.Completed || task.Done != 1200 || task.Total != 1200 {
		t.Fatalf("task = %+v", task)
	}
	if diff := cmp.Diff(before[1200:], w.dump(primary)); diff != "" {
		t.Errorf("primary: %s", diff)
	}
	if diff := cmp.Diff(before[:1200], w.dump(archive)); diff != "" {
		t.Errorf("archive: %s", diff)
	}

	var result struct{ Archived, Total, Skipped int }
	w.must(json.Unmarshal(task.Result, &result))
	if result.Archived != 1200 || result.Total != 1200 || result.Skipped != 0 {
		t.Errorf("result = %s", task.Result)
	}
	var b metrics.Bill
	w.must(json.Unmarshal(task.Bill, &b))
	if b.BytesIn < b.BytesWritten || b.BytesOut < b.BytesRead || b.RowsRead < 2400 || b.RowsWritten != 2400 || b.BytesRead == 0 || b.BytesWritten == 0 || b.Commands == 0 || b.PeakMemoryBytes == 0 || b.Fuel == 0 ||
		b.WallMS <= 0 || b.GuestMS <= 0 || b.SQLMS <= 0 || b.GuestMS+b.SQLMS+b.HostMS > b.WallMS*1.01+1 {
		t.Errorf("bill = %+v", b)
	}

	events, err := h.State().Events.Since(t.Context(), 0, 1000, "*")
	w.must(err)
	var names []string
	for _, e := range events {
		if e.Name == "worker:admitted" {
			continue
		}
		var data struct{ Archived int }
		w.must(json.Unmarshal(e.Data, &data))
		names = append(names, fmt.Sprintf("%s %d %s %s", e.Name, data.Archived, e.Worker, e.Task))
	}
	var want []string
	for n := 100; n <= 1200; n += 100 {
		want = append(want, fmt.Sprintf("archive:progress %d archive %s", n, id))
	}
	want = append(want, fmt.Sprintf("archive:complete 1200 archive %s", id), fmt.Sprintf("task:completed 0  %s", id))
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("events: %s", diff)
	}
	stop()

	// What was done is still known to the next host.
	h, _ = w.start()
	if again := w.wait(h, id); again.State != queue.Completed {
		t.Errorf("after a restart the task is %s", again.State)
	}
}

func TestRowLargerThanTheGuestsBuffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	primary := w.open("primary.db")
	w.fill(primary, 3)
	w.exec(primary, "UPDATE chat_messages SET extra = randomblob(3000000) WHERE id = 'id-00001'")
	before := w.dump(primary)
	h, _ := w.start()
	if task := w.wait(h, w.submit(h, `{"collection":"chat_messages","keep":0}`)); task.State != queue.Completed {
		t.Fatalf("task = %+v", task.Errors)
	}
	if diff := cmp.Diff(before, w.dump(w.open("archive.db"))); diff != "" {
		t.Error("the archive differs")
	}
}

// TestTasksThatCannotBeDone gives the worker what it cannot work with. Each
// task ends with a typed error that names what and where, no row is lost, and
// the host serves the next task.
func TestTasksThatCannotBeDone(t *testing.T) {
	t.Parallel()
	task := `{"collection":"chat_messages","keep":10}`
	for name, c := range map[string]struct {
		payload string
		harm    func(w *world)
		code    abi.Code
		says    []string
		mend    func(w *world) // afterwards the same task must succeed
	}{
		"unknown collection": {payload: `{"collection":"chat_mesages","keep":10}`, code: abi.UnknownCollection, says: []string{"chat_mesages", "primary"}},
		"unknown handle":     {payload: `{"collection":"chat_messages","keep":10,"dest_handle":"vault"}`, code: abi.UnknownHandle, says: []string{"vault"}},
		"unknown column":     {payload: `{"collection":"chat_messages","keep":10,"order_by":"createdAt"}`, code: abi.UnknownColumn, says: []string{"createdAt", "chat_messages"}},
		"bad payload":        {payload: `{"collection":"chat_messages","keep":-1}`, code: abi.InvalidArgument, says: []string{"keep", "-1"}},
		"not granted": {payload: `{"collection":"chat_messages","keep":10,"source_handle":"archive","dest_handle":"primary"}`,
			harm: func(w *world) { w.fill(w.open("archive.db"), 20) }, code: abi.NotGranted, says: []string{"primary", "insert"}},
		"no grants at all": {payload: task, harm: func(w *world) { w.toml = "[workers.archive]\nmax_attempts = 1\n" },
			code: abi.NotGranted, says: []string{"config/get"}, mend: func(w *world) { w.toml = grants }},
		"archive without the table": {payload: task, harm: func(w *world) { w.exec(w.open("archive.db"), "DROP TABLE chat_messages") },
			code: abi.UnknownCollection, says: []string{"archive", "chat_messages"}, mend: func(w *world) { w.makeTable("archive.db") }},
		"archive missing": {payload: task, harm: func(w *world) { w.must(os.Rename(w.path("archive.db"), w.path("away"))) },
			code: abi.Unavailable, says: []string{"archive"}, mend: func(w *world) { w.must(os.Rename(w.path("away"), w.path("archive.db"))) }},
		"archive is garbage": {payload: task, harm: func(w *world) {
			w.must(os.Rename(w.path("archive.db"), w.path("away")))
			w.must(os.WriteFile(w.path("archive.db"), []byte(strings.Repeat("this is no database ", 1000)), 0o600))
		}, code: abi.Corrupt, says: []string{"archive"}, mend: func(w *world) { w.must(os.Rename(w.path("away"), w.path("archive.db"))) }},
		"archive stays locked": {payload: task, harm: func(w *world) {
			db := w.open("archive.db")
			db.SetMaxOpenConns(1)
			w.exec(db, "BEGIN IMMEDIATE")
		}, code: abi.Unavailable, says: []string{"archive", "locked"}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			primary := w.open("primary.db")
			w.fill(primary, 50)
			before := w.dump(primary)
			if c.harm != nil {
				c.harm(w)
			}
			h, stop := w.start()
			got := w.wait(h, w.submit(h, c.payload))
			if got.State != queue.Dead || len(got.Errors) != 1 || got.Errors[0].Code != c.code {
				t.Fatalf("task is %s with %+v, want dead with %s", got.State, got.Errors, c.code)
			}
			for _, s := range c.says {
				if !strings.Contains(got.Errors[0].Message, s) {
					t.Errorf("the error does not name %q: %s", s, got.Errors[0].Message)
				}
			}
			if strings.Contains(got.Errors[0].Message, w.dir) {
				t.Errorf("the error shows a path: %s", got.Errors[0].Message)
			}
			if diff := cmp.Diff(before, w.dump(primary)); diff != "" {
				t.Errorf("rows changed: %s", diff)
			}
			if c.mend == nil {
				return
			}
			stop()
			c.mend(w)
			h, _ = w.start()
			if got := w.wait(h, w.submit(h, c.payload)); got.State != queue.Completed {
				t.Errorf("mended, and yet the task is %s: %+v", got.State, got.Errors)
			}
		})
	}
}

// TestOneFileUnderTwoHandles: a worker that moves rows between two names of one
// database would find every row archived, and delete the only copy.
func TestOneFileUnderTwoHandles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	primary := w.open("primary.db")
	w.fill(primary, 20)
	before := w.dump(primary)
	w.must(os.Remove(w.path("archive.db")))
	h, _ := w.start()
	// The configuration was fine when it was read.
	w.must(os.Link(w.path("primary.db"), w.path("archive.db")))
	task := w.wait(h, w.submit(h, `{"collection":"chat_messages","keep":0}`))
	if task.State != queue.Dead || task.Errors[0].Code != abi.InvalidArgument {
		t.Errorf("the task is %s: %+v", task.State, task.Errors)
	}
	if diff := cmp.Diff(before, w.dump(primary)); diff != "" {
		t.Error(diff)
	}
}

// A worker with a grant on the rows of one version moves those, and never
// learns of the others or of the column that it was not granted.
func TestGrantByCollection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = strings.Replace(grants, `data = { primary = ["read", "delete"], archive = ["read", "insert", "update"] }`, `
[workers.archive.grants.data.primary.chat_messages]
read = ["id", "timestamp", "version", "content"]
delete = true
where = [["version", "in", [1, 3]]]
[workers.archive.grants.data.archive.chat_messages]
read = true
insert = true
`, 1)
	primary, archive := w.open("primary.db"), w.open("archive.db")
	w.fill(primary, 40)
	w.exec(primary, "UPDATE chat_messages SET version = CAST(substr(id, -1) AS INTEGER)")
	var there, theirs int
	w.must(primary.QueryRow("SELECT count(*), count(*) FILTER (WHERE version IN (1, 3)) FROM chat_messages").Scan(&there, &theirs))
	h, _ := w.start()
	task := w.wait(h, w.submit(h, `{"collection":"chat_messages","keep":0}`))
	if task.State != queue.Completed || theirs == 0 || theirs == there || task.Done != int64(theirs) {
		t.Fatalf("of %d rows, %d of them granted: %+v", there, theirs, task)
	}
	var left, outside, moved, complete int
	w.must(primary.QueryRow("SELECT count(*), count(*) FILTER (WHERE version NOT IN (1, 3)) FROM chat_messages").Scan(&left, &outside))
	w.must(archive.QueryRow("SELECT count(*), count(extra) FROM chat_messages WHERE version IN (1, 3)").Scan(&moved, &complete))
	if left != there-theirs || outside != left || moved != theirs || complete != 0 {
		t.Errorf("%d rows are left, %d of others; %d were moved, %d with the hidden column", left, outside, moved, complete)
	}
}

func TestLimitsOfAWorker(t *testing.T) {
	t.Parallel()
	for key, line := range map[string]string{"fuel": "fuel = 500000", "limit: rows": "limits = { rows = 4000 }"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.toml = strings.Replace(grants, "max_attempts = 1", "max_attempts = 1\n"+line, 1)
			primary := w.open("primary.db")
			w.fill(primary, 5000)
			h, _ := w.start()
			task := w.wait(h, w.submit(h, `{"collection":"chat_messages","keep":0}`))
			if task.State != queue.Dead || task.Errors[0].Code != abi.LimitExceeded || !strings.Contains(task.Errors[0].Message, key) {
				t.Errorf("the task is %s: %+v", task.State, task.Errors)
			}
		})
	}
}

// What a failed attempt took is on record all the same, and in the event of its
// end.
func TestBillOfAFailedAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = strings.Replace(grants, "max_attempts = 1", "max_attempts = 1\nfuel = 500000", 1)
	w.fill(w.open("primary.db"), 5000)
	h, _ := w.start()
	task := w.wait(h, w.submit(h, `{"collection":"chat_messages","keep":0}`))
	var bill metrics.Bill
	w.must(json.Unmarshal(task.Bill, &bill))
	if bill.Fuel <= 500_000 || bill.WallMS <= 0 || bill.HostCalls == 0 || bill.PeakMemoryBytes == 0 {
		t.Errorf("bill = %+v", bill)
	}
	events, err := h.State().Events.Since(t.Context(), 0, 1000, "task:*")
	w.must(err)
	if len(events) != 1 || events[0].Name != "task:dead" || events[0].Task != task.ID || events[0].Worker != "" {
		t.Fatalf("events = %+v", events)
	}
	var end struct {
		Worker, Code, Message string
		Attempt               int
		Bill                  metrics.Bill
	}
	w.must(json.Unmarshal(events[0].Data, &end))
	if end.Worker != "archive" || end.Code != "limit_exceeded" || end.Attempt != 1 || end.Bill != bill || !strings.Contains(end.Message, "(limit: fuel)") {
		t.Errorf("event = %s", events[0].Data)
	}
}

func TestEventLimitOfAWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = grants + "[workers.archive.limits]\nevents = 3\n"
	primary := w.open("primary.db")
	w.fill(primary, 1000)
	h, _ := w.start()
	task := w.wait(h, w.submit(h, `{"collection":"chat_messages","keep":0}`))
	if task.State != queue.Dead || task.Errors[0].Code != abi.LimitExceeded || !strings.Contains(task.Errors[0].Message, "(limit: events)") {
		t.Errorf("the task is %s: %+v", task.State, task.Errors)
	}
}

// TestDeadlineEndsSQL: the view has no end, and neither the guest nor the host
// runs anything meanwhile but that one statement.
func TestDeadlineEndsSQL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = strings.Replace(grants, "max_attempts = 1", "max_attempts = 1\ndeadline = '300ms'", 1)
	const endless = `CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n)
		SELECT CAST(i AS TEXT) AS id, CAST(i AS TEXT) AS timestamp FROM n`
	w.exec(w.open("primary.db"), endless)
	w.exec(w.open("archive.db"), endless)
	h, _ := w.start()
	began := time.Now()
	task := w.wait(h, w.submit(h, `{"collection":"endless","keep":5}`))
	t.Logf("a task of 300 ms was seen to have ended after %v", time.Since(began))
	if task.State != queue.Dead || task.Errors[0].Code != abi.DeadlineExceeded {
		t.Errorf("the task is %s: %+v", task.State, task.Errors)
	}
	var bill metrics.Bill
	w.must(json.Unmarshal(task.Bill, &bill))
	t.Logf("its bill: %.1f ms, %.1f of them in SQL", bill.WallMS, bill.SQLMS)
	if bill.SQLMS < 100 {
		t.Errorf("it did not spend its time in SQL: %s", task.Bill)
	}
}

func TestMetricsAreServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = grants + "[web]\nlisten = '127.0.0.1:0'\n"
	w.fill(w.open("primary.db"), 300)
	h, stop := w.start()
	w.wait(h, w.submit(h, `{"collection":"chat_messages","keep":100}`))
	url := "http://" + h.WebAddr() + "/metrics"
	res, err := http.Get(url)
	w.must(err)
	body, err := io.ReadAll(res.Body)
	w.must(errors.Join(err, res.Body.Close()))
	for _, want := range []string{
		`wasmhost_task_attempts_total{code="ok",worker="archive"} 1`,
		`wasmhost_worker_rows_written_total{worker="archive"} 400`,
		`wasmhost_task_seconds_count{worker="archive"} 1`,
		`wasmhost_database_commits_total{handle="archive"} 1`,
		`wasmhost_database_connections{handle="primary"} 2`,
	} {
		if !strings.Contains(string(body), want+"\n") {
			t.Errorf("no line %s in\n%s", want, body)
		}
	}
	stop()
	if res, err := http.Get(url); err == nil {
		res.Body.Close()
		t.Error("metrics are served by a host that has stopped")
	}
}

// withManifest adds the manifest's section to a module.
func withManifest(wasm []byte, manifest string) []byte {
	const name = "wasmhost.manifest"
	section := append([]byte{byte(len(name))}, name+manifest...)
	wasm = binary.AppendUvarint(append(slices.Clone(wasm), 0), uint64(len(section)))
	return append(wasm, section...)
}

func TestSelfTestDecidesAdmission(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wasm, err := os.ReadFile(archiveWasm)
	w.must(err)
	for name, payload := range map[string]string{"fails": `{"collection":7}`, "asks": `{"collection":"chat_messages","keep":5}`} {
		manifest := fmt.Sprintf(`{"name":"x","version":"1","requests":{},"self_test":{"kind":"archive","payload":%s}}`, payload)
		w.must(os.WriteFile(w.path("workers/"+name+".wasm"), withManifest(wasm, manifest), 0o600))
	}
	h, _ := w.start()
	reasons := map[string]string{}
	for _, info := range h.Workers() {
		reasons[info.Name] = info.Reason
	}
	if reasons["archive"] != "" || !strings.Contains(reasons["fails"], "its self-test failed: invalid_argument") ||
		!strings.Contains(reasons["asks"], "no rows and commands in a self-test") {
		t.Errorf("reasons = %q", reasons)
	}
}

func TestBadWorkersAreRefusedAndTheOthersServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, content := range map[string]string{
		"garbage.wasm":  "MZ this is no wasm",
		"empty.wasm":    "\x00asm\x01\x00\x00\x00",
		"Bad Name.wasm": "\x00asm\x01\x00\x00\x00",
	} {
		w.must(os.WriteFile(w.path("workers/"+name), []byte(content), 0o600))
	}
	w.fill(w.open("primary.db"), 5)
	h, _ := w.start()
	got := map[string]string{}
	for _, info := range h.Workers() {
		got[info.Name] = string(info.State)
		if (info.State == worker.Refused) != (info.Reason != "") {
			t.Errorf("%s is %s because of %q", info.Name, info.State, info.Reason)
		}
	}
	want := map[string]string{"archive": "ready", "garbage": "refused", "empty": "refused", "Bad Name": "refused"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if task := w.wait(h, w.submit(h, `{"collection":"chat_messages","limit":2}`)); task.State != queue.Completed {
		t.Errorf("the good worker's task is %s: %+v", task.State, task.Errors)
	}
}

func TestSubmitToUnknownWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	state, err := host.OpenState(t.Context(), w.config(), slog.New(slog.DiscardHandler))
	w.must(err)
	defer state.Close()
	_, _, err = state.Submit(t.Context(), queue.Submission{Worker: "archiv", Kind: "archive"})
	if !errors.Is(err, abi.UnknownWorker) || !strings.Contains(err.Error(), `"archiv"`) || !strings.Contains(err.Error(), "there are archive") {
		t.Errorf("got %v", err)
	}
	infos, err := state.Workers(t.Context())
	w.must(err)
	if len(infos) != 1 || infos[0].State != worker.Present || infos[0].Digest == "" {
		t.Errorf("workers = %+v", infos)
	}
}

func TestOneHostPerStateFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.start()
	_, err := host.New(t.Context(), w.config(), slog.New(slog.DiscardHandler))
	if !errors.Is(err, abi.Unavailable) || !strings.Contains(err.Error(), "another host") {
		t.Errorf("a second host: %v", err)
	}
	stop()
	h, err := host.New(t.Context(), w.config(), slog.New(slog.DiscardHandler))
	w.must(err)
	w.must(h.Close())
}

func TestCancelStopsARunningTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	primary, archive := w.open("primary.db"), w.open("archive.db")
	w.fill(primary, 400)
	w.toml = strings.Replace(grants, "batchSize = 200", "batchSize = 1", 1)
	before := w.dump(primary)
	h, _ := w.start()
	id := w.submit(h, `{"collection":"chat_messages","keep":0}`)
	for { // until it has begun to move rows
		task, err := h.State().Queue.Task(t.Context(), id)
		w.must(err)
		if task.Done > 0 || task.State.Finished() {
			break
		}
	}
	_, err := h.State().Queue.Cancel(t.Context(), id)
	w.must(err)
	task := w.wait(h, id)
	if task.State != queue.Cancelled {
		t.Fatalf("the task is %s: %+v", task.State, task.Errors)
	}
	left, moved := w.dump(primary), w.dump(archive)
	seen := map[string]bool{}
	for _, row := range append(left, moved...) {
		seen[row] = true
	}
	if len(seen) != len(before) || len(left) == 0 {
		t.Errorf("%d rows left, %d moved, %d different ones of %d", len(left), len(moved), len(seen), len(before))
	}
	// Put back, it goes on where it was.
	_, err = h.State().Queue.Retry(t.Context(), id)
	w.must(err)
	if task := w.wait(h, id); task.State != queue.Completed {
		t.Errorf("retried, the task is %s: %+v", task.State, task.Errors)
	}
	if diff := cmp.Diff(before, w.dump(archive)); diff != "" {
		t.Errorf("archive: %s", diff)
	}
}
