package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/cmd/wasmhost/demo"
	"github.com/wasmhost/wasmhost/cmd/wasmhost/fixture"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/queue"
)

// output may be written and read at the same time.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// site is a folder with a configuration and a worker's file in it.
type site struct {
	t    *testing.T
	dir  string
	file string
}

// emptyModule is a Wasm module with nothing in it: enough to be submitted to,
// not enough to be run.
const emptyModule = "\x00asm\x01\x00\x00\x00"

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	s.file = filepath.Join(s.dir, "wasmhost.toml")
	s.write("wasmhost.toml", "[settings.mail]\napiKey = \"hidden\"\n")
	s.write("workers/archive.wasm", emptyModule)
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// run runs a command line on the site.
func (s *site) run(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	return s.runWith(s.t.Context(), "", args...)
}

func (s *site) runWith(ctx context.Context, stdin string, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, errs output
	code = Main(ctx, append([]string{"wasmhost", "--config", s.file}, args...), strings.NewReader(stdin), &out, &errs, nil)
	return code, out.String(), errs.String()
}

// serve runs a host on the site until stop is called, which has it be interrupted
// and wants it to end well.
func (s *site) serve() (log *output, stop func()) {
	s.t.Helper()
	serving, interrupt := context.WithCancelCause(s.t.Context())
	log = &output{}
	done := make(chan int, 1)
	go func() {
		done <- Main(serving, []string{"wasmhost", "--config", s.file, "run"}, strings.NewReader(""), log, log, nil)
	}()
	eventually(s.t, log, func() bool { return strings.Contains(log.String(), "msg=serving") })
	return log, func() {
		interrupt(errSignal)
		if code := <-done; code != exitOK {
			s.t.Errorf("run: exit %d\n%s", code, log.String())
		}
	}
}

