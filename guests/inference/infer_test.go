package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

var worker = sdk.WorkerFunc(Infer)

type object = map[string]any

// room makes the tables, and messages of the room r.
func room(t *testing.T) (*sdktest.Host, *sdktest.Table) {
	t.Helper()
	h := sdktest.New(t)
	h.Table("primary", generations, []string{"id", "created_at", "updated_at", "version", "timestamp", "request_id", "provider", "model",
		"input_tokens", "output_tokens", "total_tokens", "estimated_cost", "response_time", "user_id", "room_id", "purpose", "finish_reason", "success", "error", "later"}, "id")
	table := h.Table("primary", messages, []string{"id", "created_at", "updated_at", "version", "room_id", "sender_id", "sender_name", "sender_type", "content", "status",
		"priority", "timestamp", "edited_at", "reactions", "thread", "reply_to_id", "metadata"}, "id")
	say(table, "m3", "r", "human", `{"text":"What do whales eat?"}`, "2025-12-16T04:32:11.000000001+00:00")
	say(table, "m1", "r", "human", `{"text":"Hello"}`, "2025-12-16T04:32:10.908Z")
	say(table, "m2", "r", "agent", `{"text":"Whales eat krill."}`, "2025-12-16T04:32:11Z") // behind m3 as text
	say(table, "x1", "other", "human", `{"text":"secret"}`, "2025-12-16T04:32:12Z")
	say(table, "m4", "r", "human", nil, "2025-12-16T04:32:13Z")
	return h, table
}

func say(table *sdktest.Table, id, room, kind string, content any, at string) {
	table.Insert(id, at, at, 1.0, room, "s", "S", kind, content, "sent", "normal", at, nil, "[]", nil, nil, nil)
}

// server is ai/generate as the host has it: one answer for each key.
type server struct {
	asked  int
	err    error
	params []object
	usage  object
}

func (s *server) generate(params map[string]any) (any, error) {
	s.params = append(s.params, params)
	if params["key"] != "reply" {
		return nil, abi.Errorf(abi.InvalidArgument, "no key")
	}
	if s.err != nil {
		return nil, s.err
	}
	if s.asked == 0 { // what comes again is on record
		s.asked++
	}
	return object{"text": "Krill.", "model": "small", "provider": "openai", "finish_reason": "stop", "latency_ms": int64(12), "recalled": false, "usage": s.usage}, nil
}

var known = object{"input_tokens": int64(10), "output_tokens": int64(2), "total_tokens": int64(12), "cost_usd": 0.25}

func run(t *testing.T, h *sdktest.Host, payload object) (object, error) {
	t.Helper()
	res, err := h.Run(worker, sdktest.TaskOf("inference", payload))
	got, _ := res.Value.(object)
	return got, err
}

