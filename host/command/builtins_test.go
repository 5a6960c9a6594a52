package command

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

type object = map[string]any

func TestPing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := mustExecute(t, w.router, everything("w"), "ping", nil)
	at := int64(got["time_ms"].(uint64))
	if got["pong"] != true || time.Since(time.UnixMilli(at)).Abs() > time.Minute {
		t.Errorf("got %v", got)
	}
}

func TestEmitEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := mustExecute(t, w.router, everything("w"), "events/emit", object{
		"event": "archive:progress", "data": object{"n": 9007199254740993, "s": "<ü>", "b": []byte{1, 2}},
	})
	many := mustExecute(t, w.router, everything("w"), "events/emit", object{"events": []any{
		object{"event": "a", "key": "k"}, object{"event": "b", "data": 1.5}, object{"event": "c", "key": "k"},
	}})
	if got, want := fmt.Sprint(one["id"], many["ids"]), "1 [2 3 2]"; got != want {
		t.Errorf("got ids %s, want %s", got, want)
	}
	events, err := w.events.Since(t.Context(), 0, 10, "")
	if err != nil || len(events) != 3 {
		t.Fatalf("got %d events, %v", len(events), err)
	}
	if e := events[0]; e.Name != "archive:progress" || e.Worker != "w" || e.Task != "t1" || string(e.Data) != `{"b":"AQI=","n":9007199254740993,"s":"<ü>"}` {
		t.Errorf("got %+v, data %s", e, e.Data)
	}
	j, err := json.Marshal(Event{ID: 4, Time: time.UnixMilli(1500).UTC(), Name: "a", Worker: "w", Task: "5", Data: json.RawMessage(`{"n":1}`), Key: "k"})
	if want := `{"id":4,"time":"1970-01-01T00:00:01.5Z","name":"a","worker":"w","task":"5","data":{"n":1}}`; err != nil || string(j) != want {
		t.Errorf("got %s, want %s", j, want)
	}
	if got := mustExecute(t, w.router, everything("w"), "events/emit", object{"events": []any{}}); len(got["ids"].([]any)) != 0 {
		t.Errorf("no events: got %v", got)
	}
}

func TestGetConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config["archive.batchSize"] = 1000
	w.config["archive.names"] = []string{"a"}
	w.config["archive.pause"] = map[string]string{"a": "b"}
	w.config["archive.table"] = map[string]int{"a": 1}
	w.config["secret.key"] = "hidden"
	for key, want := range map[string]string{
		"archive.batchSize": "map[found:true value:1000]",
		"archive.names":     "map[found:true value:[a]]",
		"archive.pause":     "map[found:true value:map[a:b]]",
		"archive.table":     "map[found:true value:map[a:1]]",
		"archive.absent":    "map[found:false value:<nil>]",
	} {
		if got := fmt.Sprint(mustExecute(t, w.router, everything("w"), "config/get", object{"key": key})); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
	for _, key := range []string{"secret.key", "secret.absent"} {
		_, err := execute(t, w.router, everything("w"), "config/get", object{"key": key})
		wantCode(t, err, abi.NotGranted)
		if err != nil && (!strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("got %v", err)
		}
	}
	if got := mustExecute(t, w.router, Operator(), "config/get", object{"key": "secret.key"}); got["value"] != "hidden" {
		t.Errorf("the operator gets %v", got)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := everything("a"), everything("b")
	get := func(c Caller, params any) string {
		t.Helper()
		got := mustExecute(t, w.router, c, "session/get", params)
		delete(got, "expires_ms")
		return fmt.Sprint(got)
	}
	none := "map[found:false sessionId:s]"
	if got := get(a, object{"sessionId": "s"}); got != none {
		t.Errorf("got %s", got)
	}
	mustExecute(t, w.router, a, "session/set", object{"sessionId": "s", "data": object{"user": "ann", "n": 7}})
	if got, want := get(a, object{"sessionId": "s"}), "map[data:map[n:7 user:ann] found:true sessionId:s]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := get(b, object{"sessionId": "s"}); got != none {
		t.Errorf("another worker sees %s", got)
	}
	mustExecute(t, w.router, b, "session/set", object{"sessionId": "s", "data": object{"user": "bob"}})
	mustExecute(t, w.router, Operator(), "session/set", object{"sessionId": "s", "data": object{"user": "host"}})
	mustExecute(t, w.router, Operator(), "session/set", object{"sessionId": ZeroSession, "data": object{"user": "all"}})
	for c, want := range map[string]string{"a": "ann", "b": "bob", "c": "host"} {
		if got := get(everything(c), object{"sessionId": "s"}); got != "map[data:map["+map[string]string{"a": "n:7 "}[c]+"user:"+want+"] found:true sessionId:s]" {
			t.Errorf("worker %s gets %s", c, got)
		}
	}
	if got, want := get(a, nil), "map[data:map[user:all] found:true sessionId:"+ZeroSession+"]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// A worker deletes its own, and then sees the host's again, which it cannot
	// delete.
	for _, want := range []bool{true, false} {
		if got := mustExecute(t, w.router, a, "session/delete", object{"sessionId": "s"}); got["deleted"] != want {
			t.Errorf("deleted: %v, want %t", got, want)
		}
		if got := get(a, object{"sessionId": "s"}); got != "map[data:map[user:host] found:true sessionId:s]" {
			t.Errorf("worker a gets %s", got)
		}
	}
	if got := get(b, object{"sessionId": "s"}); got != "map[data:map[user:bob] found:true sessionId:s]" {
		t.Errorf("worker b gets %s", got)
	}
}

