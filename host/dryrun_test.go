package host_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
)

// rehearse runs a task as a dry run.
func (w *world) rehearse(h *host.Host, worker, kind, payload string) (*queue.Record, host.DryRun) {
	w.Helper()
	id, _, err := h.State().Submit(w.Context(), queue.Submission{Worker: worker, Kind: kind, Payload: json.RawMessage(payload), DryRun: true})
	w.must(err)
	task := w.wait(h, id)
	var d host.DryRun
	if task.State == queue.Completed {
		w.must(json.Unmarshal(task.Result, &d))
	}
	return task, d
}

func archived(t *testing.T, result []byte) int {
	t.Helper()
	var r struct{ Archived int }
	if err := json.Unmarshal(result, &r); err != nil {
		t.Fatal(err)
	}
	return r.Archived
}

// TestDryRun, of a worker that copies, compares and deletes, so that it has to
// see in both databases what it wrote there. Then the same happens in earnest.
func TestDryRun(t *testing.T) {
	t.Parallel()
	for _, adapter := range []string{"daemon", "direct"} {
		t.Run(adapter, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.adapter, w.toml = adapter, "events = ['chat_messages']\n"+grants // of the handle archive, which comes last
			primary, archive := w.open("primary.db"), w.open("archive.db")
			w.fill(primary, 500)
			before := w.dump(primary)
			h, _ := w.start()
			const payload = `{"collection":"chat_messages","keep":100}`
			task, d := w.rehearse(h, "archive", "archive", payload)
			if task.State != queue.Completed || !task.DryRun || d.Error != nil {
				t.Fatalf("task = %+v", task)
			}
			if diff := cmp.Diff(before, w.dump(primary)); diff != "" {
				t.Errorf("primary was changed: %s", diff)
			}
			if left := w.dump(archive); len(left) != 0 {
				t.Errorf("%d rows in the archive", len(left))
			}
			if events, err := h.State().Events.Since(t.Context(), 0, 100, "[^w]*"); err != nil || len(events) != 0 {
				t.Errorf("events %+v, %v", events, err)
			}
			if len(d.Writes) != 2 || !maps.Equal(d.Sent, map[string]int64{"events/emit": 3, "session/set": 1}) || len(d.Commands) != 4 || d.MoreRows != 0 {
				t.Fatalf("dry run = %s", task.Result)
			}
			for i, want := range []string{"archive chat_messages insert_new", "primary chat_messages delete"} {
				g := d.Writes[i]
				if got := g.Handle + " " + g.Collection + " " + string(g.Op); got != want || g.Rows != 400 || len(g.First) != 5 {
					t.Errorf("wrote %s, %d rows, %d shown, want %s", got, g.Rows, len(g.First), want)
				}
			}
			if row := string(d.Writes[0].First[0]); !strings.Contains(row, `"content":"text of 0"`) || !strings.Contains(row, `"extra":{"bytes":3}`) {
				t.Errorf("row %s", row)
			}
			if c := d.Commands[1]; c.Name != "events/emit" || c.Error != "" || !strings.Contains(string(c.Params), `"archive:progress"`) {
				t.Errorf("command %s %s %s", c.Name, c.Params, c.Error)
			}

			real := w.wait(h, w.submit(h, payload))
			if dry := archived(t, d.Result); real.State != queue.Completed || archived(t, real.Result) != dry || dry != 400 {
				t.Errorf("in earnest: %s, the dry run said %s", real.Result, d.Result)
			}
			if diff := cmp.Diff(before[:400], w.dump(archive)); diff != "" {
				t.Errorf("archive: %s", diff)
			}
		})
	}
}

