package socket

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a wait that only ends by itself when something is broken.
const patience = 20 * time.Second

// newPath returns a path for a socket; a test's own folder may be too long.
func newPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%v is left behind", left)
		}
		_ = os.RemoveAll(dir)
	})
	return filepath.Join(dir, "s.sock")
}

func stop(t testing.TB, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// newRouter has the commands echo, which returns its params, fail, wait, which
// returns when it is released, and odd, which returns what JSON does not have.
func newRouter(t testing.TB) (r *command.Router, release chan struct{}) {
	t.Helper()
	r = command.NewRouter(nil)
	release = make(chan struct{})
	for name, h := range map[string]command.Handler{
		"echo": func(_ context.Context, _ command.Caller, p map[string]any) (any, error) { return p, nil },
		"fail": func(context.Context, command.Caller, map[string]any) (any, error) {
			return nil, abi.Errorf(abi.NotFound, "no such thing: ü")
		},
		"wait": func(ctx context.Context, _ command.Caller, _ map[string]any) (any, error) {
			select {
			case <-release:
				return "waited", nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
		"odd": func(_ context.Context, _ command.Caller, p map[string]any) (any, error) {
			switch p["what"] {
			case "nan":
				return []any{0., nan}, nil
			case "text":
				return map[string]any{"a": "\xff"}, nil
			case "bytes":
				return []byte{0, 1, 2}, nil
			}
			return nil, nil
		},
	} {
		if err := r.Register(name, h); err != nil {
			t.Fatal(err)
		}
	}
	return r, release
}

func serveCommands(t testing.TB, cfg Config) (path string, release chan struct{}) {
	t.Helper()
	r, release := newRouter(t)
	if cfg.File.Path == "" {
		cfg.File.Path = newPath(t)
	}
	s, err := ServeCommands(t.Context(), cfg, r, command.Operator())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return cfg.File.Path, release
}

// workerStub is a Worker whose tasks end when the test says so.
type workerStub struct {
	mu     sync.Mutex
	tasks  []command.Submission
	ends   map[string]chan end // by task id
	status Status
	err    error // of everything
}

type end struct {
	result string
	err    error
}

func newWorker() *workerStub {
	return &workerStub{ends: map[string]chan end{}, status: Status{Worker: "w", Version: "1.2.3", Uptime: 12345 * time.Millisecond}}
}

func (w *workerStub) Submit(_ context.Context, s command.Submission) (string, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return "", false, w.err
	}
	for i, old := range w.tasks {
		if s.UniqueKey != "" && old.UniqueKey == s.UniqueKey {
			return fmt.Sprint(i + 1), false, nil
		}
	}
	w.tasks = append(w.tasks, s)
	id := fmt.Sprint(len(w.tasks))
	w.ends[id] = make(chan end, 1)
	return id, true, nil
}

func (w *workerStub) Position(_ context.Context, id string) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := json.Number(id).Int64()
	return n, err
}

func (w *workerStub) Wait(ctx context.Context, id string) (json.RawMessage, error) {
	w.mu.Lock()
	c := w.ends[id]
	w.mu.Unlock()
	select {
	case e := <-c:
		return json.RawMessage(e.result), e.err
	case <-ctx.Done():
		return nil, abi.Errorf(abi.DeadlineExceeded, "task %s is running, and goes on", id)
	}
}

func (w *workerStub) Status(context.Context) (Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status, w.err
}

func (w *workerStub) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *workerStub) submitted() []command.Submission {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]command.Submission(nil), w.tasks...)
}

// finish ends a task when it has been submitted.
func (w *workerStub) finish(t testing.TB, id string, e end) {
	t.Helper()
	eventually(t, "task "+id, func() bool { return len(w.submitted()) >= mustInt(id) })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends[id] <- e
}

func mustInt(s string) (n int) {
	_, _ = fmt.Sscan(s, &n)
	return n
}

func serveTasks(t testing.TB, cfg TaskConfig, w Worker) (path string) {
	t.Helper()
	if cfg.File.Path == "" {
		cfg.File.Path = newPath(t)
	}
	cfg.Worker = "w"
	s, err := ServeTasks(t.Context(), cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return cfg.File.Path
}

// client is a program on the other end.
type client struct {
	testing.TB
	*net.UnixConn
	lines *bufio.Reader
}

func dial(t testing.TB, path string) *client {
	t.Helper()
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return &client{t, nc.(*net.UnixConn), bufio.NewReader(nc)}
}

func (c *client) send(text string) {
	c.Helper()
	if _, err := io.WriteString(c.UnixConn, text); err != nil {
		c.Fatal(err)
	}
}

// receive returns the next reply without its newline.
func (c *client) receive() string {
	c.Helper()
	b, err := c.lines.ReadBytes('\n')
	if err != nil {
		c.Fatalf("no reply: %v, %q", err, b)
	}
	if i := bytes.IndexFunc(b, func(r rune) bool { return r > 0x7e }); i >= 0 {
		c.Errorf("the reply is not ASCII at byte %d: %q", i, b)
	}
	return string(b[:len(b)-1])
}

func (c *client) object() map[string]any {
	c.Helper()
	text := c.receive()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		c.Fatalf("%v in %s", err, text)
	}
	return m
}

// ask sends a line and returns the reply.
func (c *client) ask(text string) string {
	c.Helper()
	c.send(text + "\n")
	return c.receive()
}

// ended waits for the server to close the connection.
func (c *client) ended() {
	c.Helper()
	rest, err := io.ReadAll(c.lines)
	if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // it comes as it is
		c.Error("the connection was not closed")
	}
	if len(rest) > 0 {
		c.Errorf("%q came before the end", rest)
	}
}

func contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
}

func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come to be", what)
		}
	}
}
