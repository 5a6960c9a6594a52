package host

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/queue"
)

// taskEvent is the data of the events task:completed, task:retrying, task:dead,
// task:cancelled and task:scheduled, with which an attempt's end is told.
type taskEvent struct {
	Worker  string          `json:"worker"`
	Kind    string          `json:"kind"`
	Attempt int             `json:"attempt"`
	Code    string          `json:"code"`
	Message string          `json:"message,omitempty"`
	Bill    json.RawMessage `json:"bill,omitempty"`
}

// tellEnd records the event of an attempt's end. Its key keeps a host that dies
// before the queue knows of the end, and so runs the attempt again, from telling
// twice. One that asked to be run later has used up no attempt, and each of its
// pauses is told. A dry run has no effect, so nothing is told of it.
func (s *State) tellEnd(ctx context.Context, d queue.Delivery, e queue.Ended) {
	if d.DryRun {
		return
	}
	event := command.Event{Name: "task:" + string(e.State), Task: d.ID}
	if e.Code != abi.Later {
		event.Key = fmt.Sprintf("task:%s:%d:%s", d.ID, d.Attempt, e.State)
	}
	var err error
	if event.Data, err = json.Marshal(taskEvent{d.Worker, d.Kind, d.Attempt, e.Code.String(), e.Message, e.Bill}); err == nil {
		_, err = s.Events.Emit(ctx, event)
	}
	if err != nil {
		s.log.Warn("the end of an attempt was not told", "task", d.ID, "attempt", d.Attempt, "error", err)
	}
}