// TestDryRunTellsOfFailures, and of what was done until then.
func TestDryRunTellsOfFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	primary := w.open("primary.db")
	w.fill(primary, 100)
	h, _ := w.start()
	w.exec(primary, "CREATE TRIGGER keep BEFORE DELETE ON chat_messages WHEN old.version = 30 BEGIN SELECT RAISE(ABORT, 'kept'); END")
	before := w.dump(primary)
	task, d := w.rehearse(h, "archive", "archive", `{"collection":"chat_messages","keep":10}`)
	if task.State != queue.Completed || d.Error == nil || d.Error.Code != abi.Conflict.String() || !strings.Contains(d.Error.Message, "kept") {
		t.Fatalf("task = %+v, %+v", task, d)
	}
	if len(d.Writes) != 1 || d.Writes[0].Op != abi.InsertNew || d.Writes[0].Rows != 90 {
		t.Errorf("writes = %+v", d.Writes)
	}
	if diff := cmp.Diff(before, w.dump(primary)); diff != "" {
		t.Error(diff)
	}
	w.fill(w.open("archive.db"), 20)
	// What holds for a task holds for its dry run.
	if _, d = w.rehearse(h, "archive", "archive", `{"collection":"chat_messages","keep":10,"dest_handle":"primary","source_handle":"archive"}`); d.Error == nil || d.Error.Code != abi.NotGranted.String() {
		t.Errorf("%+v", d.Error)
	}
}

// TestDryRunOfAtomicWorker: it may write to one handle, and the archive worker
// writes to two.
func TestDryRunOfAtomicWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = strings.Replace(grants, "max_attempts = 1", "max_attempts = 1\natomic = true", 1)
	w.fill(w.open("primary.db"), 100)
	h, _ := w.start()
	_, d := w.rehearse(h, "archive", "archive", `{"collection":"chat_messages","keep":10}`)
	if d.Error == nil || d.Error.Code != abi.InvalidArgument.String() || !strings.Contains(d.Error.Message, "atomic") || len(d.Writes) != 1 {
		t.Errorf("%+v", d)
	}
}

// TestDryRunSendsNothing: neither to another worker, nor is a worker that keeps
// its memory left with what did not happen.
func TestDryRunSendsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addGuest("asking")
	w.addGuest("answering")
	w.toml = `
[workers.asking]
isolation = "worker"
on = ["task:*"]
[workers.asking.grants]
commands = ["test/*", "tasks/submit", "session/*"]
[workers.answering]
deadline = "500ms"
[workers.answering.grants]
provides = ["test/fail"]
`
	h, _ := w.start()
	for _, c := range []struct{ payload, result, refused string }{
		{`{"command":"test/fail"}`, `{"answer":null}`, ""}, // asked in earnest it fails
		{`{"command":"tasks/submit","next":"x"}`, ``, "is required"},
		{`{"command":"session/set"}`, ``, "is required"},
	} {
		_, d := w.rehearse(h, "asking", "ask", c.payload)
		if string(d.Result) != c.result || (d.Error == nil) != (c.refused == "") || len(d.Commands) != 1 || !strings.Contains(d.Commands[0].Error, c.refused) {
			t.Errorf("%s: %+v", c.payload, d)
		}
	}
	if _, d := w.rehearse(h, "asking", "ask", `{"command":"config/get"}`); d.Error == nil || d.Error.Code != abi.NotGranted.String() || len(d.Commands) != 0 {
		t.Errorf("%+v", d)
	}
	if _, d := w.rehearse(h, "answering", "test/spin", ``); d.Error == nil || d.Error.Code != abi.DeadlineExceeded.String() {
		t.Errorf("a dry run without an end: %+v", d.Error)
	}
	w.rehearse(h, "asking", "test/echo", `{"text":"a"}`)
	if _, d := w.rehearse(h, "asking", "test/echo", `{"text":"b"}`); !strings.Contains(string(d.Result), `"calls":1,`) {
		t.Errorf("a dry run remembers another: %s", d.Result)
	}
	tasks, err := h.State().Queue.List(t.Context(), queue.Filter{})
	w.must(err)
	for _, task := range tasks {
		if !task.DryRun {
			t.Errorf("a dry run made the task %+v", task)
		}
	}
}
