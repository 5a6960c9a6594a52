package host

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

// changed are the events of a mutation, by its verb.
var changed = map[abi.Verb]string{
	abi.Insert: "created", abi.InsertNew: "created", abi.Upsert: "updated", abi.Update: "updated", abi.Delete: "deleted",
}

// tellChanges records the events of what a batch changed in the collections for
// which the configuration asks for them. The rows are committed by then, in
// another database: a host that dies in between, or whose log cannot be written,
// has changed them silently. An atomic task's events are kept with its rows, so
// its batch fails when they cannot be.
func (e *env) tellChanges(ctx context.Context, ms []abi.Mutation, results []abi.WriteResult) error {
	var events []command.Event
	for i := range min(len(ms), len(results)) {
		m := &ms[i]
		if results[i].Applied == 0 || !slices.Contains(e.told[m.Handle].Events, m.Collection) {
			continue
		}
		data, err := json.Marshal(map[string]any{"handle": m.Handle, "collection": m.Collection, "op": m.Verb, "rows": results[i].Applied})
		if err == nil {
			events = append(events, command.Event{
				Name: "data:" + m.Collection + ":" + changed[m.Verb], Worker: e.caller.Worker, Task: e.caller.Task, Data: data,
			})
		}
	}
	if len(events) == 0 {
		return nil
	}
	if e.caller.Held != nil {
		return e.caller.Held.Add(events...)
	}
	if _, err := e.events.Emit(context.WithoutCancel(ctx), events...); err != nil {
		e.log.Warn("a change of rows was not told", "error", err)
	}
	return nil
}
