package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/host/metrics"
	"github.com/wasmhost/wasmhost/host/queue"
)

// TestInference: what a model takes is on the task's bill, in the row and in the
// metrics; a budget that is used up is the outcome of its task, and asks nobody; a
// task that is cancelled ends its request. The others go on.
func TestInference(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	came, left := make(chan struct{}, 1), make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked.Add(1)
		if r.Header.Get("Authorization") != "Bearer the-key" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.Contains(string(b), "hang") {
			came <- struct{}{}
			<-r.Context().Done()
			left <- struct{}{}
			return
		}
		fmt.Fprint(w, `{"choices":[{"message":{"content":"Krill."},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":20}}`)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	w := newWorld(t)
	wasm := w.path("workers/inference.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", wasm, "../guests/inference")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the worker: %v\n%s", err, out)
	}
	w.must(os.WriteFile(w.path("key"), []byte("the-key\n"), 0o600))
	w.toml += fmt.Sprintf(`
[web]
listen = "127.0.0.1:0"
[ai.generate]
model = "small"
[ai.models.small]
url = "%s/v1"
key_file = "key"
input_price = 10
output_price = 100
max_tokens = 200
stream = false
[workers.inference]
max_attempts = 1
concurrency = 2
limits = { ai_tokens = 1000 }
[workers.inference.grants]
commands = ["events/emit", "config/get", "session/get", "ai/generate"]
config = ["inference.*"]
data = { primary = ["read", "insert"] }
`, server.URL)
	db := w.open("primary.db")
	w.exec(db, `DROP TABLE chat_messages`)
	w.exec(db, `CREATE TABLE chat_messages (id TEXT PRIMARY KEY, room_id TEXT, sender_type TEXT, content TEXT, timestamp TEXT)`)
	w.exec(db, `CREATE TABLE ai_generations (id TEXT PRIMARY KEY, created_at TEXT, updated_at TEXT, version REAL, timestamp REAL, request_id TEXT, provider TEXT,
		model TEXT, input_tokens REAL, output_tokens REAL, total_tokens REAL, estimated_cost REAL, response_time REAL, user_id TEXT, room_id TEXT, purpose TEXT,
		finish_reason TEXT, success INTEGER, error TEXT)`)
	for room, text := range map[string]string{"good": "What do whales eat?", "long": strings.Repeat("a long text ", 300), "slow": "hang"} {
		w.exec(db, "INSERT INTO chat_messages VALUES (?, ?, 'human', ?, '2026-01-01T00:00:00.000Z')", room, room, text)
	}
	h, _ := w.start()
	submit := func(room string) string {
		id, _, err := h.State().Submit(t.Context(), queue.Submission{Worker: "inference", Payload: json.RawMessage(`{"room_id":"` + room + `"}`)})
		w.must(err)
		return id
	}
	row := func(room string) (success int, problem string) {
		w.must(db.QueryRow("SELECT success, coalesce(error, '') FROM ai_generations WHERE room_id = ?", room).Scan(&success, &problem))
		return success, problem
	}

	slow := submit("slow")
	<-came
	long := w.wait(h, submit("long"))
	if success, problem := row("long"); long.State != queue.Completed || success != 0 || !strings.HasSuffix(problem, "(limit: ai_tokens)") || asked.Load() != 1 {
		t.Errorf("a task without a budget is %s, its row says %d %q; the server was asked %d times", long.State, success, problem, asked.Load())
	}
	good := w.wait(h, submit("good"))
	var bill metrics.Bill
	w.must(json.Unmarshal(good.Bill, &bill))
	if success, problem := row("good"); success != 1 || problem != "" || bill.AICalls != 1 || bill.AIInputTokens != 100 || bill.AIOutputTokens != 20 || bill.AICostUSD != 0.003 {
		t.Errorf("row %d %q, bill %s", success, problem, good.Bill)
	}
	begun := time.Now()
	_, err := h.State().Queue.Cancel(t.Context(), slow)
	w.must(err)
	<-left
	if task := w.wait(h, slow); task.State != queue.Cancelled {
		t.Errorf("the cancelled task is %s after %v", task.State, time.Since(begun))
	}
	t.Logf("the request of a cancelled task ended after %v", time.Since(begun))

	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+h.WebAddr()+"/metrics", nil)
	w.must(err)
	r, err := http.DefaultClient.Do(request)
	w.must(err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	w.must(err)
	for _, want := range []string{
		`wasmhost_ai_calls_total{code="ok",model="small"} 1`, `wasmhost_ai_calls_total{code="cancelled",model="small"} 1`,
		`wasmhost_ai_tokens_total{direction="in",model="small"} 100`, `wasmhost_ai_tokens_total{direction="out",model="small"} 20`,
		`wasmhost_ai_cost_usd_total{model="small"} 0.003`, `wasmhost_worker_ai_cost_usd_total{worker="inference"} 0.003`,
	} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	if strings.Contains(string(text), "the-key") || strings.Contains(string(good.Result), "the-key") {
		t.Error("the key is told")
	}
}
