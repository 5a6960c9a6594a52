package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/cmd/wasmhost/fixture"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/queue"
)

// TestEventsReachTheOrchestrator runs the real binary beside an orchestrator in
// Node, whose archive client submits the tasks and from which the worker has its
// configuration. Each is killed with SIGKILL
// while events are on their way, and started again. In the end the orchestrator
// must have every event of the log, in the log's order once doubles are dropped
// by their ids.
func TestEventsReachTheOrchestrator(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("skipped: there is no node to play the orchestrator")
	}
	dir, err := os.MkdirTemp("", "w") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := fixture.Program(t, dir)
	fixture.Guest(t, filepath.Join(dir, "workers", "archive.wasm"), "guests/archive")
	file := filepath.Join(dir, "wasmhost.toml")
	if err := os.WriteFile(file, []byte(`
[data.handles.primary]
path = "primary.db"
[data.handles.archive]
path = "archive.db"
[orchestrator]
socket = "router.sock"
config_get = { command = "config/get" }
events = { patterns = ["archive:*"] }
[workers.archive]
socket = "archive.sock"
[workers.archive.grants]
commands = ["events/emit", "config/get", "session/get", "session/set"]
config = ["archive.*"]
data = { primary = ["read", "delete"], archive = ["read", "insert", "update"] }
[settings.archive]
batchSize = "a number is what the orchestrator has"
`), 0o600); err != nil {
		t.Fatal(err)
	}
	const rows, firstBatch, lastKeep = 6000, 3000, 100
	fillTable(t, openTable(t, filepath.Join(dir, "primary.db")), rows)
	openTable(t, filepath.Join(dir, "archive.db"))
	cfg, err := config.Load(config.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	state, err := host.OpenState(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()

	record := filepath.Join(dir, "record")
	startNode := func() (kill func()) {
		cmd := exec.Command(node, "../../host/command/orchestrator/testdata/orchestrator.mjs", "serve",
			"--socket", filepath.Join(dir, "router.sock"), "--record", record, "--config", `{"archive.batchSize":10}`)
		kill, out := start(t, cmd)
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "listening") {
			t.Fatalf("node said %q, %v", line, err)
		}
		return kill
	}
	startHost := func() (kill func()) {
		kill, _ = start(t, exec.Command(binary, "--config", file, "run"))
		return kill
	}
	// submit has the orchestrator's archive client ask for it, as soon as the
	// socket is there.
	submit := func(batch int) string {
		t.Helper()
		var out []byte
		for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			var err error
			out, err = exec.Command(node, "../../host/command/orchestrator/testdata/orchestrator.mjs", "archive",
				"--socket", filepath.Join(dir, "archive.sock"), "--collection", "chat_messages", "--batch", strconv.Itoa(batch)).Output()
			if err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the archive client: %v\n%s", err, out)
			}
		}
		var reply struct{ Status, ID string }
		if err := json.Unmarshal(out, &reply); err != nil || reply.Status != "queued" || reply.ID == "" {
			t.Fatalf("the archive client got %s, %v", out, err)
		}
		return reply.ID
	}
	// submitPages asks for many small pages, as the configuration has them.
	submitPages := func(keep int) string {
		id, _, err := state.Submit(t.Context(), queue.Submission{
			Worker: "archive", Kind: "archive", Payload: json.RawMessage(fmt.Sprintf(`{"collection":"chat_messages","keep":%d}`, keep)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	finished := func(id string) {
		t.Helper()
		task, err := pollTask(t, state, id, func(task *queue.Record) bool { return task.State.Finished() })
		if err != nil || task.State != queue.Completed {
			t.Fatalf("the task is %+v, %v", task, err)
		}
	}
	logged := func() []command.Event {
		t.Helper()
		events, err := state.Events.Since(t.Context(), 0, 100_000, "archive:*")
		if err != nil {
			t.Fatal(err)
		}
		return events
	}
	// recorded waits until the orchestrator has so many events, doubles included.
	recorded := func(n int) []received {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
			if all := readRecord(t, record); len(all) >= n {
				return all
			} else if time.Now().After(end) {
				t.Fatalf("the orchestrator has %d events, want %d", len(all), n)
			}
		}
	}

	killNode, killHost := startNode(), startHost()
	first := submit(firstBatch)
	recorded(3)
	killNode()
	finished(first)
	arrived := len(readRecord(t, record))
	if undelivered := len(logged()) - arrived; undelivered < 5 {
		t.Fatalf("%d events were left when the orchestrator was killed: make the task longer", undelivered)
	}
	startNode()
	recorded(len(logged()))

	last := submitPages(lastKeep)
	arrived = len(readRecord(t, record))
	recorded(arrived + 3)
	killHost()
	task, err := state.Queue.Task(t.Context(), last)
	if err != nil || task.State.Finished() {
		t.Fatalf("the task was %+v when the host was killed, %v: make it longer", task, err)
	}
	startHost()
	finished(last)

	want := logged()
	var once []received
	var all []received
	for n := len(want); len(once) < len(want); n++ {
		all = recorded(n)
		once = nil
		seen := map[int64]bool{}
		for _, r := range all {
			if id := r.Data.Wasmhost.ID; !seen[id] {
				seen[id] = true
				once = append(once, r)
			}
		}
	}
	t.Logf("%d events, %d deliveries", len(want), len(all))
	if fewest := (rows - lastKeep) / 100; len(want) < fewest {
		t.Errorf("%d events were recorded, want at least %d: was the configuration read?", len(want), fewest)
	}
	for i, e := range want {
		r := once[i]
		if r.Event != e.Name || r.Data.Wasmhost.ID != e.ID || r.Data.Wasmhost.Task != e.Task || r.Data.Wasmhost.Worker != "archive" {
			t.Fatalf("event %d of the log is %d %s, the orchestrator has %+v", i, e.ID, e.Name, r)
		}
		var data map[string]any
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(r.Data.own, data) {
			t.Errorf("event %d has %v, the orchestrator has %v", e.ID, data, r.Data.own)
		}
	}
	own, err := state.Events.Since(t.Context(), 0, 10, "outbox:*")
	if err != nil || len(own) != 0 {
		t.Errorf("the outbox told %+v, %v", own, err)
	}
}

// received is an event as the orchestrator has it.
type received struct {
	Event string
	Data  struct {
		Wasmhost struct {
			ID           int64
			Worker, Task string
		}
		own map[string]any // without that
	}
}

func readRecord(t *testing.T, file string) (all []received) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // is being written
		}
		var r received
		var raw struct{ Data map[string]any }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		_ = json.Unmarshal(line, &raw)
		delete(raw.Data, "wasmhost")
		r.Data.own = raw.Data
		all = append(all, r)
	}
	return all
}

// start starts a program, which is killed at the end of the test at the latest.
func start(t *testing.T, cmd *exec.Cmd) (kill func(), out io.Reader) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr output
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if killed {
			return
		}
		killed = true
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(func() {
		kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", cmd.Args[0], stderr.String())
		}
	})
	return kill, out
}
