package host_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/queue"
)

// emitting records an event as another worker would.
func (w *world) emitting(h *host.Host, name, data string) int64 {
	w.Helper()
	ids, err := h.State().Events.Emit(w.Context(), command.Event{Name: name, Worker: "someone", Data: json.RawMessage(data)})
	w.must(err)
	return ids[0]
}

// tasksOf waits until a worker has n tasks that have ended, and returns them,
// the oldest first.
func (w *world) tasksOf(h *host.Host, name string, n int) []queue.Record {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		list, err := h.State().Queue.List(w.Context(), queue.Filter{Worker: name, Limit: 100})
		w.must(err)
		ended := 0
		for i := range list {
			if list[i].State.Finished() {
				ended++
			}
		}
		if ended >= n && ended == len(list) {
			for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
				list[i], list[j] = list[j], list[i]
			}
			return list
		}
		if time.Now().After(deadline) {
			w.Fatalf("%d of %d tasks of %s have ended: %+v", ended, n, name, list)
		}
	}
}

// TestEventsBecomeTasks, each once, also those that came while no host ran.
func TestEventsBecomeTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addGuest("listening")
	w.toml = "[workers.listening]\non = ['test/*', 'data:docs:created']\n"
	state, err := host.OpenState(t.Context(), w.config(), discard())
	w.must(err)
	_, err = state.Events.Emit(t.Context(), command.Event{Name: "test/echo", Data: json.RawMessage(`{"text":"before anybody listened"}`)})
	w.must(err)
	w.must(state.Close())

	h, stop := w.start()
	w.emitting(h, "test/echo", `{"text":"one"}`)
	w.emitting(h, "unheard", `{"text":"two"}`)
	last := w.emitting(h, "test/echo", `["three"]`)
	w.tasksOf(h, "listening", 2)
	stop()

	// A host that died before it noted that the event was dealt with sees it
	// once more.
	state, err = host.OpenState(t.Context(), w.config(), discard())
	w.must(err)
	w.must(state.Events.SetCursor(t.Context(), "triggers", last-1))
	_, err = state.Events.Emit(t.Context(), command.Event{Name: "test/nothing"})
	w.must(err)
	w.must(state.Close())
	h, _ = w.start()
	tasks := w.tasksOf(h, "listening", 3)
	var got []string
	for _, task := range tasks {
		got = append(got, fmt.Sprintf("%s %s %s", task.Kind, task.Payload, task.State))
	}
	want := []string{`test/echo {"text":"one"} completed`, `test/echo {"data":["three"]} completed`, `test/nothing  completed`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A worker is not set off by its own events, nor by the ends of its own tasks.
func TestWorkerDoesNotTriggerItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addGuest("listening")
	w.toml = "[workers.listening]\non = ['*', '*/*']\n[workers.listening.grants]\ncommands = ['events/emit']\n"
	h, _ := w.start()
	w.emitting(h, "test/nothing", "")
	if tasks := w.tasksOf(h, "listening", 1); len(tasks) != 1 {
		t.Errorf("%d tasks", len(tasks))
	}
	w.emitting(h, "test/echo", `{"text":"one more"}`)
	if tasks := w.tasksOf(h, "listening", 2); len(tasks) != 2 {
		t.Errorf("%d tasks: %+v", len(tasks), tasks)
	}
}

func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.toml = "events = ['chat_messages']\n" + grants // of the handle archive, which comes last
	w.fill(w.open("primary.db"), 300)
	h, _ := w.start()
	id := w.submit(h, `{"collection":"chat_messages","keep":100}`)
	w.wait(h, id)
	events, err := h.State().Events.Since(t.Context(), 0, 100, "data:*")
	w.must(err)
	if len(events) != 1 || events[0].Name != "data:chat_messages:created" || events[0].Worker != "archive" || events[0].Task != id ||
		string(events[0].Data) != `{"collection":"chat_messages","handle":"archive","op":"insert_new","rows":200}` {
		t.Errorf("events = %+v", events)
	}
}
