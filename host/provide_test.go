package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
)

// testGuest builds testdata/guest, once for all tests that ask.
var testGuest = sync.OnceValues(func() (string, error) {
	file := archiveWasm + ".test"
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "./testdata/guest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the test guest: %w\n%s", err, out)
	}
	// Compiled once, as the archive worker is.
	w := &world{dir: file + ".world"}
	w.must(os.MkdirAll(w.path("workers"), 0o755))
	w.must(os.Link(file, w.path("workers/x.wasm")))
	h, err := host.New(context.Background(), w.config(), discard())
	w.must(err)
	w.must(h.Close())
	return file, nil
})

// addGuest drops the test guest into the folder under a name.
func (w *world) addGuest(name string) {
	w.Helper()
	file, err := testGuest()
	w.must(err)
	w.must(os.Link(file, w.path("workers/"+name+".wasm")))
	if _, err := os.Stat(w.path("test.compiled")); err == nil {
		return
	}
	w.must(os.WriteFile(w.path("test.compiled"), nil, 0o600))
	w.addCompiled(file + ".world")
}

// addCompiled takes over what the host of another world has compiled.
func (w *world) addCompiled(other string) {
	w.Helper()
	w.must(filepath.WalkDir(other+"/state/compiled", func(from string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		to := w.path("state/compiled/" + strings.TrimPrefix(from, other+"/state/compiled/"))
		if _, err := os.Stat(to); err == nil {
			return nil
		}
		w.must(os.MkdirAll(filepath.Dir(to), 0o755))
		return os.Link(from, to)
	}))
}

func (w *world) ask(h *host.Host, worker, payload string) *queue.Record {
	w.Helper()
	id, _, err := h.State().Submit(w.Context(), queue.Submission{Worker: worker, Kind: "ask", Payload: json.RawMessage(payload), MaxAttempts: 1})
	w.must(err)
	return w.wait(h, id)
}

// TestCommandsOfWorkers: tasks of one worker call the commands of another.
func TestCommandsOfWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addGuest("asking")
	w.addGuest("answering")
	w.toml = grants + `
[workers.asking.grants]
commands = ["test/*"]
[workers.answering]
deadline = '2s'
[workers.answering.grants]
commands = ["test/*"]
provides = ["test/echo", "test/fail", "test/refuse", "test/forbidden", "test/trap", "test/spin", "test/nothing", "test/again"]
[workers.asking.limits]
commands = 100
`
	h, _ := w.start()
	for i, c := range []struct {
		payload string
		code    abi.Code // of the task that asks
		says    string   // in its result or its error
	}{
		{`{"command":"test/echo","next":"héllo"}`, abi.OK, `"text":"héllo"`},
		{`{"command":"test/echo"}`, abi.OK, `"calls":1,`}, // in a clean sandbox each time
		{`{"command":"test/echo"}`, abi.OK, `"id":"3.1"`},
		{`{"command":"test/nothing"}`, abi.OK, `"answer":null`},
		{`{"command":"test/fail"}`, abi.Failed, "command test/fail: the worker answering: "},
		{`{"command":"test/refuse"}`, abi.InvalidArgument, "field x is missing"},
		{`{"command":"test/forbidden"}`, abi.Failed, "the worker answering: "},
		{`{"command":"test/trap"}`, abi.Failed, "out of order"},
		{`{"command":"test/spin"}`, abi.Failed, "command test/spin: the worker answering: the guest was stopped: context deadline exceeded (deadline_exceeded)"},
		{`{"command":"test/away"}`, abi.UnknownCommand, "test/away"},
		{`{"command":"secret/echo"}`, abi.NotGranted, "secret/echo"},
		// test/again, which the guest does not know, calls what it is told to.
		{`{"command":"test/again","next":"test/echo"}`, abi.OK, `"text":""`},
		{`{"command":"test/again","next":"test/again"}`, abi.LimitExceeded, "it waits for itself: test/again > test/again"},
		{`{"command":"test/echo"}`, abi.OK, `"calls":1,`},
	} {
		task := w.ask(h, "asking", c.payload)
		got, code := string(task.Result), abi.OK
		if n := len(task.Errors); n > 0 {
			got, code = task.Errors[n-1].Message, task.Errors[n-1].Code
		}
		if code != c.code || !strings.Contains(got, c.says) || strings.Contains(got, w.dir) {
			t.Errorf("%d: %s: %s %s\nwant %s with %s", i, c.payload, code, got, c.code, c.says)
		}
	}
}

// A task may call a command of its own worker, which has one sandbox for tasks.
func TestWorkerThatAsksItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addGuest("both")
	w.toml = "[workers.both.grants]\ncommands = ['test/*']\nprovides = ['test/echo']\n"
	h, _ := w.start()
	if task := w.ask(h, "both", `{"command":"test/echo","next":"me"}`); task.State != queue.Completed || !strings.Contains(string(task.Result), `"text":"me"`) {
		t.Errorf("the task is %s with %s, %+v", task.State, task.Result, task.Errors)
	}
}

// A command that is the host's own cannot be taken over.
func TestWorkerCannotProvideWhatIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addGuest("greedy")
	w.addGuest("later")
	w.toml = "[workers.greedy.grants]\ncommands = ['*', '*/*']\nprovides = ['ping', 'test/echo']\n" +
		"[workers.later.grants]\nprovides = ['test/echo']\n"
	h, _ := w.start()
	if task := w.ask(h, "greedy", `{"command":"ping"}`); task.State != queue.Completed || strings.Contains(string(task.Result), `"calls"`) {
		t.Errorf("the task is %s with %s, %+v", task.State, task.Result, task.Errors)
	}
	if task := w.ask(h, "greedy", `{"command":"test/echo"}`); task.State != queue.Completed {
		t.Errorf("the other worker's command: the task is %s: %+v", task.State, task.Errors)
	}
}
