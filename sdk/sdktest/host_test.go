package sdktest_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

// count writes two rows and then returns: four calls.
func count(t *sdk.Task) error {
	for _, id := range []string{"a", "b"} {
		b := sdk.NewBatch("id")
		b.Row().Text(id)
		if _, err := t.Data.InsertNewRows("primary", "n", b); err != nil {
			return err
		}
	}
	if err := t.Progress(2, 2); err != nil {
		return err
	}
	return t.Return(map[string]any{"n": 2})
}

func TestKillAfter(t *testing.T) {
	t.Parallel()
	wants := []struct {
		rows int
		text string
	}{
		{0, "the host was killed before the first call"},
		{1, "the host was killed after call 1, rows_write"},
		{2, "the host was killed after call 2, rows_write"},
		{2, "the host was killed after call 3, progress"},
		{2, "the host was killed after call 4, task_return"},
		{2, ""},
	}
	for n, want := range wants {
		h := sdktest.New(t)
		h.Table("primary", "n", []string{"id"})
		h.KillAfter(n)
		cleaned := false
		res, err := h.Run(sdk.WorkerFunc(func(task *sdk.Task) error {
			defer func() {
				cleaned = true
				if n > 3 {
					return
				}
				// A worker's deferred call finds nobody.
				if err := task.Progress(99, 99); !errors.Is(err, abi.Interrupted) {
					t.Errorf("killed after %d calls: a later call got %v", n, err)
				}
			}()
			return count(task)
		}), sdktest.TaskOf("", nil))
		if want.text == "" {
			if err != nil || res.Calls != 4 || !reflect.DeepEqual(res.Value, map[string]any{"n": int64(2)}) {
				t.Errorf("not killed: got %+v, %v", res, err)
			}
			continue
		}
		if !errors.Is(err, abi.Interrupted) || !strings.Contains(err.Error(), want.text) || res.Calls != n || res.Value != nil {
			t.Errorf("killed after %d calls: got %+v, %v, want %q", n, res, err, want.text)
		}
		if n > 0 && n < 4 && !cleaned {
			t.Errorf("killed after %d calls: deferred functions did not run", n)
		}
		if got := len(h.Rows("primary", "n")); got != want.rows {
			t.Errorf("killed after %d calls: got %d rows, want %d", n, got, want.rows)
		}
		if _, err := h.Run(sdk.WorkerFunc(count), sdktest.Task{Attempt: 2}); err != nil {
			t.Errorf("the next run was killed, too: %v", err)
		}
	}
}

func TestFailNext(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.Table("primary", "n", []string{"id"})
	full := abi.Errorf(abi.Full, "the disk is full")
	h.FailNext(abi.ImportRowsWrite, full)
	h.FailNext(abi.ImportRowsWrite, abi.Unavailable)
	for _, want := range []abi.Code{abi.Full, abi.Unavailable, abi.OK} {
		_, err := h.Run(sdk.WorkerFunc(count), sdktest.TaskOf("", nil))
		if abi.CodeOf(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if got := len(h.Rows("primary", "n")); want != abi.OK && got != 0 {
			t.Errorf("a call that failed wrote %d rows", got)
		}
	}
}

func TestBefore(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	table := h.Table("primary", "n", []string{"id"})
	var calls []string
	h.Before(func(c *sdktest.Call) error {
		what := c.Import
		switch {
		case c.Query != nil:
			what += " " + c.Query.Collection
		case c.Mutations != nil:
			what += " " + string(c.Mutations[0].Verb)
		case c.Command != "":
			what += " " + c.Command
		}
		calls = append(calls, what)
		if c.Import == abi.ImportRowsNext {
			table.Insert("late")
		}
		if c.Command == abi.CommandPing {
			return abi.Errorf(abi.Unavailable, "nobody is there")
		}
		return nil
	})
	_, err := h.Run(sdk.WorkerFunc(func(task *sdk.Task) error {
		if _, err := task.Data.ListRows(abi.Query{Handle: "primary", Collection: "n"}); err != nil {
			return err
		}
		if _, err := task.Data.InsertNewRows("primary", "n", sdk.NewBatch("id")); err != nil {
			return err
		}
		_, err := task.Commands.Execute(abi.CommandPing, nil)
		return err
	}), sdktest.TaskOf("", nil))
	if !errors.Is(err, abi.Unavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
	want := []string{"rows_open n", "rows_next", "rows_close", "rows_write insert_new", "command ping", "pending", "task_return"}
	if !slices.Equal(calls, want) {
		t.Errorf("got %q\nwant %q", calls, want)
	}
	if got := len(h.Rows("primary", "n")); got != 1 {
		t.Errorf("got %d rows, want the one that Before added", got)
	}
}

// The built-in commands refuse what a real host refuses.
func TestCommandsAreStrict(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		params map[string]any
		text   string
	}{
		{abi.CommandPing, map[string]any{"x": 1}, `command ping: unknown param "x"`},
		{abi.CommandEmitEvent, map[string]any{}, `param "event" is missing`},
		{abi.CommandEmitEvent, map[string]any{"event": 1}, `param "event" is a int64`},
		{abi.CommandEmitEvent, map[string]any{"event": "e", "date": nil}, `unknown param "date"`},
		{abi.CommandEmitEvent, map[string]any{"event": "e", "data": 1}, `param "data" is a int64`},
		{abi.CommandEmitEvent, map[string]any{"events": []any{}, "event": "e"}, `unknown param "event"`},
		{abi.CommandEmitEvent, map[string]any{"events": []any{map[string]any{"event": "e"}, "x"}}, "event 1 is no map"},
		{abi.CommandEmitEvent, map[string]any{"events": []any{map[string]any{"event": "e"}, map[string]any{}}}, `event 1: param "event" is missing`},
		{abi.CommandGetConfig, map[string]any{}, `param "key" is missing`},
		{abi.CommandSetSession, map[string]any{"sessionId": "s"}, `param "data" is missing`},
		{abi.CommandSetSession, map[string]any{"data": map[string]any{}, "ttl": 1}, `unknown param "ttl"`},
		{abi.CommandGetSession, map[string]any{"sessionId": 1}, `param "sessionId" is a int64`},
		{abi.CommandSubmitTask, map[string]any{"kind": "k"}, `param "worker" is missing`},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			t.Parallel()
			h := sdktest.New(t)
			run(t, h, func(task *sdk.Task) error {
				_, err := task.Commands.Execute(test.name, test.params)
				if !errors.Is(err, abi.InvalidArgument) || !strings.Contains(err.Error(), test.text) {
					t.Errorf("got %v, want %q", err, test.text)
				}
				return nil
			})
			if got := h.Events(); len(got) != 0 {
				t.Errorf("events were recorded: %v", got)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	table := h.Table("primary", "n", []string{"a", "b", "v"}, "b", "a").Insert(1, 2, "x").Insert(2, 1, "y")
	if table.Delete(1, 1) || !table.Delete(1, 2) {
		t.Error("the key's columns are not taken in the key's order")
	}
	if got, want := table.Rows(), [][]any{{int64(1), int64(2), "x"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
