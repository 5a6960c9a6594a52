package command

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/wasmhost/wasmhost/abi"
)

func TestGrants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		patterns []string
		name     string
		want     bool
	}{
		{nil, "ping", false},
		{[]string{""}, "ping", false},
		{[]string{"ping"}, "ping", true},
		{[]string{"ping"}, "pings", false},
		{[]string{"events/*"}, "events/emit", true},
		{[]string{"events/*"}, "events", false},
		{[]string{"events/*"}, "events/a/b", false},
		{[]string{"*"}, "ping", true},
		{[]string{"*"}, "events/emit", false},
		{[]string{"session/[gs]et"}, "session/set", true},
		{[]string{"a", "p*"}, "ping", true},
		{[]string{"[", "ping"}, "ping", true},
		{[]string{"["}, "[", false},
	} {
		caller := Caller{Grants: Grants{Commands: c.patterns, Config: c.patterns}}
		if got := caller.MayCall(c.name); got != c.want {
			t.Errorf("%q may call %q: got %v", c.patterns, c.name, got)
		}
		if got := caller.MayRead(c.name); got != c.want {
			t.Errorf("%q may read %q: got %v", c.patterns, c.name, got)
		}
	}
	if c := Operator(); !c.MayCall("any/thing") || !c.MayRead("any.thing") {
		t.Error("the operator may not")
	}
	if err := (Grants{Commands: []string{"events/*"}, Config: []string{"archive.*"}}).Validate(); err != nil {
		t.Error(err)
	}
	wantCode(t, Grants{Commands: []string{"["}}.Validate(), abi.InvalidArgument)
	wantCode(t, Grants{Config: []string{"a[-"}}.Validate(), abi.InvalidArgument)
	wantCode(t, Grants{Events: []string{"a[-"}}.Validate(), abi.InvalidArgument)
}

// A worker may emit events of its own name and those that it was granted, and never
// what the host itself tells.
func TestMayEmit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		worker   string
		patterns []string
		event    string
		want     bool
	}{
		{"orders", nil, "orders:placed", true},
		{"orders", nil, "orders:a:b/c", true},
		{"orders", nil, "orders", false},
		{"orders", nil, "ordersx:placed", false},
		{"orders", nil, "order:placed", false},
		{"orders", nil, "mail:sent", false},
		{"orders", []string{"mail:sent"}, "mail:sent", true},
		{"orders", []string{"mail:*"}, "mail:sent", true},
		{"orders", []string{"mail:*"}, "mails:sent", false},
		{"orders", []string{"*"}, "mail:sent", true},
		{"orders", []string{"*", "task:*", "task:completed"}, "task:completed", false},
		{"task", nil, "task:completed", false},
		{"data", nil, "data:chat:created", false},
		{"x", []string{"*"}, "worker:admitted", false},
		{"x", []string{"*"}, "config:changed", false},
		{"x", []string{"*"}, "outbox:lost", false},
		{"", nil, ":a", false},
	} {
		w := newWorld(t)
		caller := Caller{Worker: c.worker, Grants: Grants{Commands: []string{"events/emit"}, Events: c.patterns}}
		if got := caller.MayEmit(c.event); got != c.want {
			t.Errorf("%s, granted %q, may emit %s: %v", c.worker, c.patterns, c.event, got)
		}
		// One that may not be emitted keeps the others from it.
		for _, params := range []object{{"event": c.event}, {"events": []any{object{"event": c.worker + ":x"}, object{"event": c.event}}}} {
			_, err := execute(t, w.router, caller, "events/emit", params)
			events, lerr := w.events.Since(t.Context(), 0, 10, "")
			if lerr != nil {
				t.Fatal(lerr)
			}
			if !c.want && (abi.CodeOf(err) != abi.NotGranted && c.event != ":a" || len(events) != 0) || c.want && err != nil {
				t.Errorf("%s, granted %q, emits %s: %v, and there are %v", c.worker, c.patterns, c.event, err, events)
			}
		}
	}
	if !Operator().MayEmit("data:chat:created") {
		t.Error("the operator may not")
	}
}

func TestRegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := []string{"commands/list", "config/get", "events/emit", "ping", "session/delete", "session/get", "session/set", "tasks/submit"}
	if got := w.router.Names(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	wantCode(t, w.router.Register("ping", ping), abi.Conflict)
	for _, name := range []string{"", "/", "a/", "/a", "a//b", "A", "a b", "ä", "a\n", strings.Repeat("a", 129)} {
		wantCode(t, w.router.Register(name, ping), abi.InvalidArgument)
	}
	if err := w.router.Register("ai/embed", ping); err != nil {
		t.Error(err)
	}
}

func TestExecuteRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	may := caller("w", "ping", "no/*")
	array := func(n int) []byte { return append(bytes.Repeat([]byte{0x91}, n), 0xc0) }
	for _, c := range []struct {
		name    string
		caller  Caller
		command string
		params  []byte
		want    abi.Code
		text    string
	}{
		{"not granted", caller("w"), "ping", nil, abi.NotGranted, `"ping"`},
		{"unknown and not granted", caller("w"), "no/such", nil, abi.NotGranted, `"no/such"`},
		{"unknown and granted", may, "no/such", nil, abi.UnknownCommand, `"no/such"`},
		{"unknown to the operator", Operator(), "", nil, abi.UnknownCommand, `""`},
		{"name too long", may, strings.Repeat("p", 129), nil, abi.InvalidArgument, "name"},
		{"params too big", may, "ping", make([]byte, MaxParams+1), abi.LimitExceeded, "params"},
		{"params no map", may, "ping", []byte{0x90}, abi.InvalidArgument, "map"},
		{"params cut off", may, "ping", []byte{0x81, 0xa1}, abi.InvalidArgument, "params"},
		{"params claim much", may, "ping", []byte{0xdf, 0xff, 0xff, 0xff, 0xff}, abi.InvalidArgument, "params"},
		{"two params", may, "ping", []byte{0x80, 0x80}, abi.InvalidArgument, "behind"},
		{"nil and more", may, "ping", []byte{0xc0, 0x80}, abi.InvalidArgument, "map"},
		{"key no string", may, "ping", []byte{0x81, 0x01, 0x01}, abi.InvalidArgument, "key"},
		{"extension", may, "ping", []byte{0x81, 0xa1, 'a', 0xd4, 0x01, 0x00}, abi.InvalidArgument, "extension"},
		{"too deep", may, "ping", append([]byte{0x81, 0xa1, 'a'}, array(33)...), abi.InvalidArgument, "deep"},
		{"deep beyond all measure", may, "ping", append([]byte{0x81, 0xa1, 'a'}, array(1<<19)...), abi.InvalidArgument, "deep"},
		{"too many values", may, "ping", append([]byte{0x81, 0xa1, 'a', 0xdd, 0, 0x0f, 0, 0}, make([]byte, 0xf0000)...), abi.LimitExceeded, "values"},
		{"unknown field", may, "ping", []byte{0x81, 0xa1, 'a', 0xc0}, abi.InvalidArgument, "a: is not a known field"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := w.router.Execute(t.Context(), c.caller, c.command, c.params)
			wantCode(t, err, c.want)
			if out != nil || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got % x, %v, want it to say %q", out, err, c.text)
			}
		})
	}
	for _, params := range [][]byte{nil, {}, {0xc0}, {0x80}} {
		if _, err := w.router.Execute(t.Context(), may, "ping", params); err != nil {
			t.Errorf("params % x: %v", params, err)
		}
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := NewRouter(slog.New(slog.NewTextHandler(&log, nil)))
	for name, h := range map[string]Handler{
		"echo":   func(_ context.Context, _ Caller, p map[string]any) (any, error) { return p, nil },
		"panics": func(context.Context, Caller, map[string]any) (any, error) { panic("secret of the host") },
		"fails":  func(context.Context, Caller, map[string]any) (any, error) { return nil, errors.New("odd") },
		"refuses": func(context.Context, Caller, map[string]any) (any, error) {
			return nil, abi.Errorf(abi.Conflict, "row 7")
		},
		"late": func(ctx context.Context, _ Caller, _ map[string]any) (any, error) {
			if end, ok := ctx.Deadline(); !ok || time.Until(end) > callDeadline {
				t.Errorf("deadline %v, %v", end, ok)
			}
			return nil, context.DeadlineExceeded
		},
		"odd":  func(context.Context, Caller, map[string]any) (any, error) { return make(chan int), nil },
		"huge": func(context.Context, Caller, map[string]any) (any, error) { return make([]byte, MaxResult), nil },
		"who":  func(_ context.Context, c Caller, _ map[string]any) (any, error) { return c.Worker + "/" + c.Task, nil },
	} {
		if err := r.Register(name, h); err != nil {
			t.Fatal(err)
		}
	}
	c := caller("w", "*")
	in := map[string]any{"n": int64(-5), "big": int64(math.MaxInt64), "f": 1.5, "s": "ü", "b": []byte{0}, "l": []any{true, nil}}
	got := mustExecute(t, r, c, "echo", in)
	if got["s"] != "ü" || got["f"] != 1.5 || got["big"] != uint64(math.MaxInt64) || !bytes.Equal(got["b"].([]byte), []byte{0}) {
		t.Errorf("got %v, want %v", got, in)
	}
	for name, want := range map[string]struct {
		code abi.Code
		text string
	}{
		"panics":  {abi.Internal, "internal: command panics: the host failed; its log has the reason"},
		"fails":   {abi.Internal, "internal: command fails: odd"},
		"refuses": {abi.Conflict, "conflict: command refuses: row 7"},
		"late":    {abi.DeadlineExceeded, "deadline_exceeded: command late: context deadline exceeded"},
		"odd":     {abi.Internal, "internal: command odd: result: msgpack: Encode(unsupported chan int)"},
		"huge":    {abi.LimitExceeded, "limit_exceeded: command huge: result of 1048581 bytes: 1048576 at most"},
	} {
		_, err := r.Execute(t.Context(), c, name, nil)
		wantCode(t, err, want.code)
		if err != nil && err.Error() != want.text {
			t.Errorf("got  %s\nwant %s", err, want.text)
		}
	}
	if s := log.String(); !strings.Contains(s, "secret of the host") || !strings.Contains(s, "router_test.go") || !strings.Contains(s, "worker=w") {
		t.Errorf("the log has %s", s)
	}
	out, err := r.Execute(t.Context(), c, "who", nil)
	if want, _ := msgpack.Marshal("w/t1"); err != nil || !bytes.Equal(out, want) {
		t.Errorf("got % x, %v", out, err)
	}
}

