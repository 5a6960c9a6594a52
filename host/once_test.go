package host_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
)

// onceWorld has a worker w whose tasks write to the collection log, which tells
// of changes on the handle archive.
func onceWorld(t *testing.T, worker string) (w *world, primary, archive *sql.DB) {
	w = newWorld(t)
	w.addGuest("w")
	w.toml = "events = ['log']\n[workers.w]\nmax_attempts = 2\n" + worker + `
[workers.w.grants]
commands = ["events/emit"]
events = ["test:*"]
data = { primary = ["read", "insert"], archive = ["read", "insert"] }
`
	primary, archive = w.open("primary.db"), w.open("archive.db")
	for _, db := range []*sql.DB{primary, archive} {
		w.exec(db, "CREATE TABLE log (task TEXT, n INTEGER, body TEXT)")
	}
	return w, primary, archive
}

func (w *world) write(h *host.Host, payload string) *queue.Record {
	w.Helper()
	id, _, err := h.State().Submit(w.Context(), queue.Submission{Worker: "w", Kind: "test/write", Payload: json.RawMessage(payload), MaxAttempts: 1})
	w.must(err)
	return w.wait(h, id)
}

// logged returns how many rows of a task there are.
func (w *world) logged(db *sql.DB, task string) (n int) {
	w.Helper()
	w.must(db.QueryRow("SELECT count(*) FROM log WHERE task = ?", task).Scan(&n))
	return n
}

// told returns the events of a task that it emitted or its changes made, in
// order.
func (w *world) told(s *host.State, task string) (names []string) {
	w.Helper()
	events, err := s.Events.Since(w.Context(), 0, 1000, "")
	w.must(err)
	for _, e := range events {
		if e.Task == task && !strings.HasPrefix(e.Name, "task:") {
			names = append(names, e.Name+" "+string(e.Data))
		}
	}
	return names
}

func wrote(rows int) (events []string) {
	for n := range rows {
		events = append(events, fmt.Sprintf(`test:wrote {"mark":"<&>","n":%d}`, n))
	}
	return events
}

func TestAtomicTask(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		payload string
		atomic  int // rows and events that remain
		other   int // of a worker that is not atomic
		state   queue.State
		words   string // of the result or error of the atomic one
	}{
		{"succeeds", `{"rows":5}`, 5, 5, queue.Completed, `"seen":5`},
		{"writes nothing", `{"rows":0}`, 0, 0, queue.Completed, `"seen":0`},
		{"fails", `{"rows":5,"end":"fail"}`, 0, 5, queue.Dead, "no luck"},
		{"traps", `{"rows":5,"end":"trap"}`, 0, 5, queue.Dead, "out of order"},
		{"is late", `{"rows":5,"end":"spin"}`, 0, 5, queue.Dead, ""},
		{"has a result that is too large", `{"rows":5,"end":"large"}`, 0, 5, queue.Dead, "result of"},
		{"writes to a second handle", `{"rows":5,"second":"archive"}`, 5, 5, queue.Completed, "must be on one handle"},
	} {
		for _, adapter := range []string{"daemon", "direct"} {
			if adapter == "direct" && test.name != "succeeds" && test.name != "fails" {
				continue
			}
			t.Run(test.name+" "+adapter, func(t *testing.T) {
				t.Parallel()
				for _, atomic := range []bool{true, false} {
					if !atomic && adapter == "direct" {
						continue // what it comes to is shown once
					}
					w, primary, archive := onceWorld(t, fmt.Sprintf("atomic = %t\ndeadline = '2s'\n", atomic))
					w.adapter = adapter
					h, _ := w.start()
					task := w.write(h, test.payload)
					rows, second := test.other, 0
					if atomic {
						rows = test.atomic
					} else if strings.Contains(test.payload, "second") {
						second = 1
					}
					text := string(task.Result)
					for _, f := range task.Errors {
						text += f.Message
					}
					if task.State != test.state || atomic && !strings.Contains(text, test.words) {
						t.Errorf("atomic %t: %s %s", atomic, task.State, text)
					}
					if got := w.logged(primary, task.ID); got != rows {
						t.Errorf("atomic %t: %d rows, want %d", atomic, got, rows)
					}
					if got := w.logged(archive, task.ID); got != second {
						t.Errorf("atomic %t: %d rows on the second handle, want %d", atomic, got, second)
					}
					got := slices.DeleteFunc(w.told(h.State(), task.ID), func(e string) bool { return strings.HasPrefix(e, "data:") })
					if diff := cmp.Diff(wrote(rows), got); diff != "" {
						t.Errorf("atomic %t: events: -want +got: %s", atomic, diff)
					}
					// Whoever comes next finds the writer free.
					if next := w.write(h, `{}`); next.State != queue.Completed {
						t.Errorf("atomic %t: the next task: %+v", atomic, next)
					}
				}
			})
		}
	}
}

