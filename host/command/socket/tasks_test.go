package socket

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

func TestFlat(t *testing.T) {
	t.Parallel()
	w := newWorker()
	c := dial(t, serveTasks(t, TaskConfig{}, w))
	const archive = `{"command":"archive","task_id":"chat_messages-1766000000000","collection":"chat_messages","source_handle":"primary","dest_handle":"archive","batch_size":1000}`
	for _, tt := range []struct{ line, want string }{
		{`{"command":"ping"}`, `{"status":"pong","uptime_seconds":12}`},
		{archive, `{"status":"queued","task_id":"chat_messages-1766000000000","queue_position":1,"id":"1"}`},
		{archive, `{"status":"queued","task_id":"chat_messages-1766000000000","queue_position":1,"id":"1"}`}, // is the same task
		{`{"command":"archive","collection":"ai_generations","batch_size":5}`, `{"status":"queued","task_id":"2","queue_position":2,"id":"2"}`},
		// The same collection elsewhere is other work.
		{`{"command":"archive","collection":"chat_messages","dest_handle":"vault","batch_size":1}`, `{"status":"queued","task_id":"3","queue_position":3,"id":"3"}`},
	} {
		if got := c.ask(tt.line); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.line, got, tt.want)
		}
	}
	want := []command.Submission{
		{Worker: "w", Kind: "archive", UniqueKey: "archive\x1fchat_messages\x1fprimary\x1farchive",
			Payload: json.RawMessage(`{"batch_size":1000,"collection":"chat_messages","dest_handle":"archive","limit":1000,"source_handle":"primary"}`)},
		{Worker: "w", Kind: "archive", UniqueKey: "archive\x1fai_generations\x1f\x1f",
			Payload: json.RawMessage(`{"batch_size":5,"collection":"ai_generations","limit":5}`)},
		{Worker: "w", Kind: "archive", UniqueKey: "archive\x1fchat_messages\x1f\x1fvault",
			Payload: json.RawMessage(`{"batch_size":1,"collection":"chat_messages","dest_handle":"vault","limit":1}`)},
	}
	if got := w.submitted(); !reflect.DeepEqual(got, want) {
		t.Errorf("submitted\n%+v\nwant\n%+v", got, want)
	}

	for _, tt := range []struct{ name, line, errorType, says string }{
		{"another command", `{"command":"restore"}`, "not_found", `"restore": there are archive and ping`},
		{"ping with more", `{"command":"ping","x":1}`, "validation", "x: is not a known field"},
		{"no collection", `{"command":"archive","batch_size":1}`, "validation", "collection: is required"},
		{"no batch", `{"command":"archive","collection":"a"}`, "validation", "batch_size: is required"},
		{"a batch of nothing", `{"command":"archive","collection":"a","batch_size":0}`, "validation", "from 1 to 100000"},
		{"a large batch", `{"command":"archive","collection":"a","batch_size":100001}`, "validation", "from 1 to 100000"},
		{"half a row", `{"command":"archive","collection":"a","batch_size":1.5}`, "validation", "batch_size"},
		{"a long collection", `{"command":"archive","collection":"` + strings.Repeat("a", 111) + `","batch_size":1}`, "validation", "collection: 111 bytes"},
		{"a NUL", `{"command":"archive","collection":"a\u0000","batch_size":1}`, "validation", "control character"},
		{"a separator", `{"command":"archive","collection":"a\u001fb","batch_size":1}`, "validation", "control character"},
		{"another field", `{"command":"archive","collection":"a","batch_size":1,"max_rows":5}`, "validation", "max_rows: is not a known field"},
		{"both dialects", `{"command":"ping","type":"ping"}`, "validation", "a command and a type"},
		{"neither", `{"task_id":"1"}`, "validation", "neither a command nor a type"},
		{"not JSON", `ping`, "validation", "not a JSON object"},
	} {
		c.send(tt.line + "\n")
		got := c.object()
		if got["status"] != "error" || got["success"] != false || got["errorType"] != tt.errorType || !strings.Contains(fmt.Sprint(got["error"]), tt.says) {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
	if n := len(w.submitted()); n != 3 {
		t.Errorf("%d tasks were submitted by wrong lines", n-3)
	}

	w.set(func() { w.err = abi.Errorf(abi.Unavailable, "the database is away") })
	contains(t, c.ask(archive), `"status":"error"`, `"errorType":"internal"`, "the database is away")
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	w := newWorker()
	w.status = Status{Worker: "w", Version: "1.2.3", Uptime: 1500 * time.Millisecond, Queued: 3, Running: 1, Processed: 200, Failed: 10,
		MemoryBytes: 10<<20 + 1<<19, LimitBytes: 64 << 20, Threads: 9}
	c := dial(t, serveTasks(t, TaskConfig{}, w))
	ask := func(kind, payload string) map[string]any {
		t.Helper()
		c.send(`{"id":"r-` + kind + `","type":"` + kind + `","timestamp":"2026-01-01T00:00:00.000Z","payload":` + payload + `,"userId":"u","sessionId":"s"}` + "\n")
		got := c.object()
		if got["requestId"] != "r-"+kind || got["type"] != kind || got["id"] == "" {
			t.Errorf("%s: got %v", kind, got)
		}
		if at, err := time.Parse(time.RFC3339, fmt.Sprint(got["timestamp"])); err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("%s: the time is %v, %v", kind, got["timestamp"], err)
		}
		return got
	}
	want := map[string]any{"uptimeMs": 1500., "queueDepth": 3., "processedTotal": 200., "errorsTotal": 10., "memoryMb": 10.5, "status": "healthy"}
	if got := ask("ping", "{}"); got["success"] != true || !reflect.DeepEqual(got["payload"], want) {
		t.Errorf("ping: got %v, want %v", got, want)
	}
	want = map[string]any{
		"workerType": "w", "version": "1.2.3", "pid": float64(os.Getpid()), "uptimeMs": 1500., "status": "healthy",
		"metrics":   map[string]any{"queueDepth": 3., "queueCapacity": 1000., "processedTotal": 200., "errorsTotal": 10., "errorRate": 0.05},
		"resources": map[string]any{"memoryMb": 10.5, "memoryLimitMb": 64., "threads": 9.},
	}
	if got := ask("status", `{"verbose":true}`); got["success"] != true || !reflect.DeepEqual(got["payload"], want) {
		t.Errorf("status: got %v, want %v", got, want)
	}
	w.set(func() { w.status.Queued = 801 })
	contains(t, fmt.Sprint(ask("ping", "null")["payload"]), "status:degraded")
	w.set(func() { w.status.Failed = 11 })
	contains(t, fmt.Sprint(ask("ping", "{}")["payload"]), "status:failing")

	go w.finish(t, "1", end{result: `{"sum":[1,2.5,"ü"]}`})
	if got := ask("sum", `{"n":9007199254740993}`); got["success"] != true || fmt.Sprint(got["payload"]) != "map[sum:[1 2.5 ü]]" {
		t.Errorf("a task: got %v", got)
	}
	if got := w.submitted()[0]; got.Worker != "w" || got.Kind != "sum" || string(got.Payload) != `{"n":9007199254740993}` || got.UniqueKey != "" {
		t.Errorf("submitted %+v", got)
	}
	for i, tt := range []struct {
		err  error
		want string
	}{
		{abi.Errorf(abi.InvalidArgument, "bad"), "validation"},
		{abi.Errorf(abi.NotGranted, "bad"), "validation"},
		{abi.Errorf(abi.UnknownCollection, "bad"), "not_found"},
		{abi.Errorf(abi.DeadlineExceeded, "bad"), "timeout"},
		{abi.Errorf(abi.Trap, "bad"), "internal"},
	} {
		id := fmt.Sprint(i + 2)
		go w.finish(t, id, end{err: tt.err})
		if got := ask("sum", "{}"); got["success"] != false || got["errorType"] != tt.want || got["error"] != "bad" || fmt.Sprint(got["payload"]) != "map[taskId:"+id+"]" {
			t.Errorf("%v: got %v", tt.err, got)
		}
	}

	for _, tt := range []struct{ name, line, says string }{
		{"no id", `{"type":"ping"}`, "id: is required"},
		{"no type", `{"id":"1"}`, "type: is required"},
		{"a type of another kind", `{"id":"1","type":5}`, "type: a string"},
		{"a NUL in the type", `{"id":"1","type":"a\u0000"}`, "control character"},
		{"a list for payload", `{"id":"1","type":"a","payload":[]}`, "payload: an object"},
		{"an object for an id", `{"id":{},"type":"a"}`, "id: a number or a text"},
		{"shutdown in words", `{"id":"1","type":"shutdown","payload":{"timeoutMs":"soon"}}`, "timeoutMs: a whole number"},
		{"forced in words", `{"id":"1","type":"shutdown","payload":{"force":"yes"}}`, "force: true or false"},
		{"shutdown", `{"id":"1","type":"shutdown"}`, "set workers.w.socket_shutdown"},
	} {
		c.send(tt.line + "\n")
		if got := c.object(); got["success"] != false || got["errorType"] != "validation" || !strings.Contains(fmt.Sprint(got["error"]), tt.says) {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
	contains(t, c.ask(`{"id":77,"type":"ping"}`), `"requestId":77,"success":true`)
}

// The reply names the task, which goes on; later requests are answered.
func TestEnvelopeThatTakesTooLong(t *testing.T) {
	t.Parallel()
	w := newWorker()
	c := dial(t, serveTasks(t, TaskConfig{Config: Config{TaskTime: time.Millisecond}}, w))
	c.send(`{"id":"a","type":"slow"}` + "\n")
	if got := c.object(); got["success"] != false || got["errorType"] != "timeout" || got["error"] != "task 1 is running, and goes on" ||
		fmt.Sprint(got["payload"]) != "map[taskId:1]" || got["requestId"] != "a" {
		t.Errorf("got %v", got)
	}
	contains(t, c.ask(`{"id":"b","type":"ping"}`), `"success":true`)
}

// Requests on one connection overtake each other, the flat ones in between too.
func TestPipelinedEnvelopes(t *testing.T) {
	t.Parallel()
	w := newWorker()
	c := dial(t, serveTasks(t, TaskConfig{}, w))
	for i := range 5 {
		c.send(fmt.Sprintf(`{"id":"r%d","type":"t"}`+"\n", i+1))
	}
	contains(t, c.ask(`{"command":"ping"}`), "pong")
	eventually(t, "five tasks", func() bool { return len(w.submitted()) == 5 })
	seen := map[any]any{}
	for i := 5; i > 0; i-- {
		id := fmt.Sprint(i)
		w.finish(t, id, end{result: id})
		got := c.object()
		seen[got["requestId"]] = got["payload"]
		if got["payload"] != float64(i) {
			t.Errorf("task %d ended, the reply is %v", i, got)
		}
	}
	if len(seen) != 5 {
		t.Errorf("got replies to %v", seen)
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	w := newWorker()
	w.status.Queued, w.status.Running = 1, 1
	path := serveTasks(t, TaskConfig{Shutdown: true}, w)
	c := dial(t, path)
	shutdown := func(payload string) any {
		t.Helper()
		c.send(`{"id":"1","type":"shutdown","payload":` + payload + `}` + "\n")
		got := c.object()
		if got["success"] != true {
			t.Errorf("got %v", got)
		}
		return got["payload"].(map[string]any)["queueDrained"]
	}
	if shutdown(`{"timeoutMs":0}`) != false || shutdown(`{"force":true,"timeoutMs":60000}`) != false {
		t.Error("what still runs is called drained")
	}
	other := dial(t, path)
	contains(t, other.ask(`{"command":"archive","collection":"a","batch_size":1}`), "takes no tasks until the host starts again", `"errorType":"internal"`)
	contains(t, other.ask(`{"id":"1","type":"t"}`), "takes no tasks")
	contains(t, other.ask(`{"command":"ping"}`), "pong")
	go w.set(func() { w.status.Queued, w.status.Running = 0, 0 })
	if shutdown(`{}`) != true {
		t.Error("what has ended is not called drained")
	}
	if n := len(w.submitted()); n != 0 {
		t.Errorf("%d tasks were submitted", n)
	}
}

// Clients that submit together do not get past the limit.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	w := &countingWorker{workerStub: newWorker()}
	w.status.Queued = MaxQueued - 3
	path := serveTasks(t, TaskConfig{}, w)
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[any]int{}
	for i := range 8 {
		c := dial(t, path)
		wg.Go(func() {
			c.send(fmt.Sprintf(`{"command":"archive","collection":"c%d","batch_size":1}`+"\n", i))
			got := c.object()
			mu.Lock()
			defer mu.Unlock()
			statuses[got["status"]]++
			if got["status"] == "error" && (got["errorType"] != "internal" || !strings.Contains(fmt.Sprint(got["error"]), "1000 tasks wait for worker w")) {
				t.Errorf("got %v", got)
			}
		})
	}
	wg.Wait()
	if statuses["queued"] != 3 || statuses["error"] != 5 {
		t.Errorf("got %v, want 3 queued", statuses)
	}
}

// countingWorker has as many tasks queued as were submitted, and takes its time
// to count them.
type countingWorker struct{ *workerStub }

func (w *countingWorker) Status(ctx context.Context) (Status, error) {
	s, err := w.workerStub.Status(ctx)
	time.Sleep(time.Millisecond)
	return s, err
}

func (w *countingWorker) Submit(ctx context.Context, s command.Submission) (string, bool, error) {
	id, created, err := w.workerStub.Submit(ctx, s)
	w.set(func() { w.status.Queued++ })
	return id, created, err
}

func fuzzTasks(f *testing.F, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	w := newWorker()
	d := newTasks(TaskConfig{Config: Config{TaskTime: time.Nanosecond}.withDefaults(), Worker: "w", Shutdown: true}, w)
	f.Fuzz(func(t *testing.T, text []byte) {
		before := len(w.submitted())
		do, _ := d.request(text)
		b, err := line(do(context.Background()))
		if err != nil || !json.Valid(b) {
			t.Errorf("%q is answered by %q, %v", text, b, err)
		}
		for _, s := range w.submitted()[before:] {
			if s.Worker != "w" || s.Kind == "" || len(s.UniqueKey) > 256 || s.Payload != nil && !json.Valid(s.Payload) {
				t.Errorf("%q submits %+v", text, s)
			}
		}
	})
}

func FuzzFlat(f *testing.F) {
	fuzzTasks(f, `{"command":"ping"}`, `{"command":"archive","task_id":"t","collection":"c","source_handle":"p","dest_handle":"a","batch_size":1000}`,
		`{"command":"archive","collection":"\u001f","batch_size":-1}`, `{"command":null}`, `{"command":{}}`)
}

func FuzzEnvelope(f *testing.F) {
	fuzzTasks(f, `{"id":"1","type":"ping","timestamp":"2026-01-01T00:00:00Z","payload":{},"userId":"u"}`, `{"id":2,"type":"status","payload":{"verbose":true}}`,
		`{"id":"3","type":"shutdown","payload":{"timeoutMs":1,"force":false}}`, `{"id":"4","type":"embed","payload":{"texts":["a","\ud83d\ude00"]}}`, `{"id":null,"type":[]}`)
}
