package host_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// event waits for the next event with a name.
func (w *world) event(h *host.Host, after int64, name string) (id int64, data string) {
	w.Helper()
	for e, err := range h.State().Events.Follow(w.Context(), after, name) {
		w.must(err)
		return e.ID, string(e.Data)
	}
	return 0, ""
}

// TestConfigurationIsFollowed: grants and settings change under a running host,
// and a file that is wrong changes nothing.
func TestConfigurationIsFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addGuest("asking")
	w.toml = "[settings.archive]\nbatchSize = 5\n"
	h, _ := w.start()
	if task := w.ask(h, "asking", `{"command":"ping"}`); task.State != queue.Dead || task.Errors[0].Code != abi.NotGranted {
		t.Fatalf("without a grant the task is %s: %+v", task.State, task.Errors)
	}
	file := w.path("wasmhost.toml")
	before, err := os.ReadFile(file)
	w.must(err)
	replace := func(text string) {
		w.must(os.WriteFile(file+".new", []byte(text), 0o600))
		w.must(os.Rename(file+".new", file))
	}

	replace(string(before) + "[workers.asking]\nconcurrency = 3\n[workers.asking.grants]\ncommands = ['ping', 'test/*']\nprovides = ['test/echo']\n")
	at, data := w.event(h, 0, "config:changed")
	var change struct {
		Keys        []string
		AtNextStart []string `json:"at_next_start"`
	}
	w.must(json.Unmarshal([]byte(data), &change))
	if !strings.Contains(data, `"workers.asking.grants.commands"`) || !strings.Contains(strings.Join(change.AtNextStart, " "), "workers.asking.concurrency") {
		t.Errorf("config:changed %s", data)
	}
	for _, payload := range []string{`{"command":"ping"}`, `{"command":"test/echo"}`} {
		if task := w.ask(h, "asking", payload); task.State != queue.Completed {
			t.Errorf("with a grant, %s is %s: %+v", payload, task.State, task.Errors)
		}
	}

	replace("[workers.asking.grants]\ncomands = []\n")
	if _, data := w.event(h, at, "config:refused"); !strings.Contains(data, "comands") {
		t.Errorf("config:refused %s", data)
	}
	if task := w.ask(h, "asking", `{"command":"ping"}`); task.State != queue.Completed {
		t.Errorf("after a file that is wrong the task is %s: %+v", task.State, task.Errors)
	}

	time.Sleep(10 * time.Millisecond) // files are told apart by size and time
	replace(string(before))
	w.event(h, at, "config:changed")
	if task := w.ask(h, "asking", `{"command":"ping"}`); task.State != queue.Dead || task.Errors[0].Code != abi.NotGranted {
		t.Errorf("with the grant taken back the task is %s: %+v", task.State, task.Errors)
	}
}
