package host_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/worker"
)

// propose has a candidate for the worker w compared, until the test ends.
func (w *world) propose(h *host.Host, module []byte, manifest string, tasks int, ignore ...string) *host.Proposal {
	w.Helper()
	dir := w.path(fmt.Sprintf("new%d", time.Now().UnixNano()))
	w.must(os.Mkdir(dir, 0o755))
	w.must(os.WriteFile(dir+"/w.wasm", module, 0o600))
	if manifest != "" {
		w.must(os.WriteFile(dir+"/w.toml", []byte(manifest), 0o600))
	}
	p, err := h.State().Propose(dir+"/w.wasm", "", tasks, ignore)
	w.must(err)
	w.Cleanup(func() { _ = p.Close() })
	return p
}

// reported waits until a comparison is so far.
func (w *world) reported(p *host.Proposal, so func(*host.Canary) bool) *host.Canary {
	w.Helper()
	var c *host.Canary
	w.until("a report", func() bool {
		var err error
		c, err = p.Report()
		w.must(err)
		return c != nil && so(c)
	})
	return c
}

func comparing(c *host.Canary) bool { return c.State == host.CanaryComparing }
func over(c *host.Canary) bool {
	return c.State == host.CanaryDone || c.State == host.CanaryRefused
}

func version(v string) string { return "name = 'w'\nversion = '" + v + "'\n" }

// canaryWorld serves the test guest as the version 1 of the worker w, whose tasks
// write to the collection log.
func canaryWorld(t *testing.T, more string) (*world, *host.Host, []byte) {
	w, _, _ := onceWorld(t, more)
	w.must(os.WriteFile(w.path("workers/w.toml"), []byte(version("1")), 0o600))
	h, _ := w.start()
	w.is(h, "w", worker.Ready, "1", "")
	guest, err := os.ReadFile(w.path("workers/w.wasm"))
	w.must(err)
	return w, h, guest
}

// TestCanaryOfTheSame: a version that does the same is found to, by rows, commands
// and results, and leaves nothing. Tasks run in earnest once each, by the version
// that is served.
func TestCanaryOfTheSame(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"", "atomic = true\n", "isolation = 'worker'\nconcurrency = 3\n"} {
		w, h, guest := canaryWorld(t, how)
		p := w.propose(h, guest, version("2"), 3)
		w.reported(p, comparing)
		var ids []string
		for n := range 5 {
			id, _, err := h.State().Submit(t.Context(), queue.Submission{Worker: "w", Kind: "test/write", Payload: json.RawMessage(fmt.Sprintf(`{"rows":%d}`, n))})
			w.must(err)
			ids = append(ids, id)
			w.wait(h, id)
		}
		c := w.reported(p, over)
		if !c.Equal() || c.Compared != 3 || c.Different != 0 || len(c.Tasks) != 3 || c.Version != "2" || c.AgainstVersion != "1" {
			t.Fatalf("%q: %+v", how, c)
		}
		for i, task := range c.Tasks {
			if task.ID != ids[i] || task.Old.Code != "ok" || task.New.Code != "ok" || task.Old.Fuel == 0 || task.New.RowsWritten != int64(i) || task.Old.Commands != task.New.Commands {
				t.Errorf("%q: %+v", how, task)
			}
		}
		db := w.open("primary.db")
		for n, id := range ids {
			if task := w.wait(h, id); task.State != queue.Completed || task.Attempt != 1 || len(task.Errors) != 0 || w.logged(db, id) != n {
				t.Errorf("%q: %d rows of %+v", how, w.logged(db, id), task)
			}
			told := slices.DeleteFunc(w.told(h.State(), id), func(e string) bool { return strings.HasPrefix(e, "data:") })
			if !slices.Equal(told, wrote(n)) {
				t.Errorf("%q: told %v", how, told)
			}
		}
		if info := w.info(h, "w"); info.ServingVersion != "1" {
			t.Errorf("%q: %+v is served before anybody said so", how, info)
		}
		_, err := p.Deploy()
		w.must(err)
		w.is(h, "w", worker.Ready, "2", "")
		if _, data := w.event(h, 0, "worker:compared"); !strings.Contains(data, `"different":0`) {
			t.Errorf("worker:compared %s", data)
		}
	}
}