func TestInfer(t *testing.T) {
	t.Parallel()
	h, _ := room(t)
	s := &server{usage: known}
	h.Command(abi.CommandGenerate, s.generate)
	h.Config(object{"inference": object{"contextRows": 3, "system": "Be brief.", "model": "small"}})
	h.Command(abi.CommandGetSession, func(object) (any, error) {
		return object{"found": true, "data": object{"userId": "u1"}}, nil
	})
	got, err := run(t, h, object{"room_id": "r", "reply": true, "max_tokens": int64(50), "context": []any{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	turn := func(role, text string) object { return object{"role": role, "content": text} }
	if diff := cmp.Diff(object{
		"messages": []any{turn("system", "Be brief."), turn("user", "Hello"), turn("assistant", "Whales eat krill."), turn("user", "What do whales eat?")},
		"key":      "reply", "model": "small", "max_tokens": int64(50), "context": []any{"a"},
	}, s.params[0]); diff != "" {
		t.Errorf("what is asked: %s", diff)
	}
	rows := h.Rows("primary", generations)
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	row := rows[0]
	id, date := got["generationId"], row[1].(string)
	if !strings.HasSuffix(date, "Z") || len(date) != len(dates) {
		t.Errorf("the date is %s", date)
	}
	if diff := cmp.Diff([]any{id, date, date, 1.0, row[4], "task-1", "openai", "small", int64(10), int64(2), int64(12), 0.25, int64(12), "u1", "r", "chat", "stop", int64(1), nil, nil}, row); diff != "" {
		t.Error(diff)
	}
	all := h.Rows("primary", messages)
	reply := all[len(all)-1]
	for _, m := range all {
		if m[0] == got["replyId"] {
			reply = m
		}
	}
	if reply[0] != got["replyId"] || reply[4] != "r" || reply[7] != "agent" || reply[8] != `{"text":"Krill."}` || reply[11] != date || reply[15] != "m3" {
		t.Errorf("the reply is %v", reply)
	}
	events := h.Events(eventComplete)
	if len(events) != 1 || events[0].Data["generationId"] != id || events[0].Data["text"] != nil || got["text"] != "Krill." {
		t.Errorf("events %v, result %v", events, got)
	}
}

// What the host does not know is NULL in the row.
func TestUnknownIsNull(t *testing.T) {
	t.Parallel()
	h, _ := room(t)
	s := &server{usage: object{"input_tokens": nil, "output_tokens": nil, "total_tokens": nil, "cost_usd": nil}}
	h.Command(abi.CommandGenerate, s.generate)
	if _, err := run(t, h, object{"conversation": "r"}); err != nil {
		t.Fatal(err)
	}
	if row := h.Rows("primary", generations)[0]; row[8] != nil || row[9] != nil || row[10] != nil || row[11] != nil || row[17] != int64(1) {
		t.Errorf("row %v", row)
	}
	if n := len(h.Rows("primary", messages)); n != 5 {
		t.Errorf("%d messages, of which none was asked for", n)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		err     error
		attempt int
		row     bool
	}{
		{"a budget", abi.Errorf(abi.LimitExceeded, "it may take 900 tokens (limit: ai_tokens)"), 1, true},
		{"a model that is not there", abi.Errorf(abi.InvalidArgument, "none of the name"), 1, true},
		{"a server that is away", abi.Errorf(abi.Unavailable, "away"), 1, false},
		{"a server that stays away", abi.Errorf(abi.Unavailable, "away"), 3, true},
		{"a grant that is not there", abi.Errorf(abi.NotGranted, "no"), 3, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h, _ := room(t)
			h.Config(object{"inference.maxAttempts": 3})
			h.Command(abi.CommandGenerate, (&server{err: test.err}).generate)
			task := sdktest.TaskOf("inference", object{"room_id": "r", "reply": true})
			task.Attempt = test.attempt
			res, err := h.Run(worker, task)
			rows := h.Rows("primary", generations)
			if n := len(h.Rows("primary", messages)); n != 5 {
				t.Errorf("%d messages", n)
			}
			if !test.row {
				if abi.CodeOf(err) != abi.CodeOf(test.err) || len(rows) != 0 || len(h.Events("inference:*")) != 0 {
					t.Errorf("%v, %v", err, rows)
				}
				return
			}
			if err != nil || len(rows) != 1 {
				t.Fatalf("%v, %v", err, rows)
			}
			row := rows[0]
			if row[17] != int64(0) || !strings.Contains(row[18].(string), abi.MessageOf(test.err)) || row[16] != "error" || row[11] != nil {
				t.Errorf("row %v", row)
			}
			if got := res.Value.(object); got["success"] != false || got["error"] != row[18] || len(h.Events(eventFailed)) != 1 {
				t.Errorf("result %v", got)
			}
		})
	}
}

func TestBadTasks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		payload, config object
		code            abi.Code
		want            string
	}{
		{nil, nil, abi.InvalidArgument, "one of"},
		{object{"room_id": "r", "conversation": "r"}, nil, abi.InvalidArgument, "one of"},
		{object{"room_id": ""}, nil, abi.InvalidArgument, "no name"},
		{object{"room": "r"}, nil, abi.InvalidArgument, `unknown field "room"`},
		{object{"room_id": "r", "reply": "yes"}, nil, abi.InvalidArgument, `"reply" is neither`},
		{object{"room_id": "r"}, object{"inference.contextRows": 201}, abi.InvalidArgument, "from 1 to 200"},
		{object{"room_id": "empty"}, nil, abi.Permanent, "no message with a text"},
		{object{"room_id": "r", "source_handle": "nope"}, nil, abi.UnknownHandle, "nope"},
	} {
		h, _ := room(t)
		h.Config(test.config)
		h.Command(abi.CommandGenerate, (&server{usage: known}).generate)
		_, err := run(t, h, test.payload)
		if !errors.Is(err, test.code) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want %s %q", test.payload, err, test.code, test.want)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		`{"text":" a "}`: "a", `"a"`: "a", "plain": "plain", `{"media":1}`: "", `{"text":7}`: `{"text":7}`, "\xff\xfe": "", "": "", "[1]": "[1]",
	} {
		if got := textOf(content); got != want {
			t.Errorf("%q: got %q, want %q", content, got, want)
		}
	}
	if got := textOf(strings.Repeat("ü", maxContent)); len(got) != maxContent {
		t.Errorf("a long one has %d bytes", len(got))
	}
}

// A host that is killed after any of its calls: the next attempt ends with one
// row, one reply and one event, though the conversation has gone on.
func TestKilledAfterEveryCall(t *testing.T) {
	t.Parallel()
	for n := 0; ; n++ {
		h, table := room(t)
		h.Command(abi.CommandGenerate, (&server{usage: known}).generate)
		h.KillAfter(n)
		task := sdktest.TaskOf("inference", object{"room_id": "r", "reply": true})
		_, err := h.Run(worker, task)
		completed := err == nil
		if !completed {
			say(table, fmt.Sprint("new", n), "r", "human", `{"text":"And?"}`, "2025-12-16T04:33:00Z")
			task.Attempt = 2
			if _, err = h.Run(worker, task); err != nil {
				t.Fatalf("after a kill behind call %d: %v", n, err)
			}
		}
		replies := 0
		for _, m := range h.Rows("primary", messages) {
			if m[7] == "agent" && m[8] == `{"text":"Krill."}` {
				replies++
			}
		}
		if rows, events := len(h.Rows("primary", generations)), len(h.Events("inference:complete")); rows != 1 || replies != 1 || events != 1 {
			t.Fatalf("after a kill behind call %d: %d rows, %d replies, %d events", n, rows, replies, events)
		}
		if completed {
			if n < 8 {
				t.Fatalf("the worker needed only %d calls", n)
			}
			return
		}
	}
}
