package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/command/socket"
	"github.com/wasmhost/wasmhost/host/queue"
)

// peer is a program on the other end of a socket.
type peer struct {
	*world
	net.Conn
	lines *bufio.Reader
}

func (w *world) dial(name string) *peer {
	w.Helper()
	conn, err := net.Dial("unix", w.path(name))
	w.must(err)
	w.Cleanup(func() { conn.Close() })
	w.must(conn.SetDeadline(time.Now().Add(time.Minute)))
	return &peer{w, conn, bufio.NewReader(conn)}
}

// ask sends a line and decodes the reply.
func (p *peer) ask(line string) (reply map[string]any) {
	p.Helper()
	_, err := io.WriteString(p.Conn, line+"\n")
	p.must(err)
	text, err := p.lines.ReadBytes('\n')
	p.must(err)
	p.must(json.Unmarshal(text, &reply))
	return reply
}

// until waits for something to be so.
func (w *world) until(what string, so func() bool) {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("%s did not come to be", what)
		}
	}
}

// TestTaskSocket is a day of an archive daemon and of a generic client that know
// nothing of wasmhost.
func TestTaskSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = strings.Replace(grants, "max_attempts = 1\n", "max_attempts = 1\nsocket = 'a.sock'\n", 1)
	primary, archive := w.open("primary.db"), w.open("archive.db")
	w.fill(primary, 500)
	before := w.dump(primary)
	h, stop := w.start()
	info, err := os.Lstat(w.path("a.sock")) // it is there when the host is ready
	w.must(err)
	if info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket is %v", info.Mode())
	}

	daemon := w.dial("a.sock")
	if got := daemon.ask(`{"command":"ping"}`); got["status"] != "pong" || got["uptime_seconds"] == nil {
		t.Errorf("ping: got %v", got)
	}
	got := daemon.ask(`{"command":"archive","task_id":"chat_messages-1","collection":"chat_messages","source_handle":"primary","dest_handle":"archive","batch_size":100}`)
	if got["status"] != "queued" || got["task_id"] != "chat_messages-1" {
		t.Fatalf("archive: got %v", got)
	}
	task := w.wait(h, fmt.Sprint(got["id"]))
	if task.State != queue.Completed || task.Kind != "archive" {
		t.Fatalf("the task is %+v", task)
	}
	// One batch, the oldest.
	if got := w.dump(archive); len(got) != 100 || got[0] != before[0] || got[99] != before[99] || len(w.dump(primary)) != 400 {
		t.Errorf("%d rows are in the archive and %d are left", len(got), len(w.dump(primary)))
	}

	generic := w.dial("a.sock")
	got = generic.ask(`{"id":"r1","type":"archive","timestamp":"2026-01-01T00:00:00Z","payload":{"collection":"chat_messages","keep":350}}`)
	if result, _ := got["payload"].(map[string]any); got["success"] != true || got["requestId"] != "r1" || result["archived"] != 50. {
		t.Errorf("a task: got %v", got)
	}
	got = generic.ask(`{"id":"r2","type":"archive","timestamp":"2026-01-01T00:00:00Z","payload":{"collection":"nothing","keep":0}}`)
	if got["success"] != false || got["errorType"] != "not_found" || !strings.Contains(fmt.Sprint(got["error"]), "task 3 is dead: unknown_collection") {
		t.Errorf("a task that fails: got %v", got)
	}
	got = generic.ask(`{"id":"r3","type":"status","timestamp":"2026-01-01T00:00:00Z","payload":{"verbose":true}}`)
	status, _ := got["payload"].(map[string]any)
	metrics, _ := status["metrics"].(map[string]any)
	resources, _ := status["resources"].(map[string]any)
	if status["workerType"] != "archive" || status["pid"] != float64(os.Getpid()) || status["status"] != "failing" ||
		metrics["processedTotal"] != 3. || metrics["errorsTotal"] != 1. || metrics["queueDepth"] != 0. ||
		resources["memoryMb"].(float64) < 1 || resources["memoryLimitMb"] != 64. || resources["threads"].(float64) < 2 {
		t.Errorf("status: got %v", got)
	}
	if got := generic.ask(`{"id":"r4","type":"shutdown","payload":{}}`); got["success"] != false || got["errorType"] != "validation" {
		t.Errorf("shutdown: got %v", got)
	}

	stop()
	if _, err := os.Lstat(w.path("a.sock")); err == nil {
		t.Error("the socket is left behind")
	}
	if _, err := daemon.lines.ReadByte(); err != io.EOF {
		t.Errorf("after the host has stopped: %v", err)
	}
}