// json runs a command line and decodes what it prints.
func (s *site) json(into any, args ...string) {
	s.t.Helper()
	code, out, errs := s.run(append(args, "--json")...)
	if code != exitOK {
		s.t.Fatalf("%v: exit %d: %s", args, code, errs)
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		s.t.Fatalf("%v: %v in\n%s", args, err, out)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("task.json", `{"collection":"from a file"}`)
	s.write("bad.toml", "wokers_dir = 1\n")
	const object = `{"collection":"x"}`
	none := filepath.Join(s.dir, "none")
	tests := []struct {
		name   string
		args   []string
		stdin  string
		code   int
		stdout string // a part of it
		stderr string
	}{
		{name: "help", args: []string{"--help"}, stdout: "Exit codes:\n    0   done"},
		{name: "help of a command", args: []string{"submit", "--help"}, stdout: "wasmhost submit archive @task.json"},
		{name: "completion", args: []string{"completion", "bash"}, stdout: "__start_wasmhost"},
		{name: "version", args: []string{"version"}, stdout: "contract wasmhost_v1"},
		{name: "version as JSON", args: []string{"version", "--json"}, stdout: `"contract": 1`},
		{name: "unknown command", args: []string{"taskz"}, code: exitUsage, stderr: "tasks"},
		{name: "unknown flag", args: []string{"tasks", "--lmit", "3"}, code: exitUsage, stderr: "unknown flag: --lmit"},
		{name: "too few arguments", args: []string{"submit"}, code: exitUsage, stderr: "--help"},
		{name: "too many arguments", args: []string{"tasks", "show", "1", "2"}, code: exitUsage, stderr: "accepts 1 arg"},
		{name: "config", args: []string{"config", "show"}, stdout: `"********"  `},
		{name: "config as JSON", args: []string{"config", "show", "--json", "--log-level", "debug"}, stdout: `"source": "flag --log-level"`},
		{name: "bad config", args: []string{"--config", filepath.Join(s.dir, "bad.toml"), "tasks"}, code: exitUsage, stderr: "did you mean workers_dir?"},
		{name: "bad flag for config", args: []string{"--log-level", "loud", "config", "show"}, code: exitUsage, stderr: "flag --log-level: log.level"},
		{name: "no config", args: []string{"--config", none, "tasks"}, code: exitUsage, stderr: none},
		{name: "no state", args: []string{"--state-dir", none, "tasks"}, code: exitNotFound, stderr: "there is no state folder " + none},
		{name: "workers", args: []string{"workers"}, stdout: "archive"},
		{name: "no workers", args: []string{"--workers-dir", s.dir, "workers"}, stdout: "put a .wasm file into " + s.dir},
		{name: "submit", args: []string{"submit", "archive", object}, stdout: "is queued for archive"},
		{name: "submit later", args: []string{"submit", "archive", object, "--at", "2h"}, stdout: "is scheduled for archive"},
		{name: "submit at a time", args: []string{"submit", "archive", object, "--at", "2036-01-31T15:04:05Z"}, stdout: "is scheduled for archive"},
		{name: "submit from a file", args: []string{"submit", "archive", "@" + filepath.Join(s.dir, "task.json")}, stdout: "is queued"},
		{name: "submit from standard input", args: []string{"submit", "archive", "-"}, stdin: object, stdout: "is queued"},
		{name: "submit without a payload", args: []string{"submit", "archive"}, stdout: "is queued"},
		{name: "dry run and unique", args: []string{"submit", "archive", object, "--dry-run", "--unique", "k"}, code: exitUsage, stderr: "without --unique"},
		{name: "dry run later", args: []string{"submit", "archive", object, "--dry-run", "--at", "2h"}, code: exitUsage, stderr: "without --at"},
		{name: "no schedules", args: []string{"schedules"}, stdout: "There are no schedules"},
		{name: "submit to nobody", args: []string{"submit", "archiv", object}, code: exitNotFound, stderr: "archive"},
		{name: "submit no JSON", args: []string{"submit", "archive", "{collection}"}, code: exitUsage, stderr: "the payload is not a JSON object at byte 2"},
		{name: "submit a list", args: []string{"submit", "archive", "[1]"}, code: exitUsage, stderr: "not a JSON object"},
		{name: "submit no file", args: []string{"submit", "archive", "@" + none}, code: exitUsage, stderr: none},
		{name: "submit bad standard input", args: []string{"submit", "archive", "-"}, stdin: "x", code: exitUsage, stderr: "standard input is not a JSON object"},
		{name: "submit at no time", args: []string{"submit", "archive", "--at", "soon"}, code: exitUsage, stderr: `--at "soon": a time such as`},
		{name: "submit with a bad priority", args: []string{"submit", "archive", "--priority", "9"}, code: exitUsage, stderr: "--priority 9: 1 to 4"},
		{name: "submit with a time-out for nothing", args: []string{"submit", "archive", "--timeout", "1s"}, code: exitUsage, stderr: "give --wait too"},
		{name: "show nothing", args: []string{"tasks", "show", "99"}, code: exitNotFound, stderr: "99"},
		{name: "show no id", args: []string{"tasks", "show", "x"}, code: exitNotFound, stderr: `"x"`},
		{name: "cancel nothing", args: []string{"tasks", "cancel", "99"}, code: exitNotFound, stderr: "99"},
		{name: "bad state", args: []string{"tasks", "--state", "broken"}, code: exitUsage, stderr: `state "broken"`},
		{name: "no such tasks", args: []string{"tasks", "--state", "dead"}, stdout: "There are no such tasks"},
		{name: "no such tasks as JSON", args: []string{"tasks", "--state", "dead", "--json"}, stdout: "[]"},
		{name: "no events", args: []string{"events"}},
		{name: "events since nonsense", args: []string{"events", "--since", "-1"}, code: exitUsage, stderr: "--since"},
		{name: "demo with a configuration", args: []string{"demo"}, code: exitUsage, stderr: "--config has no meaning for the demo"},
		{name: "an error as JSON", args: []string{"tasks", "show", "99", "--json"}, code: exitNotFound, stderr: `{"error":{"code":"not_found","exit":4,`},
		{name: "a usage error as JSON", args: []string{"--json", "tasks", "--lmit"}, code: exitUsage, stderr: `"code":"invalid_argument"`},
	}
	if code, _, errs := s.run("submit", "archive"); code != exitOK { // makes the state
		t.Fatal(errs)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := s.runWith(t.Context(), tt.stdin, tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(out, tt.stdout) {
				t.Errorf("standard output lacks %q:\n%s", tt.stdout, out)
			}
			if !strings.Contains(errs, tt.stderr) {
				t.Errorf("standard error lacks %q:\n%s", tt.stderr, errs)
			}
			if code == exitOK && errs != "" {
				t.Errorf("standard error has %q", errs)
			}
			if code != exitOK && out != "" {
				t.Errorf("standard output has %q", out)
			}
		})
	}
}

