package command

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// TestRehearse: what reads is executed, and what does not is checked and not
// done.
func TestRehearse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	called := false
	provide(t, w, "other", providerFunc(func(context.Context, Call) ([]byte, error) {
		called = true
		return nil, nil
	}), "other/do")
	c := caller("w", "ping", "events/emit", "session/*", "tasks/submit", "other/*", "nobody/*")
	c.Budget = NewBudget(Allowance{Events: 3, Tasks: 1})
	for _, test := range []struct {
		name   string
		params map[string]any
		want   any // of the answer; nil: is not looked at
		ran    bool
		code   abi.Code
	}{
		{"ping", nil, nil, true, abi.OK},
		{"config/get", map[string]any{"key": "a"}, nil, true, abi.NotGranted},
		{"events/emit", map[string]any{"event": "a:b"}, map[string]any{"id": int64(0)}, false, abi.OK},
		{"events/emit", map[string]any{"events": []any{map[string]any{"event": "a:b"}, map[string]any{"event": "a:c"}}}, map[string]any{"ids": []any{int64(0), int64(0)}}, false, abi.OK},
		{"events/emit", map[string]any{"event": "A b"}, nil, false, abi.InvalidArgument},
		{"events/emit", map[string]any{"event": "a:d"}, nil, false, abi.LimitExceeded}, // the fourth of three
		{"session/set", map[string]any{"sessionId": "s", "data": map[string]any{"a": int64(1)}}, nil, false, abi.OK},
		{"session/set", map[string]any{"sessionId": "s"}, nil, false, abi.InvalidArgument},
		{"session/set", map[string]any{"sessionId": "s", "data": map[string]any{"a": make([]byte, MaxSessionData)}}, nil, false, abi.LimitExceeded},
		{"session/get", map[string]any{"sessionId": "s"}, map[string]any{"found": false, "sessionId": "s"}, true, abi.OK}, // it was not set
		{"session/delete", map[string]any{"sessionId": "s"}, map[string]any{"sessionId": "s", "deleted": true}, false, abi.OK},
		{"tasks/submit", map[string]any{"worker": "other"}, map[string]any{"taskId": RehearsedTask, "created": true}, false, abi.OK},
		{"tasks/submit", map[string]any{"worker": "other"}, nil, false, abi.LimitExceeded},
		{"other/do", map[string]any{"a": int64(1)}, nil, false, abi.OK},
		{"nobody/knows", nil, nil, true, abi.UnknownCommand},
	} {
		var params []byte
		if test.params != nil {
			var p wire.Writer
			if err := p.Value(test.params); err != nil {
				t.Fatal(err)
			}
			params = p.B
		}
		got, ran, err := w.router.Rehearse(t.Context(), c, test.name, params)
		if abi.CodeOf(err) != test.code || ran != test.ran {
			t.Errorf("%s %v: ran %v, %v", test.name, test.params, ran, err)
		}
		if test.want != nil && err == nil {
			r := wire.NewReader(got)
			v, err := r.Value()
			if diff := cmp.Diff(test.want, v); err != nil || diff != "" {
				t.Errorf("%s: %v %s", test.name, err, diff)
			}
		}
	}
	if last, err := w.events.Last(t.Context()); called || last != 0 || err != nil {
		t.Errorf("something was done: called %v, event %d, %v", called, last, err)
	}
}