// Two requests for one collection are one task while it is not finished, and the
// places in the queue are those of tasks that wait.
func TestTaskSocketCoalesces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = strings.Replace(grants, "max_attempts = 1\n", "max_attempts = 1\nsocket = 'a.sock'\n", 1)
	w.fill(w.open("primary.db"), 50)
	blocker := w.open("archive.db")
	blocker.SetMaxOpenConns(1)
	w.exec(blocker, "BEGIN IMMEDIATE")
	w.timeout = "1m"
	h, _ := w.start()
	c := w.dial("a.sock")
	archive := func(collection string) map[string]any {
		t.Helper()
		return c.ask(`{"command":"archive","task_id":"x","collection":"` + collection + `","batch_size":10}`)
	}
	first := archive("chat_messages")
	w.until("the first task to run", func() bool {
		r, err := h.State().Queue.Task(t.Context(), fmt.Sprint(first["id"]))
		w.must(err)
		return r.State == queue.Running
	})
	if again := archive("chat_messages"); again["id"] != first["id"] || again["queue_position"] != 0. {
		t.Errorf("the same collection while it runs: got %v after %v", again, first)
	}
	a, b, again := archive("a"), archive("b"), archive("a")
	if a["queue_position"] != 1. || b["queue_position"] != 2. || again["queue_position"] != 1. || again["id"] != a["id"] {
		t.Errorf("got %v, %v, %v", a, b, again)
	}
	w.exec(blocker, "COMMIT")
	if r := w.wait(h, fmt.Sprint(first["id"])); r.State != queue.Completed {
		t.Errorf("the first is %+v", r)
	}
	w.wait(h, fmt.Sprint(b["id"]))
	if next := archive("chat_messages"); next["id"] == first["id"] || next["status"] != "queued" {
		t.Errorf("after it has ended: got %v", next)
	}
}

// A request whose task has not ended when the host stops is told so.
func TestTaskSocketAtStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = grants + "[workers.absent]\nsocket = 'b.sock'\n[command]\nsocket = 'c.sock'\n"
	_, stop := w.start()
	c := w.dial("c.sock")
	if got := c.ask(`{"command":"commands/list","id":1}`); got["success"] != true || got["id"] != 1. || !strings.Contains(fmt.Sprint(got["result"]), "commands/list") {
		t.Errorf("commands/list: got %v", got)
	}
	// A socket is served although the worker is not there yet.
	b := w.dial("b.sock")
	if got := b.ask(`{"id":"1","type":"t"}`); got["success"] != false || got["errorType"] != "not_found" || !strings.Contains(fmt.Sprint(got["error"]), `no worker is named "absent"`) {
		t.Errorf("a task for nobody: got %v", got)
	}
	w.must(os.WriteFile(w.path("workers/absent.wasm"), []byte("\x00asm\x01\x00\x00\x00"), 0o600)) // which this host does not serve
	reply := make(chan map[string]any, 1)
	go func() { reply <- b.ask(`{"id":"2","type":"t"}`) }()
	w.until("the task", func() bool {
		got := w.dial("b.sock").ask(`{"id":"3","type":"ping"}`)
		return strings.Contains(fmt.Sprint(got["payload"]), "queueDepth:1")
	})
	stop()
	if got := <-reply; got["success"] != false || got["errorType"] != "timeout" || got["error"] != "task 1 is queued, and goes on" {
		t.Errorf("at the stop: got %v", got)
	}
}

// A host whose socket another one serves does not start, and harms nothing.
func TestSocketIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = "[command]\nsocket = 'c.sock'\n"
	w.start()
	other := &world{TB: t, dir: w.dir, adapter: "daemon", timeout: "100ms", toml: "[command]\nsocket = 'c.sock'\n"}
	cfg := other.config()
	cfg.StateDir, cfg.WorkersDir = w.path("state2"), w.path("none")
	h, err := host.New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	w.must(err)
	defer h.Close()
	if err := h.Run(context.Background()); err == nil || !strings.Contains(err.Error(), w.path("c.sock")+": another process serves it") {
		t.Errorf("got %v", err)
	}
	if got := w.dial("c.sock").ask(`{"command":"ping"}`); got["success"] != true {
		t.Errorf("the first: got %v", got)
	}
}

// The configuration lets through what can be listened on, to the byte.
func TestLongestSocketPath(t *testing.T) {
	t.Parallel()
	for n, ok := range map[int]bool{socket.MaxPath: true, socket.MaxPath + 1: false} {
		path := "/" + strings.Repeat("s", n-1)
		_, err := config.Load(config.Options{File: os.DevNull + "-none", Flags: map[string]string{"command.socket": path}})
		if got := err == nil || !strings.Contains(err.Error(), "command.socket"); got != ok {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