// TestAtomicTaskThatIsCancelled leaves nothing.
func TestAtomicTaskThatIsCancelled(t *testing.T) {
	t.Parallel()
	w, primary, _ := onceWorld(t, "atomic = true\n")
	h, _ := w.start()
	id, _, err := h.State().Submit(t.Context(), queue.Submission{Worker: "w", Kind: "test/write", Payload: json.RawMessage(`{"rows":3,"end":"spin"}`)})
	w.must(err)
	for {
		task, err := h.State().Queue.Task(t.Context(), id)
		w.must(err)
		if task.State == queue.Running {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	_, err = h.State().Queue.Cancel(t.Context(), id)
	w.must(err)
	if task := w.wait(h, id); task.State != queue.Cancelled {
		t.Errorf("%+v", task)
	}
	if next := w.write(h, `{}`); next.State != queue.Completed {
		t.Errorf("the next task: %+v", next)
	}
	if n := w.logged(primary, id); n != 0 || len(w.told(h.State(), id)) > 0 {
		t.Errorf("%d rows, events %v", n, w.told(h.State(), id))
	}
}

// TestAtomicTaskIsDeliveredAgain as by a host that was killed after the commit,
// before anything else, or after the events.
func TestAtomicTaskIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		forget string // what the host had not recorded yet
		atomic bool
	}{
		{"before its events", "DELETE FROM events", true},
		{"after its events", "", true},
		{"not atomic", "", false},
	} {
		for _, adapter := range []string{"daemon", "direct"} {
			t.Run(test.name+" "+adapter, func(t *testing.T) {
				t.Parallel()
				w, _, archive := onceWorld(t, fmt.Sprintf("atomic = %t\n", test.atomic))
				w.adapter = adapter
				h, stop := w.start()
				first := w.write(h, `{"rows":4,"handle":"archive"}`)
				told := w.told(h.State(), first.ID)
				stop()
				if len(told) != 8 || first.State != queue.Completed {
					t.Fatalf("%+v, events %v", first, told)
				}
				state := w.open("state/host.db")
				w.exec(state, "UPDATE river_job SET state = 'available', finalized_at = NULL, attempt = 0, metadata = jsonb('{}')")
				if test.forget != "" {
					w.exec(state, test.forget)
				}
				w.must(state.Close())

				h, _ = w.start()
				again := w.wait(h, first.ID)
				rows, events := 4, 8
				if !test.atomic {
					rows, events = 8, 16
				}
				if got := w.logged(archive, first.ID); got != rows {
					t.Errorf("%d rows, want %d", got, rows)
				}
				got := w.told(h.State(), first.ID)
				if len(got) != events || test.atomic && !cmp.Equal(got, told) {
					t.Errorf("%d events, want %d: %s", len(got), events, cmp.Diff(told, got))
				}
				if again.State != queue.Completed || test.atomic && string(again.Result) != string(first.Result) {
					t.Errorf("%+v\n\tthe first time %s", again, first.Result)
				}
				// Another task with the same id is not this one.
				if next := w.write(h, `{}`); next.State != queue.Completed || w.told(h.State(), next.ID) == nil {
					t.Errorf("%+v", next)
				}
			})
		}
	}
}

// TestAnIDThatComesAgain is not a task that was done: the queue counts from 1
// again when the host's database was removed.
func TestAnIDThatComesAgain(t *testing.T) {
	t.Parallel()
	w, primary, _ := onceWorld(t, "atomic = true\n")
	h, stop := w.start()
	first := w.write(h, `{}`)
	stop()
	files, err := filepath.Glob(w.path("state/host.db*"))
	w.must(err)
	for _, file := range files {
		w.must(os.Remove(file))
	}
	h, _ = w.start()
	second := w.write(h, `{"rows":2}`)
	if n := w.logged(primary, first.ID); n != 3 || second.ID != first.ID || second.State != queue.Completed {
		t.Errorf("%d rows, %+v", n, second)
	}
}

// TestAtomicTasksBeside others that write to the same database: nobody is
// refused, and all of it is there.
func TestAtomicTasksBeside(t *testing.T) {
	t.Parallel()
	w, primary, _ := onceWorld(t, "atomic = true\nconcurrency = 4\n")
	w.addGuest("other")
	w.toml += "[workers.other]\nconcurrency = 4\n[workers.other.grants]\ncommands = ['events/emit']\nevents = ['test:*']\ndata = { primary = ['read', 'insert'] }\n"
	h, _ := w.start()
	const tasks, rows = 10, 20
	var all []string
	for i := range 2 * tasks {
		id, _, err := h.State().Submit(t.Context(), queue.Submission{
			Worker: []string{"w", "other"}[i%2], Kind: "test/write", Payload: json.RawMessage(fmt.Sprintf(`{"rows":%d}`, rows)), MaxAttempts: 1,
		})
		w.must(err)
		all = append(all, id)
	}
	for _, id := range all {
		if task := w.wait(h, id); task.State != queue.Completed {
			t.Errorf("%s: %+v", id, task)
		}
		if n := w.logged(primary, id); n != rows || len(w.told(h.State(), id)) != rows {
			t.Errorf("%s: %d rows, %d events", id, n, len(w.told(h.State(), id)))
		}
	}
}

// TestAtomicTaskCannotKnow whether it was done when a database in which that
// could be told is not there: it does not run.
func TestAtomicTaskCannotKnow(t *testing.T) {
	t.Parallel()
	w, primary, archive := onceWorld(t, "atomic = true\n")
	w.must(archive.Close())
	h, _ := w.start()
	w.must(os.Rename(w.path("archive.db"), w.path("gone.db")))
	task := w.write(h, `{}`)
	if task.State != queue.Dead || len(task.Errors) != 1 || task.Errors[0].Code != abi.Unavailable {
		t.Errorf("%+v", task)
	}
	if n := w.logged(primary, task.ID); n != 0 {
		t.Errorf("%d rows", n)
	}
}
