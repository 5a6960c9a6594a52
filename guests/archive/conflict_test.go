package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

// A row whose key has other values in the archive stays; all others move, and
// then the task fails for good.
func TestConflictingRows(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	live := h.Table("primary", "messages", []string{"id", "timestamp", "body"})
	cold := h.Table("archive", "messages", []string{"id", "timestamp", "body"})
	for i := range 150 {
		live.Insert(i, i, "new")
		if i%10 == 7 {
			cold.Insert(i, i, "old")
		}
	}
	cold.Insert(3, 3, "new")          // as an earlier attempt left it
	cold.Insert(4, float64(4), "new") // equal as a number, not byte for byte
	for attempt := 1; attempt <= 2; attempt++ {
		_, err := h.Run(worker, sdktest.Task{Payload: payload("keep", 20, "batch_size", 25), Attempt: attempt})
		if !errors.Is(err, abi.Permanent) {
			t.Fatalf("attempt %d: got %v, want permanent", attempt, err)
		}
		for _, want := range []string{
			"archiving messages: 14 rows stay in primary, 116 were moved to archive",
			"4 (the archive holds a different row under this key); 7 (", "; 87 (", "; and 4 more",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("attempt %d: got %v, want it to say %q", attempt, err, want)
			}
		}
		if strings.Contains(err.Error(), " 97 (") {
			t.Errorf("attempt %d names more than ten rows: %v", attempt, err)
		}
	}
	for _, row := range h.Rows("primary", "messages") {
		if n := row[0].(int64); n < 130 && n%10 != 7 && n != 4 {
			t.Errorf("row %d stayed", n)
		}
	}
	if got := len(h.Rows("primary", "messages")); got != 34 {
		t.Errorf("%d rows in the primary, want 14 in conflict and 20 kept", got)
	}
	for _, row := range h.Rows("archive", "messages") {
		if n := row[0].(int64); n%10 == 7 && row[2] != "old" {
			t.Errorf("row %d of the archive was overwritten", n)
		}
	}
	failed := h.Events(eventFailed)
	if len(failed) != 1 || len(h.Events(eventComplete)) != 0 {
		t.Fatalf("got %v, want one archive:failed and no archive:complete", h.Events())
	}
	checkSummary(t, failed[0].Data, 116, 130, 14)
	if rows, _ := failed[0].Data["rows"].([]any); len(rows) != 10 {
		t.Errorf("archive:failed names %v, want ten rows", failed[0].Data["rows"])
	}
	if got := h.Events(eventProgress); len(got) != 1 {
		t.Errorf("got progress %v, want one event for the first hundred", got)
	}
}

// deletes calls f before the nth delete, counted from 1.
func deletes(h *sdktest.Host, f func(n int)) {
	n := 0
	h.Before(func(c *sdktest.Call) error {
		if len(c.Mutations) > 0 && c.Mutations[0].Verb == abi.Delete {
			n++
			f(n)
		}
		return nil
	})
}

func TestRowChangesBeforeItIsDeleted(t *testing.T) {
	t.Parallel()
	newest := []any{"b", int64(2), "second edit"}
	tests := []struct {
		name    string
		edit    func(live *sdktest.Table, nth int)
		archive [][]any // what must be there of row b
		primary [][]any
		code    abi.Code
	}{
		{
			name: "once",
			edit: func(live *sdktest.Table, nth int) {
				if nth == 1 {
					live.Insert("b", 2, "first edit")
				}
			},
			archive: [][]any{{"a", int64(1), "x"}, {"b", int64(2), "first edit"}, {"c", int64(3), "x"}},
		},
		{
			name: "only in its storage class",
			edit: func(live *sdktest.Table, nth int) {
				if nth == 1 {
					live.Insert("b", 2.0, "x")
				}
			},
			archive: [][]any{{"a", int64(1), "x"}, {"b", 2.0, "x"}, {"c", int64(3), "x"}},
		},
		{
			name: "twice",
			edit: func(live *sdktest.Table, nth int) {
				live.Insert("b", 2, []string{"", "first edit", "second edit"}[nth])
			},
			archive: [][]any{{"a", int64(1), "x"}, {"b", int64(2), "first edit"}, {"c", int64(3), "x"}},
			primary: [][]any{newest},
			code:    abi.Permanent,
		},
		{
			name: "it is deleted",
			edit: func(live *sdktest.Table, nth int) {
				live.Delete("b")
			},
			archive: [][]any{{"a", int64(1), "x"}, {"b", int64(2), "x"}, {"c", int64(3), "x"}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := sdktest.New(t)
			live := h.Table("primary", "messages", []string{"id", "timestamp", "body"}).
				Insert("a", 1, "x").Insert("b", 2, "x").Insert("c", 3, "x")
			h.Table("archive", "messages", []string{"id", "timestamp", "body"})
			deletes(h, func(n int) { test.edit(live, n) })
			res, err := h.Run(worker, sdktest.TaskOf("", payload("keep", 0)))
			if abi.CodeOf(err) != test.code {
				t.Fatalf("got %v, want %s", err, test.code)
			}
			if err == nil {
				checkSummary(t, res.Value, 3, 3, 0)
			} else if want := `"b" (it changed twice`; !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want it to say %s", err, want)
			}
			if got := h.Rows("archive", "messages"); !reflect.DeepEqual(got, test.archive) {
				t.Errorf("archive: got %v, want %v", got, test.archive)
			}
			if got := h.Rows("primary", "messages"); len(got)+len(test.primary) > 0 && !reflect.DeepEqual(got, test.primary) {
				t.Errorf("primary: got %v, want %v", got, test.primary)
			}
		})
	}
}

// What is read back decides: a destination that takes a row and stores
// something else loses nothing.
func TestDestinationThatStoresSomethingElse(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.Table("primary", "messages", []string{"id", "timestamp"}).Insert("a", 1).Insert("b", 2).Insert("c", 3)
	cold := h.Table("archive", "messages", []string{"id", "timestamp"})
	h.Before(func(c *sdktest.Call) error {
		if c.Query != nil && c.Query.Lookup != nil && c.Query.Handle == "archive" {
			cold.Insert("a", "1")
			cold.Delete("b")
		}
		return nil
	})
	_, err := h.Run(worker, sdktest.TaskOf("", payload("keep", 0)))
	if !errors.Is(err, abi.Permanent) {
		t.Fatalf("got %v, want permanent", err)
	}
	for _, want := range []string{`"a" (the archive holds a different row`, `"b" (the archive did not take it`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %s", err, want)
		}
	}
	if got, want := h.Rows("primary", "messages"), [][]any{{"a", int64(1)}, {"b", int64(2)}}; !reflect.DeepEqual(got, want) {
		t.Errorf("primary: got %v, want %v", got, want)
	}
}