// TestCanaryOfAnother: what a version does otherwise is told, and the tasks are
// done as before.
func TestCanaryOfAnother(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		module  []byte
		payload string
		want    []string // what is different: what, of, old, new
		old     string   // code of the version that is served
	}{
		{"does nothing", tiny{result: "x"}.module(), `{"rows":4}`, []string{
			`result  digest`, `writes primary log insert 4 rows 0 rows`, `commands events/emit 4 calls 0 calls`,
		}, "ok"},
		{"traps", tiny{traps: true}.module(), `{"rows":1}`, []string{
			`outcome  ok trap`, `writes primary log insert 1 row 0 rows`, `commands events/emit 1 call 0 calls`,
		}, "ok"},
		{"does not end", nil, `{"rows":1,"end":"spin"}`, nil, "deadline_exceeded"},
		{"fails elsewise", tiny{code: abi.Later, result: "no"}.module(), `{"rows":0,"end":"fail"}`, []string{`outcome  permanent: no luck later: no`}, "permanent"},
		{"fails with other words", tiny{code: abi.Permanent, result: "no"}.module(), `{"rows":0,"end":"fail"}`, nil, "permanent"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, h, guest := canaryWorld(t, "deadline = '1s'\n")
			if test.module == nil {
				test.module = guest
			}
			p := w.propose(h, test.module, version("2"), 1)
			w.reported(p, comparing)
			task := w.write(h, test.payload)
			c := w.reported(p, over)
			if c.State != host.CanaryDone || c.Compared != 1 || len(c.Tasks) != 1 {
				t.Fatalf("%+v", c)
			}
			got := c.Tasks[0]
			if got.ID != task.ID || got.Old.Code != test.old || c.Equal() != (test.want == nil) {
				t.Errorf("%+v", got)
			}
			if len(got.Differences) != len(test.want) {
				t.Fatalf("%+v", got.Differences)
			}
			for i, d := range got.Differences {
				if text := fmt.Sprintln(d.What, d.Of, d.Old, d.New); !strings.HasPrefix(text, test.want[i]) {
					t.Errorf("got %s, want %s", text, test.want[i])
				}
			}
		})
	}
}

// TestCanaryThatHangs holds up one task, up to its deadline, and no second; the
// task has its whole time.
func TestCanaryThatHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = "[workers.w]\ndeadline = '500ms'\n"
	w.drop("w", tiny{manifest: named("1", ""), result: "one"}.module())
	w.addGuest("x")
	h, _ := w.start()
	guest, err := os.ReadFile(w.path("workers/x.wasm"))
	w.must(err)
	p := w.propose(h, guest, version("2"), 10)
	w.reported(p, comparing)
	for range 3 {
		id, _, err := h.State().Submit(t.Context(), queue.Submission{Worker: "w", Kind: "test/spin"})
		w.must(err)
		if task := w.wait(h, id); task.State != queue.Completed || task.Attempt != 1 || len(task.Errors) != 0 || !strings.Contains(string(task.Result), "one") {
			t.Errorf("%+v", task)
		}
	}
	c := w.reported(p, over)
	if c.State != host.CanaryDone || c.Compared != 1 || c.Equal() || c.Tasks[0].New.Code != abi.DeadlineExceeded.String() || !strings.Contains(c.Reason, "out of time") {
		t.Errorf("%+v", c)
	}
}

// TestCanaryThatIsTakenBack in the midst of a rehearsal: the task is done at once.
func TestCanaryThatIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = "[workers.w]\ndeadline = '10m'\n"
	w.drop("w", tiny{manifest: named("1", ""), result: "one"}.module())
	w.addGuest("x")
	h, _ := w.start()
	guest, err := os.ReadFile(w.path("workers/x.wasm"))
	w.must(err)
	p := w.propose(h, guest, version("2"), 10)
	w.reported(p, comparing)
	if _, err := h.State().Propose(w.path("workers/x.wasm"), "w", 1, nil); abi.CodeOf(err) != abi.Conflict {
		t.Errorf("a second candidate: %v", err)
	}
	id, _, err := h.State().Submit(t.Context(), queue.Submission{Worker: "w", Kind: "test/spin"})
	w.must(err)
	w.until("the run", func() bool {
		task, err := h.State().Queue.Task(t.Context(), id)
		return err == nil && task.State == queue.Running
	})
	w.must(p.Close())
	if task := w.wait(h, id); task.State != queue.Completed || task.Attempt != 1 || len(task.Errors) != 0 {
		t.Errorf("%+v", task)
	}
	w.until("the end of the candidate", func() bool {
		_, err := os.Stat(w.path("state/candidates/w"))
		return os.IsNotExist(err)
	})
}

