package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// However an attempt ends, that is told, and its bill stays with the task.
func TestEndsAreTold(t *testing.T) {
	t.Parallel()
	type end struct {
		Delivery
		Ended
	}
	told := make(chan end, 10)
	q, err := Open(t.Context(), openDB(t, newPath(t)), Config{
		HostID: "host-a", RetryBase: time.Hour, RetryCap: time.Hour,
		Ended: func(_ context.Context, d Delivery, e Ended) { told <- end{d, e} },
	})
	if err != nil {
		t.Fatal(err)
	}
	running := make(chan string, 1)
	start(t, q, func(ctx context.Context, d Delivery) (json.RawMessage, error) {
		d.Bill(json.RawMessage(fmt.Sprintf(`{"kind":%q}`, d.Kind)))
		switch d.Kind {
		case "fails":
			return nil, abi.Errorf(abi.Unavailable, "primary is locked")
		case "fails for good":
			return nil, abi.Errorf(abi.Permanent, "row 7")
		case "later":
			return nil, &LaterError{After: time.Hour, Err: errors.New("not yet")}
		case "cancelled":
			running <- d.ID
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return json.RawMessage(`1`), nil
	})
	for _, c := range []struct {
		kind    string
		state   State
		code    abi.Code
		message string
	}{
		{"works", Completed, abi.OK, ""},
		{"fails", Retrying, abi.Unavailable, "primary is locked"},
		{"fails for good", Dead, abi.Permanent, "row 7"},
		{"later", Scheduled, abi.Later, ""},
		{"cancelled", Cancelled, abi.Cancelled, "the task was cancelled while it ran"},
	} {
		id := submit(t, q, Submission{Kind: c.kind})
		if c.kind == "cancelled" {
			if _, err := q.Cancel(t.Context(), receive(t, running, "its beginning")); err != nil {
				t.Fatal(err)
			}
		}
		got := receive(t, told, "the end of "+c.kind)
		bill := fmt.Sprintf(`{"kind":%q}`, c.kind)
		if got.ID != id || got.Attempt != 1 || got.State != c.state || got.Code != c.code || got.Message != c.message || string(got.Ended.Bill) != bill {
			t.Errorf("%s: told %+v", c.kind, got)
		}
		if r := awaitState(t, q, id, c.state); string(r.Bill) != bill {
			t.Errorf("%s: the record has the bill %s", c.kind, r.Bill)
		}
	}
}

// A task that is given back has not ended.
func TestGivingBackIsNoEnd(t *testing.T) {
	t.Parallel()
	q, err := Open(t.Context(), openDB(t, newPath(t)), Config{
		HostID: "host-a", Ended: func(_ context.Context, _ Delivery, e Ended) { t.Errorf("told %+v", e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	running := make(chan string, 1)
	start(t, q, func(ctx context.Context, d Delivery) (json.RawMessage, error) {
		running <- d.ID
		<-ctx.Done()
		return nil, ctx.Err()
	})
	submit(t, q, Submission{})
	receive(t, running, "its beginning")
	stop(t, q)
}
