package command

import (
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := everything("w")
	c.Budget = NewBudget(Allowance{Events: 3, Tasks: 2})
	event := object{"event": "a"}
	for i, call := range []struct {
		command string
		params  object
		limit   string // that is reached; "" for none
	}{
		{"events/emit", event, ""},
		{"events/emit", object{"events": []any{event, event, event}}, "events"}, // none of the three
		{"events/emit", object{"events": []any{event, event}}, ""},
		{"events/emit", event, "events"},
		{"events/emit", object{"event": ""}, ""}, // refused for what it is
		{"tasks/submit", object{"worker": "w"}, ""},
		{"tasks/submit", object{"worker": "w"}, ""},
		{"tasks/submit", object{"worker": "w"}, "tasks"},
		{"ping", object{}, ""},
	} {
		_, err := execute(t, w.router, c, call.command, call.params)
		if got := abi.CodeOf(err) == abi.LimitExceeded; got != (call.limit != "") ||
			got && !strings.HasSuffix(err.Error(), "(limit: "+call.limit+")") {
			t.Errorf("call %d, %s: %v", i, call.command, err)
		}
	}
	if n, err := w.events.Last(t.Context()); n != 3 || err != nil {
		t.Errorf("%d events, %v", n, err)
	}
	if len(w.tasks.got) != 2 {
		t.Errorf("%d tasks", len(w.tasks.got))
	}
	// Another caller has its own.
	c.Budget = nil
	if _, err := execute(t, w.router, c, "events/emit", event); err != nil {
		t.Error(err)
	}
}