func TestTasks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var submitted struct {
		ID      string `json:"id"`
		Created bool   `json:"created"`
	}
	submit := func(args ...string) string {
		t.Helper()
		s.json(&submitted, append([]string{"submit", "archive", `{"n": 1}`}, args...)...)
		return submitted.ID
	}
	first := submit("--unique", "k", "--kind", "sort", "--max-attempts", "7")
	if again := submit("--unique", "k"); again != first || submitted.Created {
		t.Errorf("the same unique key gave task %s, created %t; want %s again", again, submitted.Created, first)
	}
	second := submit("--priority", "3")

	var list []queue.Record
	s.json(&list, "tasks")
	if len(list) != 2 || list[0].ID != second || list[1].ID != first {
		t.Fatalf("got %+v, want tasks %s and %s", list, second, first)
	}
	if r := list[1]; r.Kind != "sort" || r.UniqueKey != "k" || r.MaxAttempts != 7 || r.State != queue.Queued || strings.Join(strings.Fields(string(r.Payload)), "") != `{"n":1}` {
		t.Errorf("task %s is %+v", first, r)
	}
	if list[0].Priority != 3 {
		t.Errorf("priority %d, want 3", list[0].Priority)
	}
	s.json(&list, "tasks", "list", "--limit", "1", "--after", second, "--worker", "archive")
	if len(list) != 1 || list[0].ID != first {
		t.Errorf("the second page is %+v, want task %s", list, first)
	}

	if code, out, errs := s.run("tasks", "cancel", first, second); code != exitOK || out != "task "+first+" is cancelled\ntask "+second+" is cancelled\n" {
		t.Errorf("cancel: exit %d, %q, %q", code, out, errs)
	}
	if code, out, _ := s.run("tasks", "show", first); code != exitOK || !strings.Contains(out, "cancelled") || !strings.Contains(out, `"n": 1`) {
		t.Errorf("show: exit %d\n%s", code, out)
	}
	if code, out, errs := s.run("tasks", "retry", first); code != exitOK || out != "task "+first+" is queued again\n" {
		t.Errorf("retry: exit %d, %q, %q", code, out, errs)
	}
	s.json(&list, "tasks", "--state", "queued")
	if len(list) != 1 || list[0].ID != first {
		t.Errorf("queued is %+v, want task %s", list, first)
	}
	code, out, _ := s.run("tasks")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != exitOK || len(lines) != 3 || !strings.HasPrefix(lines[0], "ID") {
		t.Errorf("tasks: exit %d\n%s", code, out)
	}
}

// Nobody serves the site's tasks, so waiting for one ends otherwise.
func TestWaitEndsBeforeTheTask(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	code, out, errs := s.run("submit", "archive", "--wait", "--timeout", "50ms")
	if code != exitTimedOut || out != "" || !strings.Contains(errs, "not done after 50ms: task 1 goes on without you") {
		t.Errorf("time-out: exit %d, %q, %q", code, out, errs)
	}

	ctx, interrupt := context.WithCancelCause(t.Context())
	var stdout, stderr output
	done := make(chan int)
	go func() {
		done <- Main(ctx, []string{"wasmhost", "--config", s.file, "submit", "archive", "--wait"}, strings.NewReader(""), &stdout, &stderr, nil)
	}()
	eventually(t, &stderr, func() bool { return strings.Contains(stderr.String(), "task 2 queued") })
	interrupt(errSignal)
	if code := <-done; code != exitInterrupted || !strings.Contains(stderr.String(), "interrupted: task 2 goes on without you") {
		t.Errorf("interrupted: exit %d, %q", code, stderr.String())
	}
	var r queue.Record
	s.json(&r, "tasks", "show", "2")
	if r.State != queue.Queued {
		t.Errorf("the task is %s after the wait, want it untouched", r.State)
	}

	// Cancelling from elsewhere ends the wait.
	stderr = output{}
	go func() {
		done <- Main(t.Context(), []string{"wasmhost", "--config", s.file, "submit", "archive", "--wait", "--json"}, strings.NewReader(""), &stdout, &stderr, nil)
	}()
	eventually(t, &stderr, func() bool { return strings.Contains(stderr.String(), "task 3 queued") })
	if code, _, errs := s.run("tasks", "cancel", "3"); code != exitOK {
		t.Fatal(errs)
	}
	if code := <-done; code != exitTaskFailed || !strings.Contains(stdout.String(), `"state": "cancelled"`) {
		t.Errorf("cancelled: exit %d, %q, %q", code, stdout.String(), stderr.String())
	}
}

