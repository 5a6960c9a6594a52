package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/command/socket"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/worker"
)

// drop puts a module into the folder as a careful program does.
func (w *world) drop(name string, module []byte) {
	w.Helper()
	file := w.path("workers/" + name + ".wasm")
	w.must(os.WriteFile(file+".new", module, 0o600))
	w.must(os.Rename(file+".new", file))
}

func (w *world) info(h *host.Host, name string) (info worker.Info) {
	for _, info := range h.Workers() {
		if info.Name == name {
			return info
		}
	}
	return info
}

// is waits until the worker's file is in a state, and the version that is served
// has a name.
func (w *world) is(h *host.Host, name string, state worker.State, version, reason string) worker.Info {
	w.Helper()
	var info worker.Info
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		info = w.info(h, name)
		if info.State == state && info.ServingVersion == version && strings.Contains(info.Reason, reason) {
			return info
		}
		if time.Now().After(deadline) {
			w.Fatalf("%s is %s because of %q and %q is served; want %s because of %q and %q", name, info.State, info.Reason, info.ServingVersion, state, reason, version)
		}
	}
}

// answer is what a worker's version returns for a task.
func (w *world) answer(h *host.Host, name string) string {
	w.Helper()
	task := w.ask(h, name, `{}`)
	var result struct{ Is string }
	if task.State == queue.Completed {
		w.must(json.Unmarshal(task.Result, &result))
		return result.Is
	}
	return string(task.State)
}

func named(version, more string) string {
	return fmt.Sprintf(`{"name":"w","version":%q%s,"requests":{}}`, version, more)
}

func asking(version string, commands ...string) string {
	b, _ := json.Marshal(commands)
	return fmt.Sprintf(`{"name":"w","version":%q,"requests":{"commands":%s}}`, version, b)
}

func (w *world) cfg() *config.Config {
	w.Helper()
	cfg, err := config.Load(config.Options{File: w.path("wasmhost.toml")})
	w.must(err)
	return cfg
}

// lives starts a host without any worker.
func (w *world) lives(toml string) *host.Host {
	w.Helper()
	w.must(os.Remove(w.path("workers/archive.wasm")))
	w.toml = "[admission]\n" + toml
	h, _ := w.start()
	return h
}

func TestWorkerComesIsSwappedAndGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.lives("")
	w.drop("w", tiny{manifest: named("1", ""), result: "one"}.module())
	first := w.is(h, "w", worker.Ready, "1", "")
	if got := w.answer(h, "w"); got != "one" {
		t.Errorf("the task is %s", got)
	}
	w.drop("w", tiny{manifest: named("2", ""), result: "two"}.module())
	w.is(h, "w", worker.Ready, "2", "")
	if got := w.answer(h, "w"); got != "two" {
		t.Errorf("after a swap the task is %s", got)
	}
	for _, c := range []struct {
		module []byte
		reason string
	}{
		{[]byte("garbage"), "not a Wasm module"},
		{tiny{manifest: named("3", ""), result: "x"}.module()[:120], "not a Wasm module"},
		{tiny{manifest: named("3", ""), result: "x", start: true}.module(), "unreachable"},
		{tiny{manifest: named("3", `,"self_test":{"kind":"k"}`), result: "x", traps: true}.module(), "its self-test failed"},
		{tiny{manifest: `{"version":3}`, result: "x"}.module(), "manifest: version is a number"},
	} {
		w.drop("w", c.module)
		w.is(h, "w", worker.Refused, "2", c.reason)
		if got := w.answer(h, "w"); got != "two" {
			t.Errorf("beside a file that is refused (%s) the task is %s", c.reason, got)
		}
	}
	// What was refused is told, and the operator's other commands see it too.
	if _, data := w.event(h, 0, "worker:refused"); !strings.Contains(data, "not a Wasm module") || !strings.Contains(data, `"worker":"w"`) {
		t.Errorf("worker:refused %s", data)
	}
	infos, err := h.State().Workers(t.Context())
	w.must(err)
	if len(infos) != 1 || infos[0].State != worker.Refused || infos[0].ServingVersion != "2" || len(infos[0].Versions) != 2 {
		t.Errorf("workers: %+v", infos)
	}

	digest, err := h.State().Rollback("w", "1")
	w.must(err)
	w.is(h, "w", worker.Ready, "1", "")
	if digest != first.Digest || w.answer(h, "w") != "one" {
		t.Errorf("rolled back to %s", digest)
	}
	id, _, err := h.State().Submit(t.Context(), queue.Submission{Worker: "w", At: time.Now().Add(300 * time.Millisecond)})
	w.must(err)
	w.must(os.Remove(w.path("workers/w.wasm")))
	w.event(h, 0, "worker:removed")
	w.drop("w", tiny{manifest: named("4", ""), result: "four"}.module())
	if task := w.wait(h, id); task.State != queue.Completed {
		t.Errorf("a task that waited for the worker to come back is %s", task.State)
	}
}

func TestWorkerIsAllowedHeldAndRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.lives("")
	s := h.State()
	w.drop("w", tiny{manifest: asking("1", "ping"), result: "one"}.module())
	w.is(h, "w", worker.Pending, "", "call the command ping")
	allow := func() *host.Review {
		r, err := s.Review("w")
		w.must(err)
		w.must(s.Allow(r))
		return r
	}
	if r := allow(); len(r.Asks) != 1 || len(r.New) != 1 || r.Version != "1" {
		t.Errorf("review: %+v", r)
	}
	w.is(h, "w", worker.Ready, "1", "")
	w.drop("w", tiny{manifest: asking("2", "ping", "events/emit"), result: "two"}.module())
	w.is(h, "w", worker.Held, "1", "asks for more than was granted: to call the command events/emit")
	if got := w.answer(h, "w"); got != "one" {
		t.Errorf("while a version is held the task is %s", got)
	}
	if r := allow(); len(r.Asks) != 2 || len(r.New) != 1 || len(r.Dropped) != 0 {
		t.Errorf("review: %+v", r)
	}
	w.is(h, "w", worker.Ready, "2", "")

	// A pin keeps others away; the pinned version is served though its file is gone.
	_, err := s.Pin("w", "1")
	w.must(err)
	w.is(h, "w", worker.Held, "1", "pinned")
	if _, err := s.Rollback("w", "2"); abi.CodeOf(err) != abi.Conflict {
		t.Errorf("a rollback of a pinned worker: %v", err)
	}
	w.must(s.Unpin("w"))
	w.is(h, "w", worker.Ready, "2", "")

	w.must(s.Revoke("w"))
	w.is(h, "w", worker.Pending, "", "")
	id, _, err := s.Submit(t.Context(), queue.Submission{Worker: "w"})
	w.must(err)
	allow()
	if task := w.wait(h, id); task.State != queue.Completed {
		t.Errorf("a task that waited for a grant is %s", task.State)
	}
}

// The version that was served is served again after a restart, whatever has become
// of the file meanwhile.
func TestRestartServesTheVersionBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.drop("w", tiny{manifest: named("1", ""), result: "one"}.module())
	h, stop := w.start()
	w.is(h, "w", worker.Ready, "1", "")
	stop()
	w.drop("w", tiny{manifest: asking("2", "ping"), result: "two"}.module())
	h, stop = w.start()
	w.is(h, "w", worker.Held, "1", "")
	if got := w.answer(h, "w"); got != "one" {
		t.Errorf("the task is %s", got)
	}
	stop()
	infos, err := w.workers()
	w.must(err)
	for _, info := range infos {
		if info.State != worker.Present || info.Serving != "" {
			t.Errorf("without a host: %+v", info)
		}
	}
}

func (w *world) workers() ([]worker.Info, error) {
	s, err := host.OpenState(w.Context(), w.cfg(), discard())
	w.must(err)
	defer s.Close()
	return s.Workers(w.Context())
}

func TestPoliciesForNewWorkers(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]worker.State{"ask": worker.Pending, "manifest": worker.Ready, "none": worker.Refused} {
		w := newWorld(t)
		w.drop("w", tiny{manifest: asking("1", "ping")}.module())
		w.drop("given", tiny{manifest: asking("1", "ping")}.module())
		w.toml = "[admission]\nnew_workers = '" + policy + "'\n[workers.given.grants]\ncommands = ['p*']\n"
		h, stop := w.start()
		if got := w.info(h, "w").State; got != want {
			t.Errorf("%s: the worker is %s, want %s", policy, got, want)
		}
		if got := w.info(h, "given").State; got != worker.Ready {
			t.Errorf("%s: what the configuration grants is asked for again: %s", policy, got)
		}
		stop()
	}
}

