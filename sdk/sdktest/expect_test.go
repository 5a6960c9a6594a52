package sdktest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
)

// recorder is a test that a test looks at.
type recorder struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(f string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(f, args...))
}
func (r *recorder) end() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

// calling is a worker that executes commands, and returns what came of the last.
func calling(params map[string]any, names ...string) sdk.Worker {
	return sdk.WorkerFunc(func(t *sdk.Task) error {
		var last any
		for _, name := range names {
			v, err := t.Commands.Execute(name, params)
			if err != nil {
				return err
			}
			last = v
		}
		return t.Return(map[string]any{"last": last})
	})
}

func TestExpectCommand(t *testing.T) {
	t.Parallel()
	text := map[string]any{"text": "hello", "n": int64(3)}
	for name, c := range map[string]struct {
		expect func(*Host)
		worker sdk.Worker
		code   abi.Code
		last   any
		errors []string // parts of what the test says
	}{
		"met": {
			func(h *Host) { h.ExpectCommand("ai/embed").With(text).Return([]any{int64(1)}) },
			calling(text, "ai/embed"), abi.OK, []any{int64(1)}, nil,
		},
		"in order": {
			func(h *Host) {
				h.ExpectCommand("x/y").Times(2).Return("first")
				h.ExpectCommand("x/y").Return("second")
			},
			calling(nil, "x/y", "x/y", "x/y"), abi.OK, "second", nil,
		},
		"in place of the host's own": {
			func(h *Host) { h.ExpectCommand("ping").Return("mine") }, calling(nil, "ping"), abi.OK, "mine", nil,
		},
		"fails": {
			func(h *Host) { h.ExpectCommand("x/y").Fail(abi.Errorf(abi.Unavailable, "away")) }, calling(nil, "x/y"), abi.Unavailable, nil, nil,
		},
		"not called": {
			func(h *Host) { h.ExpectCommand("x/y").With(text) }, calling(nil), abi.OK, nil,
			[]string{"x/y was called 0 times of 1, with map["},
		},
		"called too often": {
			func(h *Host) { h.ExpectCommand("x/y") }, calling(nil, "x/y", "x/y"), abi.UnknownCommand, nil,
			[]string{"x/y was called once more than expected"},
		},
		"other params": {
			func(h *Host) { h.ExpectCommand("x/y").With(map[string]any{"text": "bye"}) }, calling(text, "x/y"), abi.InvalidArgument, nil,
			[]string{"x/y was called with map[", "0 times of 1"},
		},
		"no params": {
			func(h *Host) { h.ExpectCommand("x/y").With(map[string]any{}) }, calling(nil, "x/y"), abi.OK, nil, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{TB: t}
			h := New(r)
			c.expect(h)
			res, err := h.Run(c.worker, TaskOf("x", nil))
			r.end()
			if abi.CodeOf(err) != c.code && !errors.Is(err, c.code) {
				t.Errorf("the task ended with %v, want %v", err, c.code)
			}
			if err == nil {
				if got := res.Value.(map[string]any)["last"]; fmt.Sprint(got) != fmt.Sprint(c.last) {
					t.Errorf("got %v, want %v", got, c.last)
				}
			}
			if len(r.errors) != len(c.errors) {
				t.Fatalf("the test says %q, want %q", r.errors, c.errors)
			}
			for i, want := range c.errors {
				if !strings.Contains(r.errors[i], want) {
					t.Errorf("the test says %q, want %q", r.errors[i], want)
				}
			}
		})
	}
}
