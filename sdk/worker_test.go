package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

func TestOutcome(t *testing.T) {
	t.Parallel()
	locked := abi.Errorf(abi.Unavailable, "primary is locked")
	plain := errors.New("the moon is full")
	tests := []struct {
		name  string
		err   error
		code  abi.Code
		text  string
		after time.Duration
	}{
		{name: "success", code: abi.OK},
		{name: "a plain error", err: plain, code: abi.Failed, text: "the moon is full"},
		{name: "an error of the host", err: locked, code: abi.Unavailable, text: "primary is locked"},
		{name: "wrapped", err: fmt.Errorf("counting: %w", locked), code: abi.Unavailable, text: "counting: unavailable: primary is locked"},
		{name: "permanent", err: sdk.Permanent(plain), code: abi.Permanent, text: "the moon is full"},
		{name: "permanent before the host's code", err: sdk.Permanent(locked), code: abi.Permanent, text: "primary is locked"},
		{name: "permanent inside", err: fmt.Errorf("counting: %w", sdk.Permanent(plain)), code: abi.Permanent, text: "counting: the moon is full"},
		{name: "permanent of nil", err: sdk.Permanent(nil), code: abi.OK},
		{name: "later", err: sdk.Later(plain, 90*time.Second), code: abi.Later, text: "the moon is full", after: 90 * time.Second},
		{name: "a little later", err: sdk.Later(plain, time.Nanosecond), code: abi.Later, text: "the moon is full", after: time.Millisecond},
		{name: "later, some time", err: sdk.Later(plain, 0), code: abi.Later, text: "the moon is full"},
		{name: "later in the past", err: sdk.Later(plain, -time.Hour), code: abi.Later, text: "the moon is full"},
		{name: "later of nil", err: sdk.Later(nil, time.Second), code: abi.OK},
		{name: "internal to the host", err: abi.Errorf(abi.Internal, "a defect"), code: abi.Internal, text: "a defect"},
		{name: "an error that claims success", err: abi.OK, code: abi.Failed, text: "ok"},
		{name: "a deadline", err: fmt.Errorf("waiting: %w", context.DeadlineExceeded), code: abi.DeadlineExceeded, text: "waiting: context deadline exceeded"},
		{name: "a very long text", err: errors.New(strings.Repeat("ü", 20<<10)), code: abi.Failed, text: strings.Repeat("ü", 8<<10) + "…"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			res, err := withTask(t, nil, sdktest.TaskOf("", nil), func(task *sdk.Task) error {
				if err := task.Return(map[string]any{"done": true}); err != nil {
					t.Error(err)
				}
				return test.err
			})
			if test.code == abi.OK {
				if err != nil || !reflect.DeepEqual(res.Value, map[string]any{"done": true}) {
					t.Errorf("got %v, %v, want success", res.Value, err)
				}
				return
			}
			var got *abi.Error
			if !errors.As(err, &got) || got.Code != test.code || got.Message != test.text {
				t.Errorf("got %v\nwant %s: %s", err, test.code, test.text)
			}
			if res.After != test.after || res.Value != nil {
				t.Errorf("got after %v, value %v, want %v and none", res.After, res.Value, test.after)
			}
		})
	}
}

type tripper struct{ rows [][]int }

func (w *tripper) Work(*sdk.Task) error { return fmt.Errorf("%d", w.rows[0][7]) }

func TestPanicBecomesATrap(t *testing.T) {
	t.Parallel()
	_, err := sdktest.New(t).Run(&tripper{rows: [][]int{{1}}}, sdktest.TaskOf("", nil))
	if !errors.Is(err, abi.Trap) {
		t.Fatalf("got %v, want trap", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if want := "trap: panic: runtime error: index out of range [7] with length 1"; lines[0] != want {
		t.Errorf("got %q, want %q", lines[0], want)
	}
	if len(lines) > 17 {
		t.Errorf("got %d lines, want 16 of the stack at most", len(lines))
	}
	if stack := strings.Join(lines[1:], "\n"); !strings.Contains(stack, "(*tripper).Work") || strings.Contains(stack, "debug.Stack") {
		t.Errorf("the stack does not begin where the panic was:\n%s", stack)
	}
}

func TestTask(t *testing.T) {
	t.Parallel()
	deadline := time.UnixMilli(1766000000123)
	task := sdktest.Task{ID: "t-9", Kind: "tidy", Attempt: 3, Deadline: deadline, Handles: map[string]string{"source": "live", "dest": ""}}
	h := sdktest.New(t)
	res, err := withTask(t, h, task, func(task *sdk.Task) error {
		if task.ID != "t-9" || task.Kind != "tidy" || task.Attempt != 3 || !task.Deadline.Equal(deadline) {
			t.Errorf("got %+v", task)
		}
		for role, want := range map[string]string{"source": "live", "dest": "archive", "other": "archive"} {
			if got := task.Handle(role, "archive"); got != want {
				t.Errorf("handle of %s: got %q, want %q", role, got, want)
			}
		}
		task.Log.Debug("starting")
		task.Log.Info("page moved", "rows", 12, "last", "a b", "took", 1500*time.Millisecond, "empty", "")
		task.Log.Warn("odd", "alone")
		task.Log.Error("broken", "err", errors.New("no\nway"))
		if err := task.Return(map[string]any{"x": struct{}{}}); !errors.Is(err, abi.InvalidArgument) {
			t.Errorf("a result that cannot be sent: got %v", err)
		}
		return task.Progress(3, 10)
	})
	if err != nil || res.Value != nil {
		t.Errorf("got %v, %v, want success without a result", res.Value, err)
	}
	wantLogs := []sdktest.Log{
		{Level: abi.Debug, Text: "starting"},
		{Level: abi.Info, Text: `page moved rows=12 last="a b" took=1.5s empty=""`},
		{Level: abi.Warn, Text: "odd alone"},
		{Level: abi.Severe, Text: `broken err="no\nway"`},
	}
	if got := h.Logs(); !reflect.DeepEqual(got, wantLogs) {
		t.Errorf("logs:\n got %+v\nwant %+v", got, wantLogs)
	}
	if got, want := h.ProgressCalls(), []sdktest.Progress{{Task: "t-9", Done: 3, Total: 10}}; !reflect.DeepEqual(got, want) {
		t.Errorf("progress: got %v, want %v", got, want)
	}
}

func TestNoDeadline(t *testing.T) {
	t.Parallel()
	must(t, nil, func(task *sdk.Task) error {
		if !task.Deadline.IsZero() || task.ID != "task-1" || task.Attempt != 1 {
			t.Errorf("got %+v", task)
		}
		return nil
	})
}

func TestResultThatTheHostRefuses(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.FailNext(abi.ImportTaskReturn, abi.Errorf(abi.LimitExceeded, "a result of 9 bytes"))
	_, err := withTask(t, h, sdktest.TaskOf("", nil), func(task *sdk.Task) error {
		return task.Return(map[string]any{"x": 1})
	})
	if !errors.Is(err, abi.LimitExceeded) || !strings.Contains(err.Error(), "a result of 9 bytes") {
		t.Errorf("got %v, want the host's error", err)
	}
}

func TestNoWorker(t *testing.T) {
	t.Parallel()
	_, err := sdktest.New(t).Run(nil, sdktest.TaskOf("", nil))
	if !errors.Is(err, abi.InvalidModule) {
		t.Errorf("got %v, want invalid_module", err)
	}
}

func TestRegisterRefusesNil(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("Register took a nil Worker")
		}
	}()
	sdk.Register(nil)
}
