package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/cmd/wasmhost/fixture"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/metrics"
	"github.com/wasmhost/wasmhost/host/queue"
)

// conversationTables are those that the inference worker knows, with columns of
// other programs.
const conversationTables = `
CREATE TABLE chat_messages (id TEXT PRIMARY KEY, created_at TEXT, updated_at TEXT, version REAL, room_id TEXT, sender_id TEXT, sender_name TEXT, sender_type TEXT,
	content TEXT, status TEXT, priority TEXT, timestamp TEXT, edited_at TEXT, reactions TEXT, thread TEXT, reply_to_id TEXT, metadata TEXT);
CREATE TABLE ai_generations (id TEXT PRIMARY KEY, created_at TEXT, updated_at TEXT, version REAL, timestamp REAL, request_id TEXT, provider TEXT, model TEXT,
	input_tokens REAL, output_tokens REAL, total_tokens REAL, estimated_cost REAL, response_time REAL, user_id TEXT, room_id TEXT, purpose TEXT, finish_reason TEXT,
	success INTEGER, error TEXT);
INSERT INTO chat_messages (id, room_id, sender_type, content, timestamp) VALUES
	('m1', 'r', 'human', '{"text":"Whales eat krill."}', '2026-01-01T00:00:00.000Z'), ('m2', 'r', 'human', '{"text":"What do whales eat?"}', '2026-01-01T00:00:01.000Z');`

// modelServer counts its requests, holds the first, and answers the others.
type modelServer struct {
	mu   sync.Mutex
	keys []string // Idempotency-Key of each request
}

func (m *modelServer) asked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.keys...)
}

func (m *modelServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	m.mu.Lock()
	m.keys = append(m.keys, r.Header.Get("Idempotency-Key"))
	first := len(m.keys) == 1
	m.mu.Unlock()
	if first {
		<-r.Context().Done() // until its host is killed
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, `data: {"model":"small","choices":[{"index":0,"delta":{"content":"Krill."},"finish_reason":"stop"}]}`+"\n\n"+
		`data: {"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":10}}`+"\n\ndata: [DONE]\n\n")
}

// TestKilledHostPaysOnce runs the real binary and kills it with SIGKILL twice:
// when the model's server has not answered yet, and when its answer is on record
// and the worker's row is not written. In the end the server was asked once more
// than it answered, under the same key, and there is one row and one reply.
func TestKilledHostPaysOnce(t *testing.T) {
	t.Parallel()
	model := new(modelServer)
	server := httptest.NewServer(model)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	dir := t.TempDir()
	binary := fixture.Program(t, dir)
	fixture.Guest(t, filepath.Join(dir, "workers", "inference.wasm"), "guests/inference")
	file := filepath.Join(dir, "wasmhost.toml")
	const key = "sk-hidden-0123456789"
	if err := os.WriteFile(filepath.Join(dir, "key.txt"), []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, `
[log]
level = "debug"
[data.handles.primary]
path = "primary.db"
busy_timeout = "2m"
[ai.generate]
model = "small"
[ai.models.small]
url = "%s/v1"
key_file = "key.txt"
input_price = 1.5
output_price = 2
[workers.inference.grants]
commands = ["events/emit", "config/get", "session/get", "ai/generate"]
config = ["inference.*"]
[workers.inference.grants.data.primary.chat_messages]
read = true
insert = true
[workers.inference.grants.data.primary.ai_generations]
read = true
insert = true
`, server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "primary.db")+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(60000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(conversationTables); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	state, err := host.OpenState(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	id, _, err := state.Submit(t.Context(), queue.Submission{Worker: "inference", Payload: json.RawMessage(`{"room_id":"r","reply":true}`)})
	if err != nil {
		t.Fatal(err)
	}

	var logs bytes.Buffer
	killWhen := func(what string, reached func() bool) {
		t.Helper()
		run := exec.Command(binary, "--config", file, "run")
		run.Stderr = &logs
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		ok := waitFor(reached)
		_ = run.Process.Kill()
		_ = run.Wait()
		if !ok {
			t.Fatalf("it did not come to this: %s; the host said:\n%s", what, &logs)
		}
	}
	killWhen("a request is under way", func() bool { return len(model.asked()) == 1 })

	// Nobody can write to the primary now.
	lock, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	records, err := sql.Open("sqlite", "file:"+filepath.Join(cfg.StateDir, "host.db")+"?mode=ro&_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	defer records.Close()
	killWhen("the answer is on record and the row is not written", func() bool {
		var n int
		return records.QueryRow("SELECT count(*) FROM ai_results").Scan(&n) == nil && n == 1
	})
	if _, err := lock.Exec("INSERT INTO chat_messages (id, room_id, sender_type, content, timestamp) VALUES ('m3', 'r', 'human', 'And sharks?', '2026-01-01T00:00:02.000Z')"); err != nil {
		t.Fatal(err)
	}
	if err := lock.Commit(); err != nil {
		t.Fatal(err)
	}

	task := lastHost(t, state, id, binary, file)
	if task.State != queue.Completed {
		t.Fatalf("the task is %s: %+v", task.State, task.Errors)
	}
	if keys := model.asked(); len(keys) != 2 || keys[0] != keys[1] || keys[0] == "" {
		t.Errorf("the server was asked under the keys %q, want the same twice", keys)
	}
	var rows, replies int
	var row string
	if err := db.QueryRow("SELECT count(*), (SELECT count(*) FROM chat_messages WHERE sender_type = 'agent') FROM ai_generations").Scan(&rows, &replies); err != nil || rows != 1 || replies != 1 {
		t.Fatalf("%d rows and %d replies, %v", rows, replies, err)
	}
	err = db.QueryRow("SELECT printf('%s %s %g %g %g %g %s %d', provider, model, input_tokens, output_tokens, total_tokens, estimated_cost, finish_reason, success) FROM ai_generations").Scan(&row)
	if want := "openai small 1000 10 1010 0.00152 stop 1"; err != nil || row != want {
		t.Errorf("the row is %q, want %q; %v", row, want, err)
	}
	var bill metrics.Bill
	if err := json.Unmarshal(task.Bill, &bill); err != nil || bill.AICalls != 1 || bill.AIRecalled != 1 || bill.AICostUSD != 0 {
		t.Errorf("the last attempt's bill is %s, %v", task.Bill, err)
	}
	if strings.Contains(logs.String(), key) || bytes.Contains(task.Result, []byte(key)) {
		t.Error("the key is in the log or in the result")
	}
}

// waitFor asks until it is so, for a minute at most.
func waitFor(reached func() bool) bool {
	for range 12_000 {
		if reached() {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}
