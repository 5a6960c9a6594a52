package host

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/queue"
)

// triggersReader is the name of the cursor of what has become tasks.
const triggersReader = "triggers"

// triggers makes tasks of events, for the workers that ask for them (on), until
// ctx ends. It begins where it was when the host last ran; the first time, at the
// end of the log as beginTriggers found it. A host that is killed between a task and the note that the
// event was dealt with finds the task by its key, and makes no second one.
func (h *Host) triggers(ctx context.Context) {
	for ctx.Err() == nil {
		err := h.followEvents(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		h.log.Warn("events do not become tasks, trying again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// beginTriggers sees to it that there is a cursor.
func (h *Host) beginTriggers(ctx context.Context) error {
	events := h.state.Events
	_, known, err := events.Cursor(ctx, triggersReader)
	if err != nil || known {
		return err
	}
	last, err := events.Last(ctx)
	if err != nil {
		return err
	}
	return events.SetCursor(ctx, triggersReader, last)
}

func (h *Host) followEvents(ctx context.Context) error {
	events := h.state.Events
	at, _, err := events.Cursor(ctx, triggersReader)
	if err != nil {
		return err
	}
	for e, err := range events.Follow(ctx, at, "") {
		if err != nil {
			return err
		}
		triggered, err := h.trigger(ctx, &e)
		if err != nil {
			return err
		}
		// Looking at an event again that nobody wanted costs nothing.
		if triggered {
			if err := events.SetCursor(ctx, triggersReader, e.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// trigger submits the tasks that an event is to become, and says whether there
// were any. A worker is not triggered by what its own tasks emitted, nor by
// their ends: it would never come to rest.
func (h *Host) trigger(ctx context.Context, e *command.Event) (triggered bool, err error) {
	on := h.listeners()
	for _, name := range slices.Sorted(maps.Keys(on)) {
		if e.Worker == name || workerOf(e) == name || !matchesAny(on[name], e.Name) {
			continue
		}
		triggered = true
		payload := e.Data
		if len(payload) > 0 && payload[0] != '{' {
			payload, _ = json.Marshal(map[string]json.RawMessage{"data": payload}) // of valid JSON
		}
		_, _, err := h.state.Submit(ctx, queue.Submission{
			Worker: name, Kind: e.Name, Payload: payload, UniqueKey: fmt.Sprintf("event:%d", e.ID), Once: true,
		})
		if ctx.Err() != nil {
			return triggered, ctx.Err()
		}
		if err != nil && abi.CodeOf(err).Retryable() {
			return triggered, fmt.Errorf("event %d for the worker %s: %w", e.ID, name, err)
		}
		if err != nil { // its name is no kind, or the worker is gone
			h.log.Warn("an event did not become a task", "event", e.ID, "worker", name, "error", err)
		}
	}
	return triggered, nil
}

// listeners are the patterns of each worker that is to be given events: what the
// configuration says, and what the version that is served asks for.
func (h *Host) listeners() map[string][]string {
	on := map[string][]string{}
	for name, w := range h.now().Workers {
		on[name] = w.On
	}
	for name, v := range h.fleet.served() {
		on[name] = h.workerConfig(name, v).On
	}
	return on
}

// workerOf is the worker whose attempt's end an event tells.
func workerOf(e *command.Event) string {
	var end taskEvent
	if e.Worker != "" || json.Unmarshal(e.Data, &end) != nil {
		return ""
	}
	return end.Worker
}

func matchesAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, name); err == nil && ok {
			return true
		}
	}
	return false
}
