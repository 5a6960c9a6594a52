package command

import (
	"context"
	"time"
)

// tasks/submit {worker, kind?, payload?, unique_key?, priority?, at_ms?} -> {taskId, created}
//
// What the names, the key and the payload may be is the queue's to say.
func submitTask(tasks Submitter) Handler {
	const maxText = 1024
	var lastMS = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMilli()
	return func(ctx context.Context, c Caller, params map[string]any) (any, error) {
		f := FieldsOf(params)
		s := Submission{
			Worker:    f.Required("worker", maxText),
			Kind:      f.Text("kind", maxText),
			UniqueKey: f.Text("unique_key", maxText),
			Priority:  int(f.Integer("priority", 1, 4, 0)),
		}
		if payload := f.Object("payload"); payload != nil {
			s.Payload = f.encode("payload", payload, 2*MaxParams)
		}
		if ms := f.Integer("at_ms", 1, lastMS, 0); ms > 0 {
			s.At = time.UnixMilli(ms)
		}
		if err := f.End(); err != nil {
			return nil, err
		}
		if err := c.Budget.tasks(1); err != nil {
			return nil, err
		}
		id, created, err := tasks.SubmitTask(ctx, s)
		if err != nil {
			return nil, err
		}
		return map[string]any{"taskId": id, "created": created}, nil
	}
}