// No params make Execute panic, and what it returns is msgpack.
func FuzzExecute(f *testing.F) {
	w := newWorld(f)
	for _, p := range []any{
		map[string]any{}, nil, map[string]any{"event": "a:b", "data": map[string]any{"n": 1}, "key": "k"},
		map[string]any{"events": []any{map[string]any{"event": "a"}}},
		map[string]any{"key": "archive.batchSize"}, map[string]any{"sessionId": "s", "data": map[string]any{}, "ttl_ms": 5},
		map[string]any{"worker": "w", "payload": map[string]any{"x": math.Inf(1)}, "priority": 2, "at_ms": 1},
	} {
		b, err := msgpack.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		for i := range w.router.Names() {
			f.Add(uint8(i), b)
		}
	}
	names := w.router.Names()
	f.Fuzz(func(t *testing.T, which uint8, params []byte) {
		out, err := w.router.Execute(context.Background(), everything("w"), names[int(which)%len(names)], params)
		if err != nil {
			if c := abi.CodeOf(err); c == abi.Internal || c == abi.OK {
				t.Errorf("% x: %v", params, err)
			}
			return
		}
		var v any
		if err := msgpack.Unmarshal(out, &v); err != nil {
			t.Errorf("result % x: %v", out, err)
		}
	})
}

func BenchmarkPing(b *testing.B) {
	w := newWorld(b)
	c := everything("w")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.router.Execute(b.Context(), c, "ping", nil); err != nil {
			b.Fatal(err)
		}
	}
}

type fallback func(ctx context.Context, c Caller, name string, params map[string]any) (any, error)

func (f fallback) Execute(ctx context.Context, c Caller, name string, params map[string]any) (any, error) {
	return f(ctx, c, name, params)
}

// A fallback gets what nobody else provides, and the time that it needs; what it
// does wrong is held as a handler's.
func TestFallback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.router.SetFallback(fallback(func(ctx context.Context, c Caller, name string, params map[string]any) (any, error) {
		if _, bounded := ctx.Deadline(); bounded {
			t.Error("the call has a deadline that the fallback did not set")
		}
		switch name {
		case "far/panics":
			panic("odd")
		case "far/unknown":
			return nil, abi.Errorf(abi.UnknownCommand, "not there either")
		}
		return map[string]any{"name": name, "worker": c.Worker, "n": params["n"]}, nil
	}))
	c := caller("w", "ping", "far/*")
	got := mustExecute(t, w.router, c, "far/away", object{"n": 5})
	if got["name"] != "far/away" || got["worker"] != "w" || got["n"] != int8(5) {
		t.Errorf("got %v", got)
	}
	if got := mustExecute(t, w.router, c, "ping", nil); got["pong"] != true {
		t.Errorf("ping went elsewhere: %v", got)
	}
	for name, want := range map[string]abi.Code{"far/panics": abi.Internal, "far/unknown": abi.UnknownCommand, "near": abi.NotGranted} {
		_, err := execute(t, w.router, c, name, nil)
		wantCode(t, err, want)
	}
	w.router.SetFallback(nil)
	_, err := execute(t, w.router, c, "far/away", nil)
	wantCode(t, err, abi.UnknownCommand)
}