// TestCanaryOutlivesItsHost: the next one begins it anew, and serves the old version
// until then.
func TestCanaryOutlivesItsHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(os.Remove(w.path("workers/archive.wasm")))
	w.drop("w", tiny{manifest: named("1", ""), result: "one"}.module())
	w.toml = "[admission]\n"
	h, stop := w.start()
	p := w.propose(h, tiny{manifest: named("2", ""), result: "one"}.module(), "", 2)
	w.reported(p, comparing)
	w.answer(h, "w")
	w.reported(p, func(c *host.Canary) bool { return c.Compared == 1 })
	stop()
	h, _ = w.start()
	w.is(h, "w", worker.Ready, "1", "")
	w.until("the candidate", func() bool { w.answer(h, "w"); c, err := p.Report(); w.must(err); return over(c) })
	if c := w.reported(p, over); !c.Equal() || c.Compared != 2 || len(c.Tasks) != 2 {
		t.Errorf("%+v", c)
	}
	w.is(h, "w", worker.Ready, "1", "")
}

// TestCanaryThatIsRefused: what could not be served is not compared either.
func TestCanaryThatIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.lives("")
	one := tiny{manifest: named("1", ""), result: "one"}.module()
	two := tiny{manifest: named("2", ""), result: "two"}.module()
	p := w.propose(h, one, "", 1)
	if c := w.reported(p, over); !strings.Contains(c.Reason, "no version of w is served") {
		t.Errorf("beside nothing: %+v", c)
	}
	w.must(p.Close())
	w.drop("w", one)
	w.is(h, "w", worker.Ready, "1", "")
	for reason, module := range map[string][]byte{
		"it is the version that is served": one,
		"asks for more than was granted":   tiny{manifest: asking("2", "ping"), result: "two"}.module(),
		"its self-test failed":             tiny{manifest: named("2", `,"self_test":{"kind":"k"}`), result: "x", traps: true}.module(),
		"unreachable":                      tiny{manifest: named("2", ""), start: true}.module(),
	} {
		p := w.propose(h, module, "", 1)
		if c := w.reported(p, over); c.State != host.CanaryRefused || !strings.Contains(c.Reason, reason) {
			t.Errorf("want %s, got %+v", reason, c)
		}
		w.must(p.Close())
	}
	p = w.propose(h, two, "", 1)
	w.reported(p, comparing)
	w.drop("w", tiny{manifest: named("3", ""), result: "three"}.module())
	if c := w.reported(p, over); c.State != host.CanaryRefused || !strings.Contains(c.Reason, "another version") {
		t.Errorf("after a swap: %+v", c)
	}
	for _, bad := range []int{0, host.MaxCanaryTasks + 1} {
		if _, err := h.State().Propose(w.path("workers/w.wasm"), "", bad, nil); abi.CodeOf(err) != abi.InvalidArgument {
			t.Errorf("%d tasks: %v", bad, err)
		}
	}
}

// TestCanaryIgnores what differs from run to run.
func TestCanaryIgnores(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(os.Rename(w.path("workers/archive.wasm"), w.path("workers/w.wasm")))
	w.must(os.WriteFile(w.path("workers/w.toml"), []byte(version("1")), 0o600))
	w.toml = strings.ReplaceAll(grants, "workers.archive", "workers.w")
	w.toml = strings.Replace(w.toml, "[workers.w.grants]", "[workers.w.grants]\nevents = ['archive:*']", 1)
	w.fill(w.open("primary.db"), 900)
	h, _ := w.start()
	guest, err := os.ReadFile(w.path("workers/w.wasm"))
	w.must(err)
	p := w.propose(h, guest, version("2"), 1, "duration_ms", "startedMS", "started_ms")
	w.reported(p, comparing)
	id, _, err := h.State().Submit(t.Context(), queue.Submission{Worker: "w", Kind: "archive", Payload: json.RawMessage(`{"collection":"chat_messages","keep":100}`)})
	w.must(err)
	if task := w.wait(h, id); task.State != queue.Completed || archived(t, task.Result) != 800 {
		t.Errorf("%+v", task)
	}
	if c := w.reported(p, over); !c.Equal() || c.Tasks[0].New.RowsWritten != 1600 {
		t.Errorf("%+v", c)
	}
}