// A version whose first tasks fail where those of the one before it did not is
// taken back, and not served again until it is allowed.
func TestBadVersionIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.lives("")
	w.drop("w", tiny{manifest: named("1", ""), result: "one"}.module())
	w.is(h, "w", worker.Ready, "1", "")
	w.answer(h, "w")
	w.drop("w", tiny{manifest: named("2", ""), traps: true}.module())
	w.is(h, "w", worker.Ready, "2", "")
	var ids []string
	for range 5 {
		id, _, err := h.State().Submit(t.Context(), queue.Submission{Worker: "w"})
		w.must(err)
		ids = append(ids, id)
	}
	w.is(h, "w", worker.Refused, "1", "taken back: 3 of its first 3 tasks failed")
	if _, data := w.event(h, 0, "worker:rolled_back"); !strings.Contains(data, "3 of its first 3") {
		t.Errorf("worker:rolled_back %s", data)
	}
	for _, id := range ids {
		if task := w.wait(h, id); task.State != queue.Completed {
			t.Errorf("task %s is %s", id, task.State)
		}
	}
	if _, err := h.State().Rollback("w", "2"); abi.CodeOf(err) != abi.Conflict {
		t.Errorf("rolled back to what was taken back: %v", err)
	}
	r, err := h.State().Review("w")
	w.must(err)
	if r.TakenBack == "" {
		t.Errorf("review: %+v", r)
	}
	w.must(h.State().Allow(r))
	w.is(h, "w", worker.Ready, "2", "")
}

// A task that takes longer than the drain limit is ended, and run by the version
// that is served then.
func TestDrainLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addGuest("w")
	w.toml = "[admission]\ndrain = '50ms'\n"
	h, _ := w.start()
	id, _, err := h.State().Submit(t.Context(), queue.Submission{Worker: "w", Kind: "test/spin"})
	w.must(err)
	w.until("the run", func() bool {
		task, err := h.State().Queue.Task(t.Context(), id)
		return err == nil && task.State == queue.Running
	})
	w.drop("w", tiny{result: "two"}.module())
	task := w.wait(h, id)
	if task.State != queue.Completed || !strings.Contains(string(task.Result), "two") || len(task.Errors) != 1 || task.Errors[0].Code != abi.Interrupted {
		t.Errorf("the task is %s with %s, %+v", task.State, task.Result, task.Errors)
	}
}

// Commands, triggers and limits of a manifest hold once it is admitted.
func TestManifestIsLived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(os.Remove(w.path("workers/archive.wasm")))
	w.toml = "[admission]\nnew_workers = 'manifest'\n[command]\nsocket = 'c.sock'\n"
	h, _ := w.start()
	w.drop("w", tiny{result: "one", manifest: `{"name":"w","version":"1","requests":{},"provides":["test/is"],"on":["test:*"],"limits":{"deadline_ms":1500},"retry":{"max_attempts":2}}`}.module())
	info := w.is(h, "w", worker.Ready, "1", "")
	if info.Deadline != 1500*time.Millisecond {
		t.Errorf("the deadline is %v", info.Deadline)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := socket.Call(ctx, w.path("c.sock"), "test/is", nil)
	if err != nil || !strings.Contains(string(b), "one") {
		t.Errorf("the command: %s, %v", b, err)
	}
	_, err = socket.Call(ctx, w.path("c.sock"), "events/emit", json.RawMessage(`{"event":"test:x"}`))
	w.must(err)
	if _, data := w.event(h, 0, "task:completed"); !strings.Contains(data, `"kind":"test:x"`) {
		t.Errorf("task:completed %s", data)
	}
	w.must(os.Remove(w.path("workers/w.wasm")))
	w.event(h, 0, "worker:removed")
	if _, err := socket.Call(ctx, w.path("c.sock"), "test/is", nil); abi.CodeOf(err) != abi.UnknownCommand {
		t.Errorf("a command of a worker that is gone: %v", err)
	}
}
