package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

// A host that is killed after any of its calls loses nothing and doubles
// nothing: the next attempt ends with each row in one place and each event
// recorded once.
func TestKilledAfterEveryCall(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		payload map[string]any
		page    int
		buffer  int
		moved   int
	}{
		{"keep", payload("keep", 15), 60, 0, 235},
		{"limit", payload("limit", 210), 100, 0, 210},
		{"small buffers", payload("keep", 40), 120, 4000, 210},
	}
	const rows = 250
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				h, live := tables(t, rows)
				h.BufferLimit(test.buffer)
				h.Config(map[string]any{"archive": map[string]any{"batchSize": test.page}})
				h.KillAfter(n)
				task := sdktest.TaskOf("archive", test.payload)
				res, err := h.Run(worker, task)
				completed := err == nil
				if err != nil && !errors.Is(err, abi.Interrupted) {
					t.Fatalf("killed after call %d: %v", n, err)
				}
				checkNothingLost(t, h, rows)
				// The world goes on meanwhile: the config of the second
				// attempt is another one, and there are newer messages.
				started := h.Session("task:task-1") != nil
				if started {
					h.Config(map[string]any{"archive": map[string]any{"batchSize": 30, "orderBy": "stars"}})
					late := message(rows)
					live.Insert(late...)
				}
				if !completed {
					task.Attempt = 2
					if res, err = h.Run(worker, task); err != nil {
						t.Fatalf("after a kill behind call %d: %v", n, err)
					}
				}
				if started {
					live.Delete(id(rows))
				}
				checkSummary(t, res.Value, int64(test.moved), int64(test.moved), 0)
				checkOnce(t, h, rows, test.moved)
				checkEvents(t, h, int64(test.moved), int64(test.moved))
				if t.Failed() {
					t.Fatalf("after a kill behind call %d", n)
				}
				if completed {
					if n < 20 {
						t.Fatalf("the worker needed only %d calls", n)
					}
					return
				}
			}
		})
	}
}

// Killed again and again, ever further on, the task still ends.
func TestKilledManyTimes(t *testing.T) {
	t.Parallel()
	const rows = 250
	h, _ := tables(t, rows)
	task := sdktest.TaskOf("archive", payload("keep", 25, "batch_size", 50))
	for n := 0; ; n++ {
		task.Attempt = n + 1
		h.KillAfter(n)
		_, err := h.Run(worker, task)
		checkNothingLost(t, h, rows)
		if err == nil {
			break
		}
		if n > 500 {
			t.Fatalf("not done after %d attempts: %v", n, err)
		}
	}
	checkOnce(t, h, rows, rows-25)
	checkEvents(t, h, rows-25, rows-25)
}

// A task that is run again when it was done already does nothing more, even
// with a limit.
func TestRunAgainWhenDone(t *testing.T) {
	t.Parallel()
	h, _ := tables(t, 250)
	for attempt := 1; attempt <= 2; attempt++ {
		task := sdktest.Task{Payload: payload("limit", 110), Attempt: attempt}
		res, err := h.Run(worker, task)
		if err != nil {
			t.Fatal(err)
		}
		checkSummary(t, res.Value, 110, 110, 0)
		checkOnce(t, h, 250, 110)
		checkEvents(t, h, 110, 110)
	}
}

// An error of the host at any call leaves the work to be taken up again.
func TestEveryCallFailsOnce(t *testing.T) {
	t.Parallel()
	const rows, moved = 130, 110
	for n := 1; ; n++ {
		h, _ := tables(t, rows)
		failed := ""
		h.Before(func(c *sdktest.Call) error {
			if c.N == n && c.Import != abi.ImportLog {
				failed = c.Import
				return abi.Errorf(abi.Unavailable, "call %d is not to be", n)
			}
			return nil
		})
		task := sdktest.TaskOf("archive", payload("keep", rows-moved, "batch_size", 50))
		res, err := h.Run(worker, task)
		h.Before(nil)
		if failed == "" && res.Calls < n {
			return
		}
		if failed != "" && failed != abi.ImportTaskReturn {
			want := fmt.Sprintf("call %d is not to be", n)
			if !errors.Is(err, abi.Unavailable) {
				t.Fatalf("call %d, %s, fails: got %v, want unavailable with %q", n, failed, err, want)
			}
		}
		task.Attempt = 2
		if _, err := h.Run(worker, task); err != nil {
			t.Fatalf("after call %d, %s, failed: %v", n, failed, err)
		}
		checkOnce(t, h, rows, moved)
		checkEvents(t, h, moved, moved)
	}
}

// checkNothingLost fails unless every message is somewhere.
func checkNothingLost(t *testing.T, h *sdktest.Host, n int) {
	t.Helper()
	there := map[any]bool{}
	for _, row := range h.Rows("primary", "messages") {
		there[row[0]] = true
	}
	for _, row := range h.Rows("archive", "messages") {
		there[row[1]] = true
	}
	for i := range n {
		if !there[id(i)] {
			t.Errorf("row %s is in neither database", id(i))
		}
	}
}