// eventually waits until something is so, which shows in an output.
func eventually(t *testing.T, seen *output, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to be; the output is\n%s", seen.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestServe runs a host and works with it from the command line, as its
// operator does.
func TestServe(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("wasmhost.toml", `
[workers.good]
grants = { commands = ["events/emit"], events = ["test:*"] }
[workers.bad]
grants = { commands = ["events/emit"], events = ["test:*"] }
`)
	s.write("workers/good.wasm", fixture.Tiny(t, abi.OK, map[string]any{"sum": int64(42)}))
	s.write("workers/bad.wasm", fixture.Tiny(t, abi.Permanent, "no such thing as 7"))
	// workers/archive.wasm is an empty module, which cannot be served.

	serving, stop := context.WithCancelCause(t.Context())
	var log, served output
	done := make(chan int)
	go func() {
		done <- Main(serving, []string{"wasmhost", "--config", s.file, "run"}, strings.NewReader(""), &served, &log, nil)
	}()
	eventually(t, &log, func() bool { return strings.Contains(log.String(), "msg=serving workers=2") })
	if !strings.Contains(log.String(), `msg="worker refused" worker=archive`) {
		t.Errorf("the log does not name the refused worker:\n%s", log.String())
	}
	if code, _, errs := s.run("run"); code != exitFailed || !strings.Contains(errs, "another host runs") {
		t.Errorf("a second host: exit %d, %q", code, errs)
	}

	following, unfollow := context.WithCancelCause(t.Context())
	var events output
	followed := make(chan int)
	go func() {
		followed <- Main(following, []string{"wasmhost", "--config", s.file, "events", "--follow", "--since", "0", "--pattern", "*:end", "--json"},
			strings.NewReader(""), &events, &events, nil)
	}()

	code, out, errs := s.run("submit", "good", `{"n": 1}`, "--wait")
	if code != exitOK || strings.Join(strings.Fields(out), "") != `{"sum":42}` {
		t.Fatalf("submit: exit %d, %q, %q", code, out, errs)
	}
	for _, want := range []string{"task 1 3 of 4 steps (75 %)\n", "task 1 completed\n", "task 1 took"} {
		if !strings.Contains(errs, want) {
			t.Errorf("standard error lacks %q:\n%s", want, errs)
		}
	}
	var r queue.Record
	s.json(&r, "submit", "good", "--wait")
	if r.State != queue.Completed || r.Done != 3 || r.Total != 4 {
		t.Errorf("submit --json: %+v", r)
	}
	eventually(t, &events, func() bool { return strings.Count(events.String(), "\n") >= 2 })
	unfollow(errSignal)
	if code := <-followed; code != exitOK {
		t.Errorf("events --follow: exit %d after an interrupt, want 0\n%s", code, events.String())
	}
	task := 1
	for line := range strings.Lines(events.String()) {
		var e struct{ Name, Worker, Task string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Name != "test:end" || e.Worker != "good" || e.Task != strconv.Itoa(task) {
			t.Errorf("got the event %s (%v), want test:end of task %d", line, err, task)
		}
		task++
	}
	if code, out, errs := s.run("events", "--limit", "1", "--pattern", "test:*"); code != exitOK || strings.Count(out, "\n") != 1 || !strings.Contains(out, "good/1  test:begin") {
		t.Errorf("events: exit %d, %q, %q", code, out, errs)
	}
	if code, out, errs := s.run("events", "--since", "7", "--pattern", "test:*"); code != exitOK || strings.Count(out, "\n") != 1 || !strings.Contains(out, `good/2  test:end  {"n":1}`) {
		t.Errorf("events --since: exit %d, %q, %q", code, out, errs)
	}
	if code, out, errs := s.run("events", "--pattern", "task:completed", "--limit", "1"); code != exitOK || !strings.Contains(out, `host/1  task:completed  {"worker":"good",`) {
		t.Errorf("events of tasks: exit %d, %q, %q", code, out, errs)
	}
	if code, out, _ := s.run("tasks", "show", "1"); code != exitOK || !strings.Contains(out, "3/4") || !strings.Contains(out, `"guest_ms"`) {
		t.Errorf("show: exit %d\n%s", code, out)
	}

	// A task that cannot succeed: its code, its text, and what to do.
	code, out, errs = s.run("submit", "bad", "--wait")
	if code != exitTaskFailed || out != "" || !strings.Contains(errs, "permanent: no such thing as 7") || !strings.Contains(errs, "wasmhost tasks retry 3") {
		t.Errorf("a failing task: exit %d, %q, %q", code, out, errs)
	}
	if code, out, _ := s.run("tasks", "--state", "dead"); code != exitOK || !strings.Contains(out, "permanent: no such thing as 7") {
		t.Errorf("tasks --state dead: exit %d\n%s", code, out)
	}
	if code, _, errs := s.run("tasks", "cancel", "1"); code != exitFailed || !strings.Contains(errs, "task 1 is completed already") {
		t.Errorf("cancel of a completed task: exit %d, %q", code, errs)
	}

	stop(errSignal)
	if code := <-done; code != exitOK || served.String() != "" {
		t.Errorf("run: exit %d after an interrupt, want 0; standard output %q\n%s", code, served.String(), log.String())
	}
}

func TestCompletions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if code, _, errs := s.run("submit", "archive"); code != exitOK {
		t.Fatal(errs)
	}
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"submit", ""}, "archive\tpresent\n"},
		{[]string{"tasks", "--worker", ""}, "archive\tpresent\n"},
		{[]string{"tasks", "--state", ""}, "retrying\n"},
		{[]string{"tasks", "show", ""}, "1\tarchive queued\n"},
		{[]string{"tasks", "cancel", ""}, "1\tarchive queued\n"},
		{[]string{"tasks", "list", "--after", ""}, "1\tarchive queued\n"},
		{[]string{"tasks", "retry", ""}, ":36\n"}, // nothing to retry: the directive comes first
		{[]string{"--log-level", ""}, "debug\n"},
		{[]string{"config", ""}, "show\t"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			var out, errs output
			args := append([]string{"wasmhost", "__complete", "--config", s.file}, tt.args...)
			if code := Main(t.Context(), args, strings.NewReader(""), &out, &errs, nil); code != exitOK || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit %d, want %q in\n%s%s", code, tt.want, out.String(), errs.String())
			}
		})
	}
}

