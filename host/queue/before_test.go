package queue

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// What is done before an attempt takes nothing of the attempt's time, ends with
// its task's cancel, and is done again before the next attempt.
func TestBefore(t *testing.T) {
	t.Parallel()
	const deadline = 300 * time.Millisecond
	q := open(t, newPath(t))
	begun := make(chan Delivery, 1)
	q.cfg.Before = func(ctx context.Context, d Delivery) {
		begun <- d
		switch d.Kind {
		case "slow":
			time.Sleep(2 * deadline) // longer than the attempt may take
		case "endless":
			<-ctx.Done()
		}
	}
	fail := true
	startWith(t, q, map[string]WorkerConfig{"w": {Deadline: deadline}}, func(ctx context.Context, d Delivery) (json.RawMessage, error) {
		left := time.Until(d.Deadline)
		if at, ok := ctx.Deadline(); !ok || !at.Equal(d.Deadline) || left < deadline/2 || left > deadline {
			t.Errorf("the attempt has %v left of %v", left, deadline)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if d.Kind == "slow" && fail {
			fail = false
			return nil, abi.Errorf(abi.Unavailable, "once")
		}
		return json.RawMessage(`{}`), nil
	})
	id := submit(t, q, Submission{Kind: "slow"})
	if d := receive(t, begun, "the first"); d.ID != id || d.Attempt != 1 || !d.Deadline.IsZero() {
		t.Errorf("delivery %+v", d)
	}
	if d := receive(t, begun, "the second"); d.Attempt != 2 {
		t.Errorf("delivery %+v", d)
	}
	awaitState(t, q, id, Completed)

	id = submit(t, q, Submission{Kind: "endless"})
	receive(t, begun, "the endless one")
	if _, err := q.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	awaitState(t, q, id, Cancelled)
}
