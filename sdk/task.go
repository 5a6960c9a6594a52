package sdk

import (
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// Task is one unit of work and the worker's way to the host while it lasts.
type Task struct {
	ID       string    // unique in the host's queue
	Key      string    // of this task and no other, at any time; the same in each attempt: see [Task.UUID]
	Kind     string    // what is asked for
	Attempt  int       // 1 on the first delivery
	Deadline time.Time // when the host ends the task; zero for never
	Payload  Payload   // what was submitted

	Data     *Data     // rows
	Commands *Commands // everything else
	Log      *Logger

	port    *port
	handles map[string]string
	result  []byte
}

func newTask(p *port, at *abi.Task) *Task {
	t := &Task{
		ID:       at.ID,
		Key:      at.Key,
		Kind:     at.Kind,
		Attempt:  at.Attempt,
		Payload:  Payload{raw: at.Payload},
		Data:     &Data{port: p},
		Commands: &Commands{port: p},
		Log:      &Logger{host: p.host},
		port:     p,
		handles:  at.Handles,
	}
	if at.DeadlineMS != 0 {
		t.Deadline = time.UnixMilli(at.DeadlineMS)
	}
	return t
}

// Handle returns the handle that the operator configured for a role, or
// fallback.
func (t *Task) Handle(role, fallback string) string {
	if h := t.handles[role]; h != "" {
		return h
	}
	return fallback
}

// Return sets the task's result, which is handed over when the worker returns
// nil. The last call counts. It fails for a value that cannot be sent.
func (t *Task) Return(result map[string]any) error {
	w := wire.Writer{B: t.result[:0]}
	if err := w.Value(result); err != nil {
		return abi.Errorf(abi.InvalidArgument, "the task's result: %w", err)
	}
	t.result = w.B
	return nil
}

// Progress tells how much of the work is done and extends the task's lease.
// An error says that the task was cancelled or ran out of time: the worker
// should stop.
func (t *Task) Progress(done, total int64) error {
	return t.port.done(abi.ImportProgress, t.port.host.Progress(done, total))
}