// TestDemo runs the demo in a process of its own, where compiling the worker
// is fast, and then the commands that it names on what it left behind.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binary := fixture.Program(t, dir)
	for _, name := range []string{"archive", "embedding"} {
		fixture.Guest(t, filepath.Join(dir, name+".wasm"), "guests/"+name)
	}
	cmd := exec.Command(binary, "demo", "--dir", filepath.Join(dir, "demo"), "--rows", "400", "--keep", "150", "--documents", "600", "--guests", dir, "--json")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	var summary demo.Summary
	if err := json.Unmarshal(out, &summary); err != nil || summary.Archived != 250 || summary.Kept != 150 || summary.Bill.WallMS <= 0 || summary.Bill.PeakMemoryBytes == 0 ||
		summary.Search.Embedded != 600 || len(summary.Search.Answers) != 3 || len(summary.Search.Answers[0].Hits) != 3 {
		t.Fatalf("%v, %+v\n%s", err, summary, &errs)
	}
	file := filepath.Join(dir, "demo", config.DefaultFile)
	for _, args := range [][]string{{"tasks"}, {"tasks", "show", "1"}, {"events", "--pattern", "archive:complete"}, {"config", "show"}, {"workers"}} {
		var out, errs output
		if code := Main(t.Context(), append([]string{"wasmhost", "--config", file}, args...), strings.NewReader(""), &out, &errs, nil); code != exitOK || !strings.Contains(out.String(), "archive") {
			t.Errorf("%v: exit %d\n%s\n%s", args, code, out.String(), errs.String())
		}
	}
	// Another folder is not touched.
	var refused output
	if code := Main(t.Context(), []string{"wasmhost", "demo", "--dir", dir, "--guests", dir}, strings.NewReader(""), &refused, &refused, nil); code != exitFailed || !strings.Contains(refused.String(), "choose another folder") {
		t.Errorf("a foreign folder: exit %d, want %d\n%s", code, exitFailed, refused.String())
	}
}
