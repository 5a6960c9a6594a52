package queue

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
)

// TestDryRunStaysOne, also when its host died over it, and when a person puts it
// back.
func TestDryRunStaysOne(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	q := open(t, path)
	id := submit(t, q, Submission{Worker: "w", DryRun: true, MaxAttempts: 7})
	leaveRunning(t, q, id, "host-a", 1, 0)
	again := open(t, path)
	dry := make(chan bool, 2)
	startWith(t, again, map[string]WorkerConfig{"w": {MaxAttempts: 9}}, func(_ context.Context, d Delivery) (json.RawMessage, error) {
		dry <- d.DryRun
		return nil, abi.Errorf(abi.Unavailable, "no luck")
	})
	if !receive(t, dry, "the task that the host left") {
		t.Error("it is delivered as no dry run")
	}
	// What is retryable is not tried again.
	if r := awaitState(t, q, id, Dead); !r.DryRun || r.MaxAttempts != 1 {
		t.Errorf("got %+v", r)
	}
	if _, err := q.Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if !receive(t, dry, "the task that was put back") {
		t.Error("put back it is delivered as no dry run")
	}
}

func TestDryRunTakesNoUniqueKey(t *testing.T) {
	t.Parallel()
	q := open(t, newPath(t))
	_, _, err := q.Submit(t.Context(), Submission{Worker: "w", DryRun: true, UniqueKey: "k"})
	wantCode(t, err, abi.InvalidArgument)
}