func TestSessionsExpire(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s, other := openSessions(t, path), openSessions(t, path)
	now := time.Now()
	s.now = func() time.Time { return now }
	other.now = s.now
	for i := range 3 {
		if err := s.Set(t.Context(), Session{ID: fmt.Sprint(i), Owner: "w", Expires: now.Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := other.Get(t.Context(), "w", "0"); err != nil || len(got.Data) != 0 || got.Owner != "w" {
		t.Errorf("got %+v, %v", got, err)
	}
	now = now.Add(time.Minute)
	_, err := other.Get(t.Context(), "w", "0")
	wantCode(t, err, abi.NotFound)
	if err := s.Set(t.Context(), Session{ID: "new", Owner: "w", Expires: now.Add(time.Second)}); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := s.db.QueryRowContext(t.Context(), `SELECT count(*) FROM sessions`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d sessions left (%v), want the new one", left, err)
	}
	if err := s.Set(t.Context(), Session{ID: "new", Owner: "w", Expires: now}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(t.Context(), "w", "new")
	wantCode(t, err, abi.NotFound)
}

func TestSessionLimits(t *testing.T) {
	t.Parallel()
	s := openSessions(t, newPath(t))
	soon := time.Now().Add(time.Minute)
	for _, c := range []struct {
		session Session
		want    abi.Code
	}{
		{Session{Expires: soon}, abi.InvalidArgument},
		{Session{ID: strings.Repeat("s", 129), Expires: soon}, abi.InvalidArgument},
		{Session{ID: "s"}, abi.InvalidArgument},
		{Session{ID: "s", Expires: time.Now().Add(400 * 24 * time.Hour)}, abi.InvalidArgument},
		{Session{ID: "s", Expires: soon, Data: object{"c": make(chan int)}}, abi.InvalidArgument},
		{Session{ID: "s", Expires: soon, Data: object{"c": make([]byte, MaxSessionData)}}, abi.LimitExceeded},
	} {
		wantCode(t, s.Set(t.Context(), c.session), c.want)
	}
	if _, err := s.db.ExecContext(t.Context(), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ?)
		INSERT INTO sessions SELECT 'w', 'n' || i, x'80', ? FROM n`, MaxSessions, soon.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.Set(t.Context(), Session{ID: "one more", Owner: "w", Expires: soon}), abi.LimitExceeded)
	for _, ok := range []Session{{ID: "n1", Owner: "w", Expires: soon}, {ID: "one more", Owner: "x", Expires: soon}} {
		if err := s.Set(t.Context(), ok); err != nil {
			t.Error(err)
		}
	}
}

func TestSubmitTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	got := mustExecute(t, w.router, everything("w"), "tasks/submit", object{
		"worker": "archive", "kind": "k", "payload": object{"n": 1}, "unique_key": "u", "priority": 2, "at_ms": at.UnixMilli(),
	})
	if got["taskId"] != "17" || got["created"] != true {
		t.Errorf("got %v", got)
	}
	if got := mustExecute(t, w.router, everything("w"), "tasks/submit", object{"worker": "archive"}); got["created"] != false {
		t.Errorf("got %v", got)
	}
	s := w.tasks.got[0]
	if s.Worker != "archive" || s.Kind != "k" || string(s.Payload) != `{"n":1}` || s.UniqueKey != "u" || s.Priority != 2 || !s.At.Equal(at) {
		t.Errorf("got %+v", s)
	}
	if s := w.tasks.got[1]; s.Payload != nil || !s.At.IsZero() || s.Priority != 0 {
		t.Errorf("got %+v", s)
	}
	w.tasks.err = abi.Errorf(abi.UnknownWorker, "no worker %q", "x")
	_, err := execute(t, w.router, everything("w"), "tasks/submit", object{"worker": "x"})
	wantCode(t, err, abi.UnknownWorker)
}

func TestBadParams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		command string
		params  object
		want    string // in the error
	}{
		{"ping", object{"x": 1}, "x: is not a known field"},
		{"events/emit", object{}, "event: is required"},
		{"events/emit", object{"event": ""}, "event: is required"},
		{"events/emit", object{"event": 5}, "event: a string is needed, not an integer"},
		{"events/emit", object{"event": "A b"}, `event: "A b"`},
		{"events/emit", object{"event": "a\n"}, `event: "a\n"`},
		{"events/emit", object{"event": long}, "event: 2000 bytes, at most 128"},
		{"events/emit", object{"event": "\xff"}, "event: not UTF-8"},
		{"events/emit", object{"event": "a", "dta": 1}, "dta: is not a known field"},
		{"events/emit", object{"event": "a", "key": true}, "key: a string is needed, not a bool"},
		{"events/emit", object{"event": "a", "key": long}, "key: 2000 bytes"},
		{"events/emit", object{"event": "a", "data": math.NaN()}, "data: cannot be written as JSON"},
		{"events/emit", object{"event": "a", "data": strings.Repeat("x", MaxEventData)}, "data: 262146 bytes"},
		{"events/emit", object{"event": "a", "events": []any{}}, "event: is not a known field"},
		{"events/emit", object{"events": "a"}, "events: an array is needed, not a string"},
		{"events/emit", object{"events": []any{1.5}}, "events[0]: a map is needed, not a float"},
		{"events/emit", object{"events": []any{object{"event": "a"}, object{"event": []byte{1}}}}, "events[1].event: a string is needed, not bytes"},
		{"events/emit", object{"events": []any{object{"event": "a", "x": 1}}}, "events[0].x: is not a known field"},
		{"config/get", object{}, "key: is required"},
		{"config/get", object{"key": []any{}}, "key: a string is needed, not an array"},
		{"session/get", object{"sessionId": object{}}, "sessionId: a string is needed, not a map"},
		{"session/get", object{"session": "a"}, "session: is not a known field"},
		{"session/set", object{"data": object{}}, "sessionId: is required"},
		{"session/set", object{"sessionId": "s"}, "data: is required"},
		{"session/set", object{"sessionId": "s", "data": 1}, "data: a map is needed, not an integer"},
		{"session/set", object{"sessionId": "s", "data": object{}, "ttl_ms": 0}, "ttl_ms: 0 is not from 1 to"},
		{"session/set", object{"sessionId": "s", "data": object{}, "ttl_ms": int64(math.MaxInt64)}, "ttl_ms: 9223372036854775807 is not from 1 to"},
		{"session/set", object{"sessionId": "s", "data": object{}, "ttl_ms": "5"}, "ttl_ms: an integer is needed, not a string"},
		{"session/delete", object{}, "sessionId: is required"},
		{"tasks/submit", object{}, "worker: is required"},
		{"tasks/submit", object{"worker": "w", "priority": 5}, "priority: 5 is not from 1 to 4"},
		{"tasks/submit", object{"worker": "w", "at_ms": -1}, "at_ms: -1 is not from 1 to"},
		{"tasks/submit", object{"worker": "w", "payload": []any{1}}, "payload: a map is needed, not an array"},
		{"tasks/submit", object{"worker": "w", "payload": object{"x": math.Inf(1)}}, "payload: cannot be written as JSON"},
	} {
		_, err := execute(t, w.router, everything("w"), c.command, c.params)
		wantCode(t, err, abi.InvalidArgument)
		if err != nil && !strings.Contains(err.Error(), "command "+c.command+": "+c.want) {
			t.Errorf("%s: got %q, want %q", c.command, err, c.want)
		}
	}
	many := make([]any, maxEmit+1)
	for i := range many {
		many[i] = object{"event": "a"}
	}
	_, err := execute(t, w.router, everything("w"), "events/emit", object{"events": many})
	wantCode(t, err, abi.LimitExceeded)
	if last, err := w.events.Last(t.Context()); err != nil || last != 0 {
		t.Errorf("refused calls emitted %d events (%v)", last, err)
	}
	if len(w.tasks.got) != 0 {
		t.Errorf("refused calls submitted %v", w.tasks.got)
	}
}

// A caller sees the names that it may call, and no other.
func TestListCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		caller Caller
		want   string
	}{
		{Operator(), "[commands/list config/get events/emit ping session/delete session/get session/set tasks/submit]"},
		{caller("w", "commands/*", "session/*"), "[commands/list session/delete session/get session/set]"},
		{caller("w", "commands/list", "no/such"), "[commands/list]"},
	} {
		if got := fmt.Sprint(mustExecute(t, w.router, tt.caller, "commands/list", nil)["commands"]); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.caller.Grants.Commands, got, tt.want)
		}
	}
	_, err := execute(t, w.router, caller("w", "ping"), "commands/list", nil)
	wantCode(t, err, abi.NotGranted)
	_, err = execute(t, w.router, Operator(), "commands/list", object{"all": true})
	wantCode(t, err, abi.InvalidArgument)
}
