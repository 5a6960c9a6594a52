package host_test

import (
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/queue"
)

// TestHostRunsWhatIsDue, here what fell due while none ran.
func TestHostRunsWhatIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addGuest("listening")
	w.toml = "[[workers.listening.schedule]]\ncron = '0 3 * * *'\nkind = 'test/echo'\nmissed = 'once'\npayload = { text = 'good morning' }\n"
	state, err := host.OpenState(t.Context(), w.config(), discard())
	w.must(err)
	w.must(state.Queue.SetDue(t.Context(), queue.Due{
		Worker: "listening", Schedule: "test/echo", Rule: "0 3 * * * UTC", Until: time.Now().Add(-72 * time.Hour),
	}))
	w.must(state.Close())
	h, _ := w.start()
	tasks := w.tasksOf(h, "listening", 1)
	if len(tasks) != 1 || tasks[0].Kind != "test/echo" || string(tasks[0].Payload) != `{"text":"good morning"}` || tasks[0].State != queue.Completed {
		t.Errorf("tasks %+v", tasks)
	}
}
